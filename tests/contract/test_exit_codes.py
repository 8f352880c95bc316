"""Every exit code of the contract, and that one JSON document stands on stdout whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from samaops import errors
from tests.contract.conftest import Done, Samaops, redis_at, wait_until
from tests.unit.render.test_machines import SCHEMA

Address = tuple[str, int]
ONLY_MEMORY = ("diagnose", "--only", "redis.service,redis.memory.high")


def thresholds(warning: float, critical: float) -> str:
    return f'[thresholds."redis.memory.high"]\nwarning = {warning}\ncritical = {critical}\n'


def is_report(done: Done) -> None:
    document = done.json()
    jsonschema.validate(document, SCHEMA)
    if document["errors"]:
        assert document["errors"][0]["exit_code"] == done.code


def test_all_well_is_0(samaops: Samaops, redis_server: Address) -> None:
    config = samaops.configure(redis_at(redis_server))
    done = samaops("--config", config, *ONLY_MEMORY)
    assert done.code == 0, done
    assert done.stdout.startswith("✓ OK  All is well: 2 checks\n")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("warning", "critical", "options", "code"),
    [
        (0, 99, (), 1),
        (0, 0, (), 2),
        (0, 99, ("--fail-on", "critical"), 0),
        (0, 99, ("--fail-on", "warning"), 1),
        (0, 0, ("--fail-on", "critical"), 2),
    ],
)
def test_the_worst_status_is_the_exit_code(
    samaops: Samaops,
    redis_server: Address,
    warning: float,
    critical: float,
    options: tuple[str, ...],
    code: int,
) -> None:
    config = samaops.configure(redis_at(redis_server, thresholds(warning, critical)))
    done = samaops("--config", config, *ONLY_MEMORY, *options, "-o", "json")
    assert done.code == code, done
    is_report(done)


@pytest.mark.parametrize("options", [(), ("--fail-on", "critical")])
def test_could_not_look_is_3(samaops: Samaops, redis_server: Address, options: tuple[str, ...]) -> None:
    config = samaops.configure(redis_at(redis_server, 'username = "locked"\npassword = "wrong-one"'))
    done = samaops("--config", config, *ONLY_MEMORY, *options, "-o", "json")
    assert done.code == 3, done
    assert {one["status"] for one in done.json()["findings"]} == {"unknown", "skipped"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("diagnos",), "There is no command 'diagnos'"),
        (("--nonsense",), "There is no option --nonsense"),
        (("diagnose", "--nonsense"), "There is no option --nonsense"),
        (("diagnose", "--only", "redsi"), "did you mean redis?"),
        (("diagnose", "--only", "redis.memory.hihg"), "did you mean redis.memory.high?"),
        (("diagnose", "--only", "redsi@workers"), "did you mean redis?"),
        (("diagnose", "--skip", "nothing"), "There is no system or check 'nothing'"),
        (("diagnose", "--deadline", "soon"), "--deadline: must be a number"),
        (("diagnose", "--deadline", "0"), "--deadline: 0 is not between"),
        (("diagnose", "--wait", "nan"), "--wait: nan is not between"),
        (("diagnose", "--fail-on", "ok"), "--fail-on: must be one of warning, critical"),
        (("diagnose", "--from", "a", "--save", "b"), "--from and --save exclude each other"),
        (("diagnose", "--watch", "--wait", "3"), "--watch and --wait exclude each other"),
        (("diagnose", "--from", "gone.json"), "gone.json cannot be read"),
        (("explain",), "CODE is missing"),
        (("explain", "redis.memory.hihg"), "samaops explain redis.memory.high"),
        (("explain", "redis.memory"), "samaops explain redis.memory.high"),
        (("--lang", "de", "diagnose"), "'de' is not a language"),
        (("--lab", "--config", "x", "diagnose"), "--config and --lab exclude each other"),
        (("config", "nonsense"), "nonsense"),
    ],
)
def test_a_wrong_command_line_is_64_and_says_what_was_meant(
    samaops: Samaops, arguments: tuple[str, ...], said: str
) -> None:
    done = samaops(*arguments)
    assert (done.code, done.stdout) == (64, "")
    assert said in done.stderr
    done = samaops(*arguments, "-o", "json") if arguments[0] == "diagnose" else done
    if done.stdout:
        assert done.code == 64
        is_report(done)


def test_an_unknown_form_of_output_is_64(samaops: Samaops) -> None:
    done = samaops("diagnose", "-o", "xml")
    assert done.code == 64
    assert "-o/--output: must be one of human, json, nagios, prometheus, junit, markdown" in done.stderr


@pytest.mark.parametrize("output", ["json", "junit"])
def test_watch_has_no_form_that_is_one_document(samaops: Samaops, refused: Address, output: str) -> None:
    config = samaops.configure(redis_at(refused))
    done = samaops("--config", config, "diagnose", "--only", "redis", "--watch", "-o", output)
    assert done.code == 64
    assert "--watch would write many" in done.stderr


def test_without_a_command_the_help_is_shown_and_the_code_is_64(samaops: Samaops) -> None:
    done = samaops()
    assert done.code == 64
    assert "diagnose" in done.stdout + done.stderr


def test_nothing_reached_is_69_and_the_report_is_still_there(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    done = samaops("--config", config, "diagnose", "--only", "redis")
    assert done.code == 69, done
    assert done.stdout.splitlines()[0] == "✗ CRITICAL  Nothing could be reached"
    assert "this machine's own network" in done.stdout
    assert "Redis" in done.stdout
    done = samaops("--config", config, "diagnose", "--only", "redis", "-o", "json")
    assert done.code == 69
    is_report(done)
    assert done.json()["findings"]
    assert done.stderr == ""


def test_nothing_reached_is_told_when_only_a_part_was_asked_for(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    done = samaops("--config", config, "diagnose", "--only", "redis.memory.high", "-o", "json")
    assert done.code == 69
    assert "redis.service.unreachable" in {one["code"] for one in done.json()["findings"]}


@pytest.mark.parametrize("output", ["human", "json", "nagios"])
def test_a_configuration_fault_is_78(samaops: Samaops, output: str) -> None:
    config = samaops.configure("[redis]\nprt = 1\n")
    done = samaops("--config", config, "diagnose", "-o", output)
    assert done.code == 78
    assert f"{config}: redis.prt: unknown key; did you mean port?" in done.stderr
    if output == "json":
        is_report(done)
    elif output == "nagios":
        assert done.stdout.startswith("SAMACONSO UNKNOWN - ")
    else:
        assert done.stdout == ""


@pytest.mark.parametrize("text", ["", "[servers.db]\naddress = '127.0.0.1'\n[schedule]\n"])
def test_nothing_configured_is_78(samaops: Samaops, text: str) -> None:
    done = samaops("--config", samaops.configure(text), "diagnose", "--only", "redis")
    assert done.code == 78
    assert "Nothing of redis is configured" in done.stderr


def test_a_threshold_of_no_check_is_78(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused, '[thresholds."redis.memory.hihg"]\nwarning = 1'))
    done = samaops("--config", config, "diagnose", "--only", "redis")
    assert done.code == 78
    assert "did you mean redis.memory.high?" in done.stderr


def test_no_configuration_and_no_lab_are_78_and_name_the_next_command(samaops: Samaops) -> None:
    done = samaops("diagnose")
    assert done.code == 78
    assert "samaops config init" in done.stderr
    done = samaops("--lab", "diagnose")
    assert done.code == 78
    assert "samaops lab up" in done.stderr


def test_an_existing_configuration_is_not_overwritten_77(samaops: Samaops) -> None:
    assert samaops("config", "init").code == 0
    done = samaops("config", "init")
    assert done.code == 77
    assert "was left as it is" in done.stderr


def is_connected_to(port: int) -> bool:
    """Return whether this machine has a connection to a port of its own."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return any(
        remote.endswith(f":{port:04X}") and state == "01" for _number, _local, remote, state, *_rest in rows
    )


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("output", ["human", "json"])
def test_an_interrupt_is_130_at_once_whatever_hangs(
    samaops: Samaops, hanging: Address, output: str, sent: signal.Signals
) -> None:
    config = samaops.configure(redis_at(hanging).replace("timeout = 2", "timeout = 60"))
    command = samaops.command(
        "--config", config, "diagnose", "--only", "redis", "--deadline", "60", "-o", output
    )
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=samaops.environment(), text=True
    )
    wait_until(lambda: is_connected_to(hanging[1]), 20)
    process.send_signal(sent)
    sent_at = time.monotonic()
    stdout, stderr = process.communicate(timeout=20)
    assert time.monotonic() - sent_at < 5, "it waits for an answer for a minute"
    assert process.returncode == 130
    assert stderr == "samaops: interrupted\n"
    assert "Traceback" not in stdout
    if output == "json":
        is_report(Done(130, stdout, stderr, 0))


