"""samaops maintain as cron meets it: silence, exit codes, one log section, never two at once, an end in time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.contract.conftest import Samaops, redis_at, wait_until
from tests.service import faulty
from tests.service.listeners import Listener, http_listener, mail_server
from tests.unit.render.test_machines import SCHEMA

Address = tuple[str, int]
DAILY = ("maintain", "daily", "--only", "redis")


def configured(samaops: Samaops, redis: Address, more: str = "", maintenance: str = "") -> Path:
    """Return a configuration with its log and its lock in the home of the test."""
    return samaops.configure(
        f'site = "contract"\n{redis_at(redis)}\n'
        f'[safety]\nlock_directory = "{samaops.home}"\n'
        f'[maintenance]\nlog = "{log_of(samaops)}"\n{maintenance}\n{more}'
    )


def log_of(samaops: Samaops) -> Path:
    return samaops.home / "log" / "daily.log"


def records(samaops: Samaops) -> int:
    """Return how many runs the history remembers."""
    import sqlite3

    path = samaops.home / "state" / "samaops" / "history.sqlite3"
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute("SELECT count(*) FROM samaops_records").fetchone()
        return int(count)
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def test_all_well_is_silent_and_leaves_one_section_in_the_log(
    samaops: Samaops, redis_server: Address
) -> None:
    config = configured(samaops, redis_server)
    for _run in range(2):
        done = samaops("--config", config, *DAILY)
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
    log = log_of(samaops).read_text()
    assert log.count("contract: samaops maintain daily: 2 ok") == 2
    assert log.count("---\n") == 2
    assert records(samaops) == 2


def test_verbose_shows_what_is_well(samaops: Samaops, redis_server: Address) -> None:
    done = samaops("-v", "--config", configured(samaops, redis_server), *DAILY)
    assert done.code == 0
    assert done.stdout.startswith("✓ OK  All is well: 2 checks\n")


def test_every_face_is_there_when_it_is_asked_for(samaops: Samaops, redis_server: Address) -> None:
    config = configured(samaops, redis_server)
    document = samaops("--config", config, *DAILY, "-o", "json").json()
    jsonschema.validate(document, SCHEMA)
    assert document["command"] == "maintain daily"
    assert {one["code"] for one in document["findings"]} == {
        "redis.service.unreachable",
        "maintenance.history.unreadable",
    }
    for face, beginning in (
        ("nagios", "SAMACONSO OK"),
        ("junit", "<?xml"),
        ("prometheus", "#"),
        ("markdown", "#"),
    ):
        assert samaops("--config", config, *DAILY, "-o", face).stdout.startswith(beginning), face


def test_what_is_wrong_is_on_stdout_in_the_log_and_told(samaops: Samaops, refused: Address) -> None:
    with mail_server() as mail, http_listener() as slack, http_listener() as switch:
        notify = (
            f'[notify.mail]\nhost = "127.0.0.1"\nport = {mail.port}\n'
            f'[notify.slack]\nurl = "{slack.url}/T/B/canary"\n[notify.ping]\nurl = "{switch.url}/uuid"\n'
        )
        config = configured(samaops, refused, notify)
        done = samaops("--config", config, *DAILY)
        assert (done.code, done.stderr) == (2, "")
        assert "redis" in done.stdout
        subject = " ".join(mail.mails[0]["Subject"].split())  # a long header is folded
        assert subject.startswith("[contract] critical: ")
        assert "Redis" in subject
        text = slack.documents()[0]["text"]
        assert text.startswith(subject)
        assert "refuses connections" in text
        assert f"samaops --config {config} explain redis-down" in text
        assert switch.paths == ["/uuid/start", "/uuid/fail"]
    assert "refuses connections" in log_of(samaops).read_text()
    assert "canary" not in log_of(samaops).read_text()


def test_a_channel_that_fails_is_told_on_stderr_and_in_the_log(samaops: Samaops, refused: Address) -> None:
    with faulty.hanging() as (host, port):
        notify = f'[notify.slack]\nurl = "http://{host}:{port}/T/canary"\ntimeout = 1\n'
        done = samaops("--config", configured(samaops, refused, notify), *DAILY)
    assert done.code == 2
    assert done.stderr == "samaops: The notification by slack failed: no answer within 1 s\n"
    assert "! The notification by slack failed" in log_of(samaops).read_text()


def test_a_ping_that_hangs_neither_breaks_nor_delays_the_job(samaops: Samaops, redis_server: Address) -> None:
    with faulty.hanging() as (host, port):
        notify = f'[notify.ping]\nurl = "http://{host}:{port}/uuid"\ntimeout = 1\n'
        done = samaops("--config", configured(samaops, redis_server, notify), *DAILY)
    assert (done.code, done.stdout) == (0, "")
    assert done.seconds < 20


def test_a_dry_run_keeps_nothing_and_tells_nobody(samaops: Samaops, refused: Address) -> None:
    with http_listener() as slack:
        config = configured(samaops, refused, f'[notify.slack]\nurl = "{slack.url}/T"\n')
        done = samaops("--config", config, *DAILY, "--dry-run")
        assert done.code == 2
        assert slack.asked == []
    assert not log_of(samaops).exists()
    assert records(samaops) == 0


def test_a_log_that_cannot_be_written_falls_back_with_a_note(samaops: Samaops, redis_server: Address) -> None:
    (samaops.home / "log").write_text("a file, no directory")
    done = samaops("--config", configured(samaops, redis_server), *DAILY)
    own = samaops.home / "state" / "samaops" / "daily.log"
    assert (done.code, done.stdout) == (0, "")
    assert str(own) in done.stderr
    assert "2 ok" in own.read_text()


def test_a_history_that_cannot_be_written_is_unknown_and_stops_nothing(
    samaops: Samaops, redis_server: Address
) -> None:
    (samaops.home / "state").write_text("a file, no directory")
    done = samaops("--config", configured(samaops, redis_server), *DAILY, "-o", "json")
    statuses = {one["code"]: one["status"] for one in done.json()["findings"]}
    assert statuses == {"maintenance.history.unreadable": "unknown", "redis.service.unreachable": "ok"}
    assert done.code == 3


NOTIFY = '[notify.slack]\nurl = "{slack.url}/T/B/canary"\n[notify.ping]\nurl = "{switch.url}/uuid"\n'


@contextlib.contextmanager
def told() -> Iterator[tuple[str, Listener, Listener]]:
    """Yield a configuration that tells, and what is told: the chat, and the dead man's switch."""
    with http_listener() as slack, http_listener() as switch:
        yield NOTIFY.format(slack=slack, switch=switch), slack, switch


