"""Mail, chat, alerts and a dead man's switch, against real servers, healthy and broken in every way."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import responses

from samaops.clients import alertmanager, smtp, webhooks
from samaops.clients.errors import ClientError
from samaops.config.secrets import Secret
from samaops.config.settings import Endpoint, MailNotification, Notify, Proxy, Settings, WebhookNotification
from samaops.model.bulletin import Bulletin
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.maintenance import announce
from tests.service import faulty
from tests.service.listeners import http_listener, mail_server

pytestmark = pytest.mark.service
MOMENT = datetime(2026, 1, 31, 6, 0, tzinfo=timezone.utc)
BULLETIN = Bulletin("[site: 1 critical]", "summary é <b>&\n", "log\n")
BAD = Finding("servers.disk.full", Status.CRITICAL, "servers/db:/data", "/data is 92 % full", hint="df -h")
PATH = "/services/T000/B000/canary-4711-secret"


def mail_to(port: int, **changes: Any) -> MailNotification:
    return MailNotification.model_validate({"host": "127.0.0.1", "port": port, "timeout": 1.5, **changes})


def hook(url: str, **changes: Any) -> WebhookNotification:
    return WebhookNotification(url=Secret.model_validate(url), timeout=1.5, **changes)


def report(*findings: Finding) -> Report:
    return Report("maintain daily", MOMENT, findings=findings)


def test_a_mail_arrives_as_it_was_written() -> None:
    with mail_server() as server:
        smtp.send(mail_to(server.port), "two\nBcc: evil@x lines", "corps é\n")
    (mail,) = server.mails
    assert mail["Subject"] == "two Bcc: evil@x lines"
    assert mail["Bcc"] is None
    assert mail["To"] == "ops@senelec.sn"
    assert mail.get_payload(decode=True).decode().strip() == "corps é"  # type: ignore[union-attr]


def test_a_mail_goes_through_starttls_and_a_password(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(faulty.self_signed(faulty.LOOPBACK))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        from aiosmtpd.smtp import AuthResult

        return AuthResult(success=data.password == b"right", handled=False)

    options: dict[str, Any] = {
        "tls_context": context,
        "require_starttls": True,
        "authenticator": authenticate,
        "auth_required": True,
    }
    with mail_server(**options) as server:
        asked = {"encryption": "starttls", "ca_file": certificate, "username": "samaops", "timeout": 10}
        smtp.send(mail_to(server.port, **asked, password="right"), "subject", "text")
        assert len(server.mails) == 1
        with pytest.raises(ClientError) as refused:
            smtp.send(mail_to(server.port, **asked, password="wrong-canary"), "subject", "text")
        assert refused.value.kind is FailureKind.AUTHENTICATION
        assert "canary" not in refused.value.message
        with pytest.raises(ClientError) as untrusted:
            smtp.send(mail_to(server.port, **{**asked, "ca_file": None}, password="right"), "subject", "text")
        assert untrusted.value.kind is FailureKind.TLS


def test_a_recipient_that_is_refused_is_named() -> None:
    with mail_server(refused="gone@senelec.sn") as server:
        both = mail_to(server.port, recipients=("ops@senelec.sn", "gone@senelec.sn"))
        with pytest.raises(ClientError, match=r"gone@senelec\.sn: 550 no such user"):
            smtp.send(both, "subject", "text")
        assert len(server.mails) == 1, "the others get it"


FAULTS: list[tuple[str, Callable[[], AbstractContextManager[tuple[str, int]]], FailureKind]] = [
    ("refused", faulty.refused_port, FailureKind.REFUSED),
    ("silent", faulty.silent, FailureKind.NO_ANSWER),
    ("hanging", faulty.hanging, FailureKind.NO_ANSWER),
    ("dripping", lambda: faulty.dripping(b"220 "), FailureKind.NO_ANSWER),
    ("closing", faulty.closing, FailureKind.CLOSED),
    ("full", lambda: faulty.garbage(b"421 too busy\r\n"), FailureKind.UNAVAILABLE),
]


@pytest.mark.parametrize(("name", "server", "kind"), FAULTS, ids=[one[0] for one in FAULTS])
def test_a_mail_server_that_fails_is_told_in_time(
    name: str, server: Callable[[], AbstractContextManager[tuple[str, int]]], kind: FailureKind
) -> None:
    with server() as (_host, port):
        started = time.monotonic()
        with pytest.raises(ClientError) as failed:
            smtp.send(mail_to(port), "subject", "text")
        assert time.monotonic() - started < 4
    assert failed.value.kind is kind, failed.value.message


def test_slack_gets_a_text_without_links_or_mentions() -> None:
    with http_listener() as slack:
        webhooks.slack(hook(slack.url + PATH), None, "<!channel> R&D")
    assert slack.asked[0][:2] == ("POST", PATH)
    assert slack.documents() == [{"text": "&lt;!channel&gt; R&amp;D"}]


# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
@pytest.mark.parametrize(
    ("status", "word"),
    [(400, "invalid_payload"), (403, "action_prohibited"), (404, "no_service"), (410, "channel_is_archived"),
     (500, "rollup_error"), (302, "")],
)  # fmt: skip
def test_what_slack_refuses_is_told_in_its_words_and_without_the_url(status: int, word: str) -> None:
    url = "https://hooks.slack.test" + PATH
    with responses.RequestsMock() as mock:
        mock.post(url, word, status=status)
        with pytest.raises(ClientError) as failed:
            webhooks.slack(hook(url), None, "text")
    assert failed.value.message == f"HTTP {status} {word}".strip()
    assert "canary" not in str(vars(failed.value))


def test_a_proxy_that_refuses_a_webhook_is_told_apart_and_shows_no_secret() -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"
    slack = hook("https://hooks.slack.test" + PATH, through_proxy=True)
    with faulty.answering(refusal) as (host, port), pytest.raises(ClientError) as failed:
        webhooks.slack(slack, Proxy(url=f"http://{host}:{port}"), "text")
    assert failed.value.kind is FailureKind.DEPENDENCY
    words = "HTTP 407 Proxy Authentication Required, Basic"
    assert failed.value.message == f"the proxy {host}:{port}: {words}"
    assert "canary" not in str(vars(failed.value))


@pytest.mark.parametrize("server", [faulty.refused_port, faulty.hanging, faulty.closing])
def test_a_webhook_that_fails_shows_no_secret(
    server: Callable[[], AbstractContextManager[tuple[str, int]]],
) -> None:
    with server() as (host, port), pytest.raises(ClientError) as failed:
        webhooks.slack(hook(f"http://{host}:{port}{PATH}"), None, "text")
    assert "canary" not in str(vars(failed.value))


def test_a_webhook_goes_through_the_proxy_when_it_is_told_to() -> None:
    with http_listener() as slack, _connect_proxy() as (proxy, seen):
        webhooks.slack(hook(slack.url + PATH, through_proxy=True), Proxy(url=proxy), "text")
        assert slack.paths == [PATH]
    assert seen == [slack.url.removeprefix("http://")]
    with pytest.raises(ClientError, match="proxy"):
        webhooks.slack(hook("http://127.0.0.1:1/", through_proxy=True), None, "text")


@contextlib.contextmanager
def _connect_proxy() -> Any:
    """A proxy that knows CONNECT only."""
    import socket
    import threading

    seen: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            client, _address = listener.accept()
            target = client.recv(4096).split()[1].decode()
            seen.append(target)
            host, _colon, port = target.partition(":")
            upstream = socket.create_connection((host, int(port)))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_pump, args=(client, upstream), daemon=True).start()
            _pump(upstream, client)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.close()


def _pump(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)


def test_a_ping_names_its_signal_behind_the_path() -> None:
    with http_listener() as switch:
        for signal in ("start", "", "fail"):
            webhooks.ping(hook(switch.url + "/uuid?create=1"), None, signal, "said")
        assert switch.paths == ["/uuid/start?create=1", "/uuid?create=1", "/uuid/fail?create=1"]


def test_alerts_fire_and_end_in_the_form_of_alertmanager() -> None:
    with http_listener(answer=b"") as listener:
        settings = Settings(site="s", notify=Notify(alertmanager=Endpoint(url=listener.url)))
        first = announce.prepare(Site(settings), report(BAD), BULLETIN, ())
        assert announce.send(Site(settings), first) == ()
        healed = Finding(BAD.code, Status.OK, BAD.subject, "fine")
        second = announce.prepare(Site(settings), report(healed), BULLETIN, first.alerts)
        assert announce.send(Site(settings), second) == ()
    (fired,), (ended,) = listener.documents()
    assert listener.paths[0] == alertmanager.POST_PATH
    assert fired["labels"] == ended["labels"]
    assert fired["labels"]["alertname"] == "servers.disk.full"
    assert fired["annotations"] == {"summary": BAD.title, "hint": "df -h"}
    now = datetime.now(timezone.utc).isoformat()
    assert fired["endsAt"] > now >= ended["endsAt"]


def test_a_run_of_other_tasks_ends_no_alert() -> None:
    settings = Settings(site="s")
    first = announce.prepare(Site(settings), report(BAD), BULLETIN, ())
    other = Finding("redis.service.unreachable", Status.OK, "redis/workers", "fine")
    second = announce.prepare(Site(settings), report(other), BULLETIN, first.alerts)
    assert second.ended == ()
    assert second.alerts == first.alerts


def test_nobody_is_told_that_all_is_well() -> None:
    with http_listener() as slack, mail_server() as mail:
        settings = Settings(notify=Notify(slack=hook(slack.url), mail=mail_to(mail.port)))
        fine = Finding("a.b", Status.OK, "a/x", "fine")
        assert (
            announce.send(Site(settings), announce.prepare(Site(settings), report(fine), BULLETIN, ())) == ()
        )
        assert (slack.asked, mail.mails) == ([], [])


def test_channels_that_fail_or_hang_stop_no_other_and_are_named() -> None:
    with http_listener(404, b"no_service") as slack, mail_server() as mail, faulty.hanging() as (host, port):
        settings = Settings(
            notify=Notify(
                slack=hook(slack.url + PATH),
                mail=mail_to(mail.port),
                alertmanager=Endpoint(url=f"http://{host}:{port}", timeout=1.0),
            )
        )
        started = time.monotonic()
        notes = announce.send(Site(settings), announce.prepare(Site(settings), report(BAD), BULLETIN, ()))
        assert time.monotonic() - started < 4
    assert [one["Subject"] for one in mail.mails] == [BULLETIN.subject]
    assert sorted(notes) == [
        "The notification by alertmanager failed: no answer within 1 s",
        "The notification by slack failed: HTTP 404 no_service",
    ]


def test_a_secret_that_is_not_there_is_a_failure_of_its_channel_only() -> None:
    missing = WebhookNotification(url=Secret(env="SAMAOPS_TEST_NO_SUCH_VARIABLE"))
    settings = Settings(notify=Notify(slack=missing))
    (note,) = announce.send(Site(settings), announce.prepare(Site(settings), report(BAD), BULLETIN, ()))
    assert "SAMAOPS_TEST_NO_SUCH_VARIABLE" in note


@pytest.mark.parametrize(("is_success", "last"), [(True, "/uuid"), (False, "/uuid/fail")])
def test_the_dead_mans_switch_says_start_and_end_in_this_order(is_success: bool, last: str) -> None:
    with http_listener() as listener:
        switch = announce.DeadMansSwitch(Site(Settings(notify=Notify(ping=hook(listener.url + "/uuid")))))
        switch.begin()
        assert switch.end(is_success=is_success, text="1 critical") == ()
        assert listener.paths == ["/uuid/start", last]
        assert listener.asked[1][2] == b"1 critical"


@pytest.mark.parametrize("server", [faulty.refused_port, faulty.hanging, faulty.silent, faulty.closing])
def test_a_dead_mans_switch_that_is_dead_itself_delays_nothing_by_much(
    server: Callable[[], AbstractContextManager[tuple[str, int]]],
) -> None:
    with server() as (host, port):
        started = time.monotonic()
        switch = announce.DeadMansSwitch(
            Site(Settings(notify=Notify(ping=hook(f"http://{host}:{port}{PATH}"))))
        )
        switch.begin()
        assert time.monotonic() - started < 0.5, "the work begins at once"
        (note,) = switch.end(is_success=True, text="")
        assert time.monotonic() - started < 7
    assert note.startswith("The notification by ping failed: ")
    assert "canary" not in note


def test_mail_is_tried_out_with_all_but_a_mail() -> None:
    with mail_server(refused="gone@senelec.sn") as server:
        smtp.try_out(mail_to(server.port))
        with pytest.raises(ClientError) as caught:
            smtp.try_out(mail_to(server.port, recipients=["ops@senelec.sn", "gone@senelec.sn"]))
        assert "gone@senelec.sn: 550" in caught.value.message
        smtp.send(mail_to(server.port), "subject", "text")
    assert len(server.mails) == 1
