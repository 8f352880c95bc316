"""What a person meets: help, languages, completion, plain output, and how soon the help is there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from samaops import __version__
from samaops.cli.commands import COMMANDS
from tests.contract.conftest import Samaops, Terminal, redis_at

Address = tuple[str, int]


def test_help_lists_the_commands_that_exist(samaops: Samaops) -> None:
    done = samaops("--help")
    assert done.code == 0
    for name in COMMANDS:
        assert name in done.stdout
        assert samaops(name, "--help").code == 0


def test_help_imports_nothing_heavy(samaops: Samaops) -> None:
    code = (
        "import sys; from samaops.cli.main import run\n"
        "run(['--help'])\n"
        "print([one for one in ('pydantic', 'requests', 'paramiko', 'redis', 'psycopg', 'samaops.checks', 'yaml')"
        " if one in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=samaops.environment(), check=True
    )
    assert done.stderr.strip() == "[]"


def test_a_diagnose_loads_nothing_of_changes_and_no_log_in_before_it_looks(samaops: Samaops) -> None:
    code = (
        "import sys; import samaops.cli.diagnose\n"
        "print([name for name in ('paramiko', 'samaops.changes.engine', 'samaops.cli.completing', 'sqlalchemy')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=samaops.environment(), check=True
    )
    assert done.stdout.strip() == "[]"


def test_version(samaops: Samaops) -> None:
    assert samaops("--version").stdout == f"samaops {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "word"),
    [
        (("--lang", "fr"), {}, "Trouver ce qui est en panne"),
        ((), {"LANG": "fr_SN.UTF-8"}, "Trouver ce qui est en panne"),
        ((), {"LANG": "de_DE.UTF-8"}, "Find what is broken"),
        (("--lang", "en"), {"LANG": "fr_FR.UTF-8"}, "Find what is broken"),
    ],
)
def test_help_speaks_the_language(
    samaops: Samaops, arguments: tuple[str, ...], environment: dict[str, str], word: str
) -> None:
    assert word in samaops(*arguments, "--help", **environment).stdout


def test_errors_and_reports_speak_the_language(samaops: Samaops, refused: Address) -> None:
    assert "vouliez-vous dire redis ?" in samaops("--lang", "fr", "diagnose", "--only", "redsi").stderr
    config = samaops.configure(redis_at(refused))
    done = samaops("--lang", "fr", "--config", config, "diagnose", "--only", "redis")
    assert done.stdout.splitlines()[0] == "✗ CRITIQUE  Rien n'a pu être joint"


def test_completion_knows_commands_and_options(samaops: Samaops) -> None:
    def complete(words: str, place: int) -> str:
        variables = {"_SAMAOPS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        return samaops(**variables).stdout

    assert complete("samaops di", 1).split() == ["diagnose", "disk"]
    assert "--list-checks" in complete("samaops diagnose --li", 2)
    assert "check" in complete("samaops config ", 2).split()


def test_output_that_is_not_a_terminal_is_plain(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    done = samaops("--config", config, "diagnose", "--only", "redis")
    assert "\x1b" not in done.stdout


def test_a_locale_without_unicode_gets_a_plain_screen(samaops: Samaops, refused: Address) -> None:
    config = samaops.configure(redis_at(refused))
    done = samaops(
        "--lang",
        "fr",
        "--config",
        config,
        "diagnose",
        "--only",
        "redis",
        PYTHONIOENCODING="ascii",
        PYTHONUTF8="0",
    )
    assert done.stdout.isascii()
    assert done.stdout.startswith("X CRITIQUE  Rien n'a pu etre joint")


@pytest.mark.parametrize(("environment", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_it_is_told_not_to(
    samaops: Samaops, refused: Address, environment: dict[str, str], has_colour: bool
) -> None:
    config = samaops.configure(redis_at(refused))
    with Terminal(samaops, "--config", config, "diagnose", "--only", "redis", **environment) as terminal:
        written = terminal.rest()
    assert ("\x1b[1;31m" in written) is has_colour


def test_watch_refreshes_in_place_on_a_terminal(samaops: Samaops, redis_server: Address) -> None:
    config = samaops.configure(redis_at(redis_server))
    only = ("--only", "redis.service,redis.memory.high")
    with Terminal(samaops, "--config", config, "diagnose", *only, "--watch", "0.2") as terminal:
        terminal.read_until("All is well", times=3)
        terminal.process.send_signal(signal.SIGINT)
        rest = terminal.rest()
    assert terminal.process.returncode == 130
    assert "\x1b[?1049l" in rest, "the screen is given back"
    assert "All is well" in rest.partition("\x1b[?1049l")[2], "and the last answer stays"


def test_explain_tells_all_in_three_forms(samaops: Samaops) -> None:
    human = samaops("explain", "redis.memory.high").stdout
    for heading in ("What it means", "Confirm it by hand", "The least risky fix", "What not to do"):
        assert heading in human
    document = samaops("explain", "redis.memory.high@redis/workers", "-o", "json").json()
    assert document["schema"] == "samaops/explanation/1"
    assert document["warning"] == 80
    assert samaops("explain", "redis.memory.high", "-o", "markdown").stdout.startswith("# ")


@pytest.mark.parametrize("hop", ["published", "ready", "delivered", "acknowledged", "sent", "accepted"])
def test_the_hops_of_troubleshoot_are_explained_too(samaops: Samaops, hop: str) -> None:
    document = samaops("explain", f"notifications.hop.{hop}@notifications/{hop}", "-o", "json").json()
    assert document["code"] == f"notifications.hop.{hop}"
    assert document["meaning"]
    assert "samaops troubleshoot notifications" in document["fix"]
    assert samaops("explain", "notifications.hop.absent").code == 64


def test_the_hops_of_another_playbook_are_its_own(samaops: Samaops) -> None:
    document = samaops("explain", "db-slow.hop.locked", "-o", "json").json()
    assert (document["code"], document["system"]) == ("db-slow.hop.locked", "db-slow")
    assert "samaops troubleshoot db-slow" in document["fix"]
    assert samaops("explain", "db-slow.hop.published").code == 64


def test_list_checks_names_every_check_with_its_thresholds(samaops: Samaops) -> None:
    document = samaops("diagnose", "--list-checks", "-o", "json").json()
    codes = [one["code"] for one in document["checks"]]
    assert len(codes) == len(set(codes)) > 100
    redis = samaops("diagnose", "--list-checks", "--only", "redis", "-o", "json").json()["checks"]
    assert {one["system"] for one in redis} == {"redis"}
    human = samaops("diagnose", "--list-checks", "--only", "redis.memory").stdout
    assert "redis.memory.high  (warning 80 %, critical 95 %)" in human


def test_config_init_check_show_schema_path(samaops: Samaops) -> None:
    done = samaops("config", "init")
    path = samaops.home / "config" / "samaops" / "config.toml"
    assert str(path) in done.stdout
    assert samaops("config", "path").stdout == f"{path}\n"
    done = samaops("config", "check")
    assert done.code == 78
    assert "SAMACONSO_POSTGRESQL_PASSWORD" in done.stderr
    assert samaops("config", "check", "-o", "json").json()["errors"][0]["exit_code"] == 78
    good = samaops.configure('[servers.db]\naddress = "127.0.0.1"\n')
    report = samaops("--config", good, "config", "check", "-o", "json").json()
    assert (report["status"], report["errors"]) == ("ok", [])
    assert samaops("--config", good, "config", "check", "-o", "nagios").code == 64
    shown = samaops("config", "show", "-o", "json", SAMAOPS_REDIS__PORT="6380").json()
    port = next(one for one in shown["values"] if one["key"] == "redis.port")
    assert port == {"key": "redis.port", "value": 6380, "source": "SAMAOPS_REDIS__PORT"}
    schema = json.loads(samaops("config", "schema").stdout)
    assert "redis" in schema["properties"]


def test_who_has_no_configuration_and_a_lab_is_told_of_the_lab_first(samaops: Samaops) -> None:
    alone = samaops("diagnose")
    assert (alone.code, alone.stderr.splitlines()[1].split()[:4]) == (78, ["->", "samaops", "config", "init"])
    lab = samaops.home / "state" / "samaops" / "lab"
    lab.mkdir(parents=True)
    (lab / "config.toml").write_text("")
    done = samaops("diagnose")
    assert (done.code, done.stderr.splitlines()[1].split()[:3]) == (78, ["->", "samaops", "--lab"])


def test_help_fits_a_terminal_that_has_only_ascii(samaops: Samaops) -> None:
    done = samaops("--lang", "fr", "undo", "--help", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "Codes de sortie" in done.stdout


@pytest.mark.parametrize("columns", ["0", "1", "10", "-5", "nonsense"])
def test_nothing_of_an_answer_is_left_out_however_narrow_the_screen_says_it_is(
    samaops: Samaops, refused: Address, columns: str
) -> None:
    config = samaops.configure(redis_at(refused))
    done = samaops("--config", config, "diagnose", "--only", "redis", COLUMNS=columns)
    usual = samaops("--config", config, "diagnose", "--only", "redis", COLUMNS="100")
    words = set(usual.stdout.split())
    assert "CRITICAL" in words
    # What is measured differs from run to run, and a long name may be broken.
    missing = {word for word in words if word.isalpha() and word not in done.stdout}
    assert missing == set()


def test_a_shell_that_says_nothing_of_its_line_is_answered(samaops: Samaops) -> None:
    done = samaops(_SAMAOPS_COMPLETE="complete_bash")
    assert (done.code, done.stderr) == (0, "")