def text_of(slack: Listener) -> str:
    return "".join(document["text"] for document in slack.documents())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("[redis]\nprot = 1\n", "did you mean port?"),
        ("[redis\nport = 1\n", "not valid TOML"),
        ("[redis]\nport = 1\nport = 2\n", "not valid TOML"),
        ("[notify.mail]\nhots = 1\n", "notify.mail"),
        ('[servers.db]\naddress = "127.0.0.1"\n[postgresql]\nserver = "dp"\n', "dp"),
        ("", "Nothing of redis is configured"),
    ],
    ids=["key", "toml", "twice", "mail", "server", "task"],
)
def test_a_configuration_that_cannot_be_used_is_told_78(samaops: Samaops, broken: str, said: str) -> None:
    with told() as (notify, slack, switch):
        log = f'[maintenance]\nlog = "{log_of(samaops)}"\n'
        config = samaops.configure(f'site = "contract"\n{notify}{broken}{log}')
        done = samaops("--config", config, *DAILY)
        assert done.code == 78
        assert said in done.stderr
        assert "contract: samaops maintain daily: " in text_of(slack)
        assert said in text_of(slack)
        assert switch.paths == ["/uuid/fail"]
    assert said in log_of(samaops).read_text()


def test_a_configuration_that_others_may_read_is_told_and_a_dry_run_tells_nobody(samaops: Samaops) -> None:
    with told() as (notify, slack, switch):
        config = samaops.configure(f'site = "contract"\n{notify}')
        config.chmod(0o644)
        assert samaops("--config", config, *DAILY, "--dry-run").code == 78
        assert (slack.asked, switch.asked) == ([], [])
        assert samaops("--config", config, *DAILY).code == 78
        assert len(slack.asked) == len(switch.asked) == 1


def test_without_any_configuration_there_is_nobody_to_tell_78(samaops: Samaops) -> None:
    done = samaops("--config", samaops.home / "none.toml", *DAILY)
    assert (done.code, done.stderr.count("samaops: ")) == (78, 1)


def test_a_place_for_locks_that_cannot_be_used_is_told_77(samaops: Samaops, redis_server: Address) -> None:
    with told() as (notify, slack, switch):
        config = configured(samaops, redis_server, notify)
        (samaops.home / "file").touch()
        config.write_text(config.read_text().replace(f'"{samaops.home}"', f'"{samaops.home}/file/x"'))
        assert samaops("--config", config, *DAILY).code == 77
        assert "cannot be opened" in text_of(slack)
        assert switch.paths == ["/uuid/fail"]


def test_a_run_that_is_killed_politely_is_told_130(samaops: Samaops, hanging: Address) -> None:
    with told() as (notify, slack, switch):
        config = configured(samaops, hanging, notify)
        config.write_text(config.read_text().replace("timeout = 2", "timeout = 50"))
        with subprocess.Popen(
            samaops.command("--config", config, *DAILY), env=samaops.environment(), stdin=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: switch.paths == ["/uuid/start"], 60)
            process.terminate()
            assert process.wait(60) == 130
        assert "interrupted" in text_of(slack)
        assert switch.paths == ["/uuid/start", "/uuid/fail"]