def test_a_hung_server_does_not_outlast_the_deadline(samaops: Samaops, hanging: Address) -> None:
    config = samaops.configure(redis_at(hanging).replace("timeout = 2", "timeout = 60"))
    done = samaops("--config", config, "diagnose", "--only", "redis", "--deadline", "1", "-o", "json")
    assert done.code == 69
    assert done.json()["deadline_hit"]
    assert done.json()["duration_ms"] < 2000
    assert done.seconds < 6


def test_wait_returns_as_soon_as_all_is_well(
    samaops: Samaops, redis_server: Address, refused: Address
) -> None:
    done = samaops("--config", samaops.configure(redis_at(redis_server)), *ONLY_MEMORY, "--wait", "30")
    assert done.code == 0
    assert done.seconds < 15
    done = samaops("--config", samaops.configure(redis_at(refused)), *ONLY_MEMORY, "--wait", "3")
    assert done.code == 69


def test_watch_shows_report_after_report_until_interrupted(samaops: Samaops, redis_server: Address) -> None:
    config = samaops.configure(redis_at(redis_server))
    out = samaops.home / "out"
    with out.open("w") as stdout:
        process = subprocess.Popen(
            samaops.command("--config", config, *ONLY_MEMORY, "--watch", "0.2"),
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=samaops.environment(),
        )
        ends_at = time.monotonic() + 30
        while out.read_text().count("All is well") < 3:
            assert time.monotonic() < ends_at
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_a_reader_that_goes_away_is_no_error(samaops: Samaops) -> None:
    shell = f"{' '.join(samaops.command('diagnose', '--list-checks'))} | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", shell], capture_output=True, text=True, env=samaops.environment(), check=False
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_full_disk_behind_stdout_is_told_in_one_line(samaops: Samaops) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            samaops.command("diagnose", "--list-checks"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=samaops.environment(),
            check=False,
        )
    assert done.returncode == 70
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


