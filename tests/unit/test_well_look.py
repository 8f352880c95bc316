"""The last look that was all well is kept privately, whole or not at all, and without a secret."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from samaops import __version__
from samaops.collect import kept_files
from samaops.collect.docker import definition
from samaops.collect.rabbitmq import definitions
from samaops.config.settings import Settings
from samaops.facts.observation import Snapshot
from samaops.facts.portrait import TEXT_CHARACTERS, Trait
from samaops.facts.selection import EVERYTHING, Selection
from samaops.journal import digests, well
from samaops.journal.well import WellLook
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import since_well

MOMENT = datetime(2026, 1, 31, 2, 10, tzinfo=timezone.utc)
LOOK = WellLook(MOMENT, {"redis@workers/setting": {"save": {"": Trait("60 1", 5.5)}}})
CANARY = "canary-e5c7"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "samaops"


def test_what_was_kept_is_read_back_for_its_own_site_only(state: Path) -> None:
    well.keep("a/b é", LOOK)
    assert well.load("a/b é") == LOOK
    assert well.load("a") is None
    (file,) = (state / "well").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def document(**fields: Any) -> bytes:
    usual = {
        "schema": well.SCHEMA,
        "samaops": __version__,
        "site": "a",
        "look": {"at": "2026-01-31T02:10:00Z", "portrait": {}},
    }
    return json.dumps({**usual, **fields}).encode()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b"[" * 100_000, document(look=None), document(look={"at": 1, "portrait": []}),
     document(schema="x"), document(site="b"), document(samaops="0.0.1")],
)  # fmt: skip
def test_what_is_no_look_is_none(content: bytes) -> None:
    well.keep("a", LOOK)
    well.path_of("a").write_bytes(content)
    assert well.load("a") is None
    well.path_of("a").write_bytes(document())
    assert well.load("a") is not None


def test_a_look_that_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(well, "_LARGEST_BYTES", 100)
    well.keep("a", LOOK)
    assert not well.path_of("a").exists()


def test_without_a_place_nothing_is_kept_and_nothing_fails(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state.write_bytes(b"")
    with caplog.at_level(logging.DEBUG):
        well.keep("a", LOOK)
    assert len(caplog.records) == 1
    assert well.load("a") is None
    assert digests.of("x") == digests.of("x")  # for this run


def test_digests_hold_from_run_to_run_and_their_key_is_private(state: Path) -> None:
    digest = digests.of(CANARY)
    digests._key.cache_clear()
    assert digests.of(CANARY) == digest != digests.of(f"{CANARY}2")
    assert (state / "digest.key").stat().st_mode & 0o777 == 0o600
    (state / "digest.key").unlink()
    digests._key.cache_clear()
    assert digests.of(CANARY)[:5] != digest[:5]  # another key can be told


@pytest.mark.parametrize(
    "name",
    ["requirepass", "masterauth", "primary_conninfo", "archive_command", "SECRET_KEY", "api_key", "x.token"],
)
def test_the_value_of_a_secret_name_is_a_digest(name: str) -> None:
    assert CANARY not in digests.unless_harmless(name, CANARY)


def test_a_harmless_value_is_kept_and_bounded() -> None:
    assert digests.unless_harmless("notify-keyspace-events", "Ex") == "Ex"
    one, other = (digests.unless_harmless("a", "x" * 5000 + end) for end in "ab")
    assert len(one) == TEXT_CHARACTERS
    assert one != other


CONTAINER = {
    "name": "/api", "labels": {"owner": CANARY, "com.docker.compose.config-hash": "h"}, "network": "host", "user": "",
    "environment": [f"DATABASE_URL=postgresql://u:{CANARY}@h/d", f"ODD={CANARY}", "REDIS_HOST=10.0.0.1", "EMPTY",
                    f"SECRET_HOST={CANARY}"],
    "mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "RW": False}], "hosts": None, "ports": None,
    "entrypoint": None, "command": ["redis-server", "--requirepass", CANARY],
}  # fmt: skip
DEFINITIONS = {
    "users": [{"name": "u", "password_hash": CANARY, "tags": ["administrator"], "limits": {"max-channels": 5}}],
    "vhosts": [{"name": "/"}],
    "permissions": [{"user": "u", "vhost": "/", "configure": "", "write": "^a$", "read": ".*"}],
    "topic_permissions": [{"user": "u", "vhost": "/", "exchange": "e", "write": "^t$", "read": ".*"}],
    "policies": [
        {"vhost": "/", "name": "p", "pattern": ".*", "apply-to": "all", "definition": {"b": 1, "a": 2}, "priority": 0}
    ],
    "parameters": [
        {"component": "shovel", "name": "s", "vhost": "/", "value": {"src-uri": f"amqp://u:{CANARY}@h"}},
        {"component": "vhost-limits", "name": "limits", "vhost": "/", "value": {"max-connections": 10}},
    ],
    "queues": [
        {"name": "q", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {"x-max-priority": 10}},
        {"name": "a.pidbox", "vhost": "/", "durable": False, "auto_delete": True, "arguments": {}},
    ],
    "exchanges": [{"name": "e", "vhost": "v", "durable": True, "auto_delete": False, "type": "direct", "arguments": {}}],
    "bindings": [
        {"source": "e", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "k"},
        {"source": "e", "vhost": "/", "destination": "a.pidbox", "destination_type": "queue", "routing_key": ""},
    ],
}  # fmt: skip


class _Api:
    def get(self, path: str) -> Any:
        assert path == "definitions"
        return DEFINITIONS


def test_no_secret_of_a_container_is_kept() -> None:
    digest = "0" * 64
    things = definition.configuration_of(
        [CONTAINER], {"api": 7.0}, ["1700000000.5 /c.yml", f"{digest}  /c.yml", "exit 0"]
    )
    text = json.dumps(things, default=lambda trait: trait.value)
    assert CANARY not in text
    assert digest not in text
    container = things["container"]["api"]
    assert container["environment REDIS_HOST"] == Trait("10.0.0.1", 7.0)
    assert container["mount /b"].value == "/a ro"
    assert things["file"]["/c.yml"][""].at == 1_700_000_000.5
    assert "file" not in definition.configuration_of([CONTAINER], {}, ["exit 1"])
    assert "file" not in definition.configuration_of([CONTAINER], {}, None)


def test_no_secret_of_a_broker_is_kept_and_nothing_that_comes_and_goes() -> None:
    things = definitions.read_definitions(_Api())  # type: ignore[arg-type]
    assert CANARY not in json.dumps(things, default=lambda trait: trait.value)
    assert things["user"]["u"] == {"tags": Trait("administrator"), "limit max-channels": Trait("5")}
    assert things["permission"]["u"]["write e"] == Trait("^t$")
    assert things["policy"]["p"]["definition"] == Trait('{"a": 2, "b": 1}')
    assert things["parameter"]["vhost-limits limits"][""] == Trait('{"max-connections": 10}')
    assert things["queue"] == {"q": {"durable": Trait("true"), "argument x-max-priority": Trait("10")}}
    assert list(things["exchange"]) == ["e in v"]
    assert list(things["binding"]) == ["e -> q (k)"]


def test_lines_of_files_that_are_none_are_left_out() -> None:
    assert list(kept_files.rows("file", ["find: /x: Permission denied", f"\\{'0' * 64}  /a", "1 2"])) == []


def reported(status: Status, **fields: Any) -> Report:
    return Report("diagnose", MOMENT, findings=(Finding("redis.service", status, "redis/w", "t"),), **fields)


@pytest.mark.parametrize(
    ("report", "selection", "is_kept"),
    [
        (reported(Status.OK), EVERYTHING, True),
        (reported(Status.OK), Selection(deep=True), True),
        (reported(Status.WARNING), EVERYTHING, False),
        (reported(Status.UNKNOWN), EVERYTHING, False),
        (reported(Status.OK, deadline_hit=True), EVERYTHING, False),
        (reported(Status.OK), Selection(only=("redis",)), False),
        (reported(Status.OK), Selection(skip=("docker",)), False),
        (Report("diagnose", MOMENT), EVERYTHING, False),
    ],
)
def test_only_a_look_at_everything_that_found_all_well_is_kept(
    report: Report, selection: Selection, is_kept: bool
) -> None:
    site = Site(Settings(site="unit"))
    since_well.keep_if_well(report, Snapshot(MOMENT), site, selection)
    assert (well.load("unit") is not None) == is_kept
