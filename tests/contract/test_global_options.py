"""Options that stand anywhere in the line: which configuration, which language, how much is told and where."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.conftest import Samaops, Terminal, redis_at

Address = tuple[str, int]
GOLDEN = Path(__file__).parents[1] / "data" / "golden"


@pytest.fixture
def well(tmp_path: Path) -> Path:
    """Return a saved look that found all well."""
    path = tmp_path / "well.json"
    path.write_bytes(gzip.decompress((GOLDEN / "look.healthy.json.gz").read_bytes()))
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("--config", "{}", "--lang", "fr", "config", "show"),
        ("config", "--config", "{}", "--lang", "fr", "show"),
        ("config", "show", "--lang", "fr", "--config", "{}"),
        ("--lang=fr", "config", "--config={}", "show"),
        ("config", "--lang", "en", "show", "--config", "{}", "--lang", "fr"),
    ],
)
def test_a_global_option_may_stand_anywhere(samaops: Samaops, words: tuple[str, ...]) -> None:
    path = samaops.configure('site = "dakar"\n[servers.db]\naddress = "127.0.0.1"\n')
    done = samaops(*(word.format(path) for word in words))
    assert (done.code, done.stderr) == (0, "")
    assert "dakar" in done.stdout
    assert "127.0.0.1" in done.stdout


def test_commands_that_change_and_those_of_the_lab_take_them_too(samaops: Samaops) -> None:
    path = samaops.configure('[servers.db]\naddress = "127.0.0.1"\n')
    done = samaops("queue", "purge", "low_priority", "--dry-run", "--config", path, "--lang", "fr")
    assert (done.code, done.stderr.splitlines()[0]) == (64, "samaops: [rabbitmq] n'est pas configuré")
    done = samaops("lab", "status", "--dir", samaops.home / "none", "--lang", "fr")
    assert "arrêté" in done.stdout


def test_what_is_shown_chooses_the_same_configuration(samaops: Samaops) -> None:
    path = samaops.configure('[servers.db]\naddress = "127.0.0.1"\n')
    done = samaops("docker", "logs", "c1", "--config", path)
    assert f"  -> samaops --config {path} config show" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--lab", "diagnose", "--config", "x"), "--config and --lab exclude each other"),
        (("diagnose", "-q", "-v"), "--verbose and --quiet exclude each other"),
        (("diagnose", "--lang", "de"), "'de' is not a language of samaops"),
        (("diagnose", "--log-level", "loud"), "'loud' is not a level of the log"),
    ],
)
def test_what_cannot_be_meant_is_refused_wherever_it_stands(
    samaops: Samaops, words: tuple[str, ...], sentence: str
) -> None:
    done = samaops(*words)
    assert (done.code, done.stderr.splitlines()[0]) == (64, f"samaops: {sentence}")


def test_a_value_that_looks_like_a_global_option_is_a_value(samaops: Samaops) -> None:
    done = samaops("explain", "--", "--lab")
    assert done.code == 64
    assert "'--lab'" in done.stderr


def test_quiet_says_nothing_when_all_is_well_and_the_rest_as_ever(samaops: Samaops, well: Path) -> None:
    done = samaops("diagnose", "--from", well, "-q")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert samaops("diagnose", "--from", well, "-q", "-o", "json").json()["status"] == "ok"
    ill = well.with_name("ill.json")
    ill.write_bytes(gzip.decompress((GOLDEN / "look.queue-without-consumer.json.gz").read_bytes()))
    assert samaops("-q", "diagnose", "--from", ill).stdout == samaops("diagnose", "--from", ill).stdout


def test_quiet_shows_no_progress_on_a_terminal(samaops: Samaops, hanging: Address) -> None:
    config = samaops.configure(redis_at(hanging))
    only = ("--only", "redis.service")
    with Terminal(samaops, "--config", config, "diagnose", *only) as terminal:
        assert "Looking" in terminal.rest()
    with Terminal(samaops, "--config", config, "diagnose", *only, "-q") as terminal:
        assert "Looking" not in terminal.rest()


def test_debug_tells_on_stderr_and_in_the_log_what_is_done(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused, 'password = "correct-horse"'))
    done = samaops("diagnose", "--only", "redis", "--debug", "--config", config, "-o", "json")
    assert done.json()["status"] == "critical", "stdout stays the answer"
    for place in (done.stderr, samaops.log.read_text()):
        assert "is looked at" in place
        assert "refused" in place
        assert "correct-horse" not in place
    assert "Traceback" not in done.stderr


def test_the_log_keeps_what_its_level_says(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    words = ("--config", config, "diagnose", "--only", "redis")
    assert samaops(*words).stderr == samaops(*words, "--log-level", "info").stderr == ""
    assert not samaops.log.exists()
    done = samaops(*words, "--log-level", "debug")
    assert done.stderr == ""
    assert "is looked at" in samaops.log.read_text()


def test_debug_writes_no_control_character(samaops: Samaops) -> None:
    code = (
        "from samaops.cli import log\nimport logging\nlog.keep('', on_screen=True)\n"
        "logging.getLogger('samaops.x').debug('%s', 'a\\x1b[2Jb\\nc')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=samaops.environment(), check=True
    )
    assert "\x1b" not in done.stderr
    assert done.stderr.count("\n") == 1
