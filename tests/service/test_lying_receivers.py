"""Receivers of notifications that lie: endless and malformed answers, and a page in the place of an answer."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from samaops.clients import smtp, webhooks
from samaops.clients.errors import ClientError
from samaops.config.secrets import Secret
from samaops.config.settings import MailNotification, Notify, Settings, WebhookNotification
from samaops.model.failure import FailureKind
from samaops.site.site import Site
from samaops.workflows.maintenance import announce
from samaops.workflows.notify import trying
from tests.service import faulty

pytestmark = pytest.mark.service


def mail_to(port: int, **changes: Any) -> MailNotification:
    return MailNotification.model_validate({"host": "127.0.0.1", "port": port, "timeout": 3, **changes})


def hook(url: str) -> WebhookNotification:
    return WebhookNotification(url=Secret.model_validate(url), timeout=3)


@contextlib.contextmanager
def talking(*answers: bytes) -> Iterator[faulty.Address]:
    """Yield a mail server that greets with the first answer, and gives one of the others to each command."""

    def talk(peer: Any, _stopped: Any) -> None:
        for answer in answers:
            peer.sendall(answer)
            peer.recv(65536)

    with faulty._serving(talk, tls=False) as address:
        yield address


@contextlib.contextmanager
def flooding(line: bytes) -> Iterator[faulty.Address]:
    """Yield a server whose answer has no end."""
    block = line * (1024 * 1024 // len(line))

    def talk(peer: Any, stopped: Any) -> None:
        while not stopped.is_set():
            peer.sendall(block)

    with faulty._serving(talk, tls=False) as address:
        yield address


@pytest.mark.parametrize("line", [b"220-x\r\n", b"220-" + b"x" * 4000 + b"\r\n"], ids=("short", "long"))
def test_an_answer_of_a_mail_server_that_has_no_end_is_cut(line: bytes) -> None:
    tracemalloc.start()
    started = time.monotonic()
    try:
        with flooding(line) as (_host, port), pytest.raises(ClientError) as caught:
            smtp.send(mail_to(port), "subject", "text")
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert caught.value.kind is FailureKind.GARBAGE
    assert time.monotonic() - started < 2
    assert most < 8 * 1024 * 1024


LOG_IN = (b"220 here\r\n", b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")


@pytest.mark.parametrize(
    ("answers", "password", "kind"),
    [
        ((*LOG_IN, b"334 a\r\n"), "right", FailureKind.GARBAGE),
        (LOG_IN, "clé", FailureKind.AUTHENTICATION),
        ((b"220 here\r\n", b"250-here\r\n250 AUTH \xff\xfe\r\n"), "right", FailureKind.ERROR),
        ((b"\x00\xff\x1b[31m\r\n",), "right", FailureKind.ERROR),
        ((b"220 here\r\n", b"250 x" + b"x" * 9000 + b"\r\n"), "right", FailureKind.ERROR),
    ],
)
def test_what_no_mail_server_says_is_sorted(
    answers: tuple[bytes, ...], password: str, kind: FailureKind
) -> None:
    with talking(*answers) as (_host, port), pytest.raises(ClientError) as caught:
        smtp.send(mail_to(port, username="samaops", password=password), "subject", "text")

    assert caught.value.kind is kind
    assert "clé" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_channel_that_breaks_inside_is_told_and_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise LookupError("inside")

    monkeypatch.setattr(smtp, "send", broken)
    monkeypatch.setattr(webhooks, "ping", broken)
    settings = Settings(notify=Notify(mail=mail_to(1), ping=hook("http://127.0.0.1:1/uuid")))
    site = Site(settings)

    tried = trying.send(trying.channels(site))
    assert [(each.channel.name, each.state) for each in tried] == [("mail", "failed"), ("ping", "failed")]
    assert all("LookupError" in each.answer for each in tried)
    assert "LookupError" in announce.side_by_side({"mail": broken}, 2.0)["mail"]
    switch = announce.DeadMansSwitch(site)
    switch.begin()
    (note,) = switch.end(is_success=True, text="")
    assert "LookupError" in note
    assert "Traceback" not in capfd.readouterr().err


PAGE = b"<!DOCTYPE html>\n<html><title>Log in to the network</title></html>"


@pytest.mark.parametrize("send", [webhooks.slack, webhooks.ping])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [(PAGE, FailureKind.GARBAGE), (b"  <html>", FailureKind.GARBAGE), (b"ok", None), (b"", None)],
)
def test_a_page_in_place_of_an_answer_is_no_success(
    send: Callable[..., None], answer: bytes, kind: FailureKind | None
) -> None:
    with faulty.answering(faulty.http_response(answer)) as (host, port):
        if kind is None:
            send(hook(f"http://{host}:{port}"), None, "text")
            return
        with pytest.raises(ClientError) as caught:
            send(hook(f"http://{host}:{port}"), None, "text")
    assert caught.value.kind is kind


# https://healthchecks.io/docs/http_api/: a check is asked for by its UUID, and the status is 200 whatever it is.
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"OK (not found)", FailureKind.MISSING),
        (b"OK (rate limited)", FailureKind.UNAVAILABLE),
        (b"OK", None),
    ],
)
def test_a_switch_that_knows_no_such_check_is_no_success(answer: bytes, kind: FailureKind | None) -> None:
    with faulty.answering(faulty.http_response(answer)) as (host, port):
        if kind is None:
            webhooks.ping(hook(f"http://{host}:{port}/uuid"), None)
            return
        with pytest.raises(ClientError) as caught:
            webhooks.ping(hook(f"http://{host}:{port}/uuid"), None)
    assert caught.value.kind is kind
    assert answer.decode() in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 70_000,
        b"HTTP/1.1 999999999999 OK\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=("headers", "header", "chunk", "status", "redirect"),
)
def test_a_receiver_that_answers_nonsense_is_a_failure_in_time(answer: bytes) -> None:
    started = time.monotonic()
    with faulty.answering(answer) as (host, port), pytest.raises(ClientError) as caught:
        webhooks.ping(hook(f"http://{host}:{port}/uuid"), None)
    assert time.monotonic() - started < 2.5
    assert len(caught.value.message) < 300
