"""samaops notify test and samaops silence as a person meets them: exit codes, consent, one JSON document."""

from __future__ import annotations

from pathlib import Path

from tests.contract.conftest import Samaops, redis_at
from tests.service.listeners import http_listener

Address = tuple[str, int]
REASON = ("--reason", "a migration")


def configured(samaops: Samaops, redis: Address, notify: str = "") -> Path:
    safety = f'[safety]\nlock_directory = "{samaops.home}"\n'
    return samaops.configure(f'site = "contract"\n{redis_at(redis)}\n{safety}{notify}')


def test_a_test_ends_as_the_contract_says(samaops: Samaops, refused: Address, redis_server: Address) -> None:
    nobody = configured(samaops, redis_server)
    assert samaops("--config", nobody, "notify", "test").code == 78
    closed = f'[notify.webhooks.own]\nurl = "http://{refused[0]}:{refused[1]}/canary"\n'
    unreached = samaops("--config", configured(samaops, redis_server, closed), "notify", "test", "-o", "json")
    assert unreached.code == 69
    assert unreached.json()["notify_test"][0]["state"] == "failed"
    assert "canary" not in unreached.stdout + unreached.stderr
    with http_listener() as hook:
        both = f'[notify.slack]\nurl = "{hook.url}/T"\n{closed}'
        config = configured(samaops, redis_server, both)
        assert samaops("--config", config, "notify", "test").code == 2
        assert samaops("--config", config, "notify", "test", "--to", "slack").code == 0
        assert samaops("--config", config, "notify", "test", "--to", "teams").code == 64
        asked = len(hook.asked)
        planned = samaops("--config", config, "notify", "test", "--dry-run", "-o", "json")
        assert (planned.code, len(hook.asked)) == (0, asked)
        assert {row["state"] for row in planned.json()["notify_test"]} == {"planned"}


def test_a_silence_asks_is_kept_and_leaves_the_exit_code(samaops: Samaops, refused: Address) -> None:
    config = configured(samaops, refused)
    wanted = ("--config", config, "silence", "redis.service.unreachable", "--for", "4h", *REASON)
    diagnose = ("--config", config, "diagnose", "--only", "redis", "-o", "json")
    before = samaops(*diagnose)
    assert samaops(*wanted).code == 77
    assert samaops("--config", config, "silence", "list", "-o", "json").json()["silences"] == []
    done = samaops(*wanted, "--yes", "-o", "json")
    assert (done.code, done.json()["actions"][0]["status"]) == (0, "verified")
    looked = samaops(*diagnose)
    document = looked.json()
    assert (looked.code, document["status"]) == (before.code, before.json()["status"])
    (finding,) = [each for each in document["findings"] if each["status"] == "critical"]
    assert finding["silenced"]["reason"] == "a migration"
    again = samaops(*wanted, "--yes")
    assert again.code == 0
    assert "silenced so already" in again.stdout
    assert samaops("--config", config, "silence", "end", "1", "--yes").code == 0
    (row,) = samaops("--config", config, "silence", "list", "-o", "json").json()["silences"]
    assert (row["is_active"], row["ended_why"]) == (False, "ended by hand")


def test_what_is_no_silence_is_refused(samaops: Samaops, redis_server: Address) -> None:
    config = configured(samaops, redis_server)
    for words in (
        ("redis.no.such", "--for", "4h", *REASON),
        ("redis.memory.high", "--for", "4h"),
        ("redis.memory.high", *REASON),
        ("redis.memory.high", "--for", "60d", *REASON),
        ("redis.memory.high", "--for", "4h", "--reason", " "),
        ("redis.memory.high", "redis/nowhere", "--for", "4h", *REASON),
        ("end",),
        ("end", "7"),
        ("list", "--for", "4h"),
    ):
        refused = samaops("--config", config, "silence", *words, "--yes")
        assert refused.code == 64, (words, refused.stdout, refused.stderr)
        assert "Traceback" not in refused.stderr
