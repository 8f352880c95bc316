"""What a container showed: parts without secrets, each that could not be seen with its reason, and never a failure."""

from __future__ import annotations

import json

import pytest

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.docker import evidence
from samaops.facts.docker import EvidenceFacts, EvidencePart

TOKEN = "t0"
CANARY = "s3cr3t-canary"
LOG = json.dumps(
    {"log": f"connect to amqp://u:{CANARY}@h/\n", "stream": "stderr", "time": "2026-01-31T03:12:00.123Z"}
)


def read(*sections: tuple[str, str], complaints: str = "") -> dict[str, EvidencePart]:
    stdout = "".join(f"\n@@{TOKEN} {name}\n{text}\n" for name, text in sections)
    return {part.name: part for part in evidence.read(Completed(0, stdout, complaints), TOKEN)}


def test_no_secret_of_the_environment_is_kept_wherever_it_stands() -> None:
    parts = read(
        ("variables", json.dumps([f"DB_PASSWORD={CANARY}", "LOG_LEVEL=INFO"])),
        ("state", '{"state":{"Status":"running"}}\nexit 0'),
        ("log", f"file /l: 10 bytes, 0 NUL bytes in its end\n{LOG}\nplain {CANARY}\nexit 0"),
        ("server", "0.1 0.2 0.3\nexit 0"),
    )
    assert CANARY not in json.dumps([(part.name, part.lines, part.failure) for part in parts.values()])
    assert parts["log"].lines[1].startswith("2026-01-31T03:12:00.123 connect to amqp://")
    assert "variables" not in parts


def test_what_only_root_may_see_is_named_and_the_rest_is_kept() -> None:
    parts = read(
        ("variables", "[]"), ("state", "{}\nexit 0"), ("threads", "exit 1"), ("server", "1\nexit 0"),
        complaints=f"@@{TOKEN} threads\nsudo: a password is required\n",
    )  # fmt: skip
    assert parts["threads"].failure == "sudo: a password is required"
    assert (parts["state"].lines, parts["state"].failure) == (("{}",), "")
    assert parts["sockets"].failure == "the container does not run"


def test_a_look_that_was_cut_off_keeps_what_it_had_and_says_so() -> None:
    parts = read(("state", "{}\nexit 0"), ("log", "one\ntwo"))
    assert (parts["log"].lines, parts["log"].failure) == (("one", "two"), "it was cut off")
    assert parts["server"].failure == "there was no time left for it"


def test_a_server_that_says_nothing_is_no_evidence_and_a_look_never_fails() -> None:
    with pytest.raises(ClientError):
        evidence.read(Completed(1, "", "sh: not found"), TOKEN)


def test_who_waits_to_be_accepted_is_read_from_the_listening_sockets_alone() -> None:
    lines = ("LISTEN 3 128 10.0.0.2:8001 0.0.0.0:*", "LISTEN 0 128 [::]:22 [::]:*", "  4 ESTAB 10.0.0.1:9")
    facts = EvidenceFacts(
        "a1", "", 0, (EvidencePart("sockets", lines), EvidencePart("log", ("LISTEN 9 9 x:1",)))
    )
    assert facts.waiting == {"10.0.0.2:8001": 3}