HANGING = """
postgresql = {{ host = "{host}", port = {port}, timeout = 60.0, password = "x" }}
pgbouncer = {{ host = "{host}", port = {port}, timeout = 60.0, admin_password = "x" }}
redis = {{ host = "{host}", port = {port}, timeout = 60.0 }}
rabbitmq = {{ host = "{host}", port = {port}, management_port = {port}, timeout = 60.0, password = "x" }}
minio = {{ url = "http://{host}:{port}", timeout = 60.0 }}
api = {{ timeout = 60.0, instances = [{{ name = "one", url = "http://{host}:{port}" }}] }}
sqlserver = [{{ name = "one", driver = "PostgreSQL Unicode", host = "{host}", port = {port}, timeout = 60.0, password = "x" }}]
"""


def test_a_look_that_was_given_up_does_not_delay_the_end(samaops: Samaops, hanging: Address) -> None:
    config = samaops.configure(HANGING.format(host=hanging[0], port=hanging[1]))
    arguments = ("--config", config, "diagnose", "--deadline", "1", "-o", "nagios")
    with subprocess.Popen(
        samaops.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=samaops.environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        answered = time.monotonic()
        assert process.wait(50) == errors.UNAVAILABLE
        assert time.monotonic() - answered < 10, "every look goes on for a minute"
        assert process.stderr.read() == b""


def test_an_interrupt_inside_a_text_that_is_executed_has_its_code(tmp_path: Path) -> None:
    """Python marks it as one that nobody caught, and ``python -m`` then ends by SIGINT after the answer was given."""
    (tmp_path / "interrupted.py").write_text(
        "from samaops.cli import main\n"
        "try:\n    exec('raise KeyboardInterrupt')\n"
        "except KeyboardInterrupt:\n    main.leave(130)\n"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        env={**os.environ, "PYTHONPATH": paths},
        timeout=60,
        check=False,
    )
    assert done.returncode == 130