@pytest.mark.parametrize(("seconds", "is_told"), [(3600, False), (6, True)])
def test_a_run_that_holds_the_lock_beyond_its_limit_is_told_75(
    samaops: Samaops,
    redis_server: Address,
    hanging_run: subprocess.Popen[bytes],
    seconds: int,
    is_told: bool,
) -> None:
    with told() as (notify, slack, switch):
        config = configured(samaops, redis_server, notify, f"limit_seconds = {seconds}")
        held_since = time.monotonic()
        wait_until(lambda: not is_told or time.monotonic() - held_since > seconds + 1, seconds + 10)
        assert samaops("--config", config, *DAILY).code == 75
        assert (f"process {hanging_run.pid}," in text_of(slack)) is is_told
        assert "/uuid/start" not in switch.paths, "the run that has the lock has said that it began"
        assert bool(switch.paths) is is_told


def test_an_answer_that_cannot_be_written_is_no_success_and_the_ping_comes_last(
    samaops: Samaops, redis_server: Address
) -> None:
    with told() as (notify, _slack, switch), Path("/dev/full").open("w") as full:
        config = configured(samaops, redis_server, notify)
        command = samaops.command("-v", "--config", config, *DAILY)
        done = subprocess.run(
            command, env=samaops.environment(), stdin=-3, stdout=full, stderr=-1, check=False
        )
        assert done.returncode == 70
        assert switch.paths == ["/uuid/start", "/uuid/fail"]


@pytest.fixture
def hanging_run(samaops: Samaops) -> Iterator[subprocess.Popen[bytes]]:
    """A run that holds the lock until it is killed, because its Redis answers nothing."""
    with faulty.hanging() as redis:
        config = configured(samaops, redis, maintenance="limit_seconds = 60")
        config.write_text(config.read_text().replace("timeout = 2", "timeout = 50"))
        process = subprocess.Popen(
            samaops.command("--config", config, *DAILY),
            env=samaops.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: _is_locked(samaops.home), 60)
            yield process
        finally:
            process.kill()
            process.wait(10)


def _is_locked(directory: Path) -> bool:
    for path in directory.glob("samaops-contract*.lock"):
        file = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
    return False


def test_a_second_run_is_75_and_names_the_first(
    samaops: Samaops, redis_server: Address, hanging_run: subprocess.Popen[bytes]
) -> None:
    config = configured(samaops, redis_server)
    done = samaops("--config", config, *DAILY, "-o", "json")
    assert done.code == 75
    error = done.json()["errors"][0]
    assert f"process {hanging_run.pid}," in error["message"]
    assert samaops("--config", config, *DAILY, "--dry-run").code == 0, "looking disturbs nobody"
    hanging_run.kill()
    hanging_run.wait(10)
    assert samaops("--config", config, *DAILY).code == 0, "the lock died with its owner"


def test_a_run_that_hangs_is_ended_at_its_limit_and_told(samaops: Samaops) -> None:
    with faulty.hanging() as redis, http_listener() as switch:
        maintenance = "limit_seconds = 2"
        notify = f'[notify.ping]\nurl = "{switch.url}/uuid"\n'
        config = configured(samaops, redis, notify, maintenance)
        config.write_text(config.read_text().replace("timeout = 2", "timeout = 50"))
        started = time.monotonic()
        done = samaops("--config", config, *DAILY, "-o", "json")
        assert time.monotonic() - started < 30
        assert switch.paths == ["/uuid/start", "/uuid/fail"]
    assert done.code in (2, 3)
    assert json.loads(done.stdout)["deadline_hit"] is True
    assert log_of(samaops).exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--only", "redsi"), 64, "did you mean redis?"),
        (("--only", "backup"), 78, "Nothing of backup is configured"),
    ],
)
def test_a_task_that_is_not_there_is_named(
    samaops: Samaops, redis_server: Address, words: tuple[str, ...], code: int, said: str
) -> None:
    done = samaops("--config", configured(samaops, redis_server), "maintain", "daily", *words)
    assert done.code == code
    assert said in done.stderr


def test_list_names_every_task_without_any_configuration(samaops: Samaops) -> None:
    names = ["disk", "containers", "images", "releases", "logs", "postgresql", "redis", "probe", "backup"]
    human = samaops("maintain", "list").stdout
    assert all(f"  {name} " in human for name in names)
    document = samaops("maintain", "list", "-o", "json").json()
    daily = [task for task in document["tasks"] if task["run"] == "daily"]
    assert [task["name"] for task in daily] == names
    assert [task["name"] for task in daily if task["changes"]] == ["images", "releases"]
    assert {task["run"] for task in document["tasks"]} == {"daily", "weekly", "monthly"}
