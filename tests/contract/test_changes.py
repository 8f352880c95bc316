"""Commands that change something, as a user and a program meet them: asked, refused, locked, journaled, undone."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.contract.conftest import Done, Samaops, Terminal, wait_until
from tests.service.docker_engine import Engine, running_engine
from tests.unit.render.test_machines import SCHEMA

ROOT = Path(__file__).parents[2]
# Ends at once when it is told to, and starts no process meanwhile.
OBEDIENT = ("--stop-signal", "KILL", "--", "/bin/sleep", "100000")
# Ends late when it is told to: time enough to be in the middle of a restart.
SLOW = ("--", "/bin/sh", "-c", 'trap "sleep 8; exit 0" TERM; while :; do sleep 0.1; done')
SICK = ("--health-cmd", "exit 1", "--health-interval", "1s", "--health-retries", "1")
NAMES = ("fine", "ended", "slow", "sick", "frozen")
LOCKER = """
import sys
from pathlib import Path
from samaops.journal.lock import ChangeLock
with ChangeLock(Path(sys.argv[1]), "test-site"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as started:
        for name in NAMES:
            started.run(name, *(SICK if name == "sick" else ()), *(SLOW if name == "slow" else OBEDIENT))
        started.docker("pause", "frozen")
        yield started


class Site:
    """One server with containers, and samaops configured for it."""

    def __init__(self, samaops: Samaops, engine: Engine) -> None:
        self.samaops, self.engine = samaops, engine
        self.journal = samaops.home / "state" / "samaops" / "history.sqlite3"
        self.config = self.configure()

    def configure(self, more: str = "") -> Path:
        return self.samaops.configure(
            'site = "test-site"\n[servers.one]\naddress = "127.0.0.1"\nssh = "local"\n'
            f"[docker.containers]\none = {json.dumps(NAMES)}\n"
            f'[safety]\nlock_directory = "{self.samaops.home}/locks"\n{more}\n'
        )

    def __call__(self, *words: str) -> Done:
        return self.samaops("--config", self.config, *words, DOCKER_HOST=self.engine.host)

    def started_at(self, name: str) -> str:
        return self.engine.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.Status}}", name)

    def everything(self) -> str:
        """Return all that the engine says of its containers, but how long ago."""
        return self.engine.docker("inspect", *NAMES[:3])

    def history(self) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = self("history", "list", "-o", "json").json()["changes"]
        return changes


@pytest.fixture
def site(samaops: Samaops, engine: Engine) -> Iterator[Site]:
    yield Site(samaops, engine)
    engine.docker("start", "fine", "ended", "slow")


def report(done: Done) -> dict[str, Any]:
    document: dict[str, Any] = done.json()
    jsonschema.validate(document, SCHEMA)
    if document["errors"]:
        assert document["errors"][0]["exit_code"] == done.code
    return document


RESTART = ("docker", "restart", "fine")


def test_a_dry_run_shows_the_plan_and_leaves_everything_as_it_is(site: Site) -> None:
    before = site.everything()
    done = site(*RESTART, "--dry-run")
    assert done.code == 0
    assert done.stderr.startswith("What it shows now is kept first")
    for words in (
        "docker restart -t 30 fine",
        "disruptive",
        "only if: ",
        "done when: ",
        "cannot be taken back",
    ):
        assert words in done.stdout
    (action,) = report(site(*RESTART, "--dry-run", "-o", "json"))["actions"]
    assert (action["status"], action["journal"]) == ("planned", None)
    assert action["conditions"]
    assert action["verify"]
    assert action["commands"] == ["docker restart -t 30 fine"]
    assert site.everything() == before
    assert not site.journal.exists()
    assert not (site.samaops.home / "locks").exists()


def test_without_a_terminal_and_without_yes_nothing_is_changed_77(site: Site) -> None:
    before = site.everything()
    done = site(*RESTART)
    assert (done.code, done.stdout) == (77, "")
    assert "nothing was changed" in done.stderr
    assert "--yes" in done.stderr
    done = site(*RESTART, "-o", "json")
    assert done.code == 77
    assert [one["status"] for one in report(done)["actions"]] == ["refused"]
    assert site.everything() == before
    assert site.history() == []


def test_yes_changes_verifies_and_journals(site: Site) -> None:
    before = site.started_at("fine")
    done = site(*RESTART, "--yes", "-o", "json")
    assert done.code == 0, done
    document = report(done)
    (action,) = document["actions"]
    assert (document["status"], action["status"]) == ("ok", "verified")
    assert document["footprint"]["writes"] == 1
    assert site.started_at("fine") != before
    (change,) = site.history()
    assert change["id"] == action["journal"]
    assert (change["status"], change["verb"]) == ("verified", "docker restart fine")
    shown = site("history", "show", change["id"])
    assert shown.code == 0
    assert "Restart the container fine: seen to work" in shown.stdout


def test_a_second_time_restarts_again_and_is_a_change_of_its_own(site: Site) -> None:
    for _time in range(2):
        before = site.started_at("fine")
        done = site(*RESTART, "--yes")
        assert done.code == 0, done
        assert site.started_at("fine") != before
    assert [one["status"] for one in site.history()] == ["verified", "verified"]


def test_a_restart_cannot_be_undone_and_the_reason_is_said_77(site: Site) -> None:
    change = report(site(*RESTART, "--yes", "-o", "json"))["actions"][0]["journal"]
    before = site.started_at("fine")
    done = site("undo", change, "--yes")
    assert done.code == 77
    assert "cannot be taken back" in done.stderr
    assert site.started_at("fine") == before


def test_a_stopped_container_is_started_and_undo_stops_it_again_once(site: Site) -> None:
    site.engine.docker("stop", "ended")
    change = report(site("docker", "restart", "ended", "--yes", "-o", "json"))["actions"][0]["journal"]
    assert site.started_at("ended").endswith("running")
    assert site("undo", change, "--dry-run").code == 0
    assert site.started_at("ended").endswith("running")
    done = site("undo", change, "--yes")
    assert done.code == 0, done
    assert site.started_at("ended").endswith("exited")
    again = site("undo", change, "--yes")
    assert again.code == 0
    assert "Nothing to do" in again.stdout
    undoing, undone = site.history()
    assert undone["undone_by"] == undoing["id"]
    assert undoing["undoes"] == undone["id"]


def test_the_right_name_confirms_and_a_wrong_one_refuses(site: Site) -> None:
    before = site.started_at("fine")
    done = site(*RESTART, "--yes", "--confirm", "fin")
    assert done.code == 77
    assert site.started_at("fine") == before
    assert site(*RESTART, "--confirm", "fine").code == 0
    assert site.started_at("fine") != before


@pytest.mark.parametrize(("answer", "code"), [("n", 77), ("", 77), ("y", 0)])
def test_at_a_terminal_the_plan_is_shown_and_asked_for(site: Site, answer: str, code: int) -> None:
    before = site.started_at("fine")
    words = ("--config", site.config, *RESTART)
    with Terminal(site.samaops, *words, DOCKER_HOST=site.engine.host) as terminal:
        terminal.read_until("docker restart -t 30 fine")
        terminal.read_until("[y/N]")
        terminal.type(answer)
        rest = terminal.rest()
    assert terminal.process.returncode == code, rest
    assert (site.started_at("fine") != before) == (code == 0)


def test_a_yes_that_was_typed_before_the_question_confirms_nothing_77(site: Site) -> None:
    before = site.started_at("fine")
    with Terminal(site.samaops, "--config", site.config, *RESTART, DOCKER_HOST=site.engine.host) as terminal:
        terminal.type("y")
        terminal.read_until("docker restart -t 30 fine")
        terminal.read_until("[y/N]")
        terminal.type("n")
        rest = terminal.rest()
    assert terminal.process.returncode == 77, rest
    assert site.started_at("fine") == before


def test_an_interrupt_at_the_question_changes_nothing_130(site: Site) -> None:
    words = ("--config", site.config, *RESTART)
    with Terminal(site.samaops, *words, DOCKER_HOST=site.engine.host) as terminal:
        terminal.read_until("[y/N]")
        terminal.process.send_signal(signal.SIGINT)
        terminal.rest()
    assert terminal.process.returncode == 130
    assert site.history() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("docker", "restart", "fin"), "did you mean fine?"),
        (("undo", "nothing"), "There is no change 'nothing'"),
        (("history", "show", "nothing"), "There is no change 'nothing'"),
        (("history", "list", "-o", "markdown"), "no form markdown"),
        (("docker", "restart", "fine", "--wait", "-1"), "--wait"),
        (("workers", "add-queue", "worker1", "urgent"), "There is no worker 'worker1'"),
    ],
)
def test_a_wrong_command_line_is_64(site: Site, words: tuple[str, ...], said: str) -> None:
    done = site(*words)
    assert (done.code, done.stdout) == (64, "")
    assert said in done.stderr


def test_a_paused_container_is_not_restarted_whatever_is_said_77(site: Site) -> None:
    done = site("docker", "restart", "frozen", "--yes", "--confirm", "frozen")
    assert done.code == 77
    assert "docker unpause frozen" in done.stderr


def test_while_another_change_is_made_it_is_75_and_names_who_makes_it(site: Site) -> None:
    words = [sys.executable, "-c", LOCKER, str(site.samaops.home / "locks")]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True, cwd=ROOT) as other:
        assert other.stdout is not None
        other.stdout.readline()
        before = site.started_at("fine")
        done = site(*RESTART, "--yes")
        assert done.code == 75
        assert f"process {other.pid}" in done.stderr
        done = site(*RESTART, "--yes", "-o", "json")
        assert report(done)["actions"][0]["status"] == "refused"
        assert done.code == 75
        assert site(*RESTART, "--dry-run").code == 0, "looking is always allowed"
        other.kill()
    assert site.started_at("fine") == before
    assert site(*RESTART, "--yes").code == 0


def test_a_history_that_cannot_be_written_stops_a_change_77_but_never_a_diagnosis(site: Site) -> None:
    (site.samaops.home / "file").write_text("")
    site.config = site.configure(f'[history]\nurl = "sqlite:///{site.samaops.home}/file/history.sqlite3"')
    before = site.started_at("fine")
    done = site(*RESTART, "--yes")
    assert done.code == 77
    assert "nothing was changed" in done.stderr
    assert site.started_at("fine") == before
    assert site("diagnose", "--only", "docker.engine").code == 0


def test_what_does_not_work_afterwards_is_failed_2_and_what_is_left_is_said(site: Site) -> None:
    done = site("docker", "restart", "sick", "--yes", "--wait", "2", "-o", "json")
    assert done.code == 2
    document = report(done)
    assert (document["status"], document["actions"][0]["status"]) == ("critical", "failed")
    assert "cannot be taken back" in document["errors"][0]["message"]
    (change,) = site.history()
    assert change["status"] == "failed"


def begin_slow(site: Site, *words: str) -> subprocess.Popen[bytes]:
    """Start the restart that takes long, and wait until its step is in the journal and its command runs."""
    process = subprocess.Popen(
        site.samaops.command("--config", site.config, "docker", "restart", "slow", "--yes", *words),
        env=site.samaops.environment(DOCKER_HOST=site.engine.host),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def has_begun() -> bool:
        assert process.poll() is None, process.communicate()
        return site.journal.exists() and b"step_begun" in site.journal.read_bytes()

    # What it shows is kept before, for up to 10 s; on a machine with as many tests as processors have to wait that takes long.
    wait_until(has_begun, 90)
    wait_until(docker_restarts, 30)
    return process


def docker_restarts() -> bool:
    """Return whether Docker has been asked: before, an interrupted change has done nothing."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if file.read_bytes().startswith(b"docker\0restart\0") and b"\0slow\0" in file.read_bytes():
                return True
    return False


def test_a_killed_change_is_shown_as_interrupted_and_the_next_run_goes_on(site: Site) -> None:
    process = begin_slow(site)
    (running,) = site.history()
    assert running["status"] == "running"
    process.kill()
    process.wait(10)
    (change,) = site.history()
    assert change["status"] == "interrupted"
    assert change["unfinished_step"] == "Restart the container slow"
    assert "begun and not finished: Restart the container slow" in site("history", "list").stdout
    # The command of the killed run goes on: while it does, the next one is refused, for its facts change.
    wait_until(
        lambda: subprocess.run(["pgrep", "-f", "docker restart -t 30 slow"], check=False).returncode == 1, 40
    )
    done = site("docker", "restart", "slow", "--yes")
    assert done.code == 0, done
    assert [one["status"] for one in site.history()] == ["verified", "interrupted"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_change_says_what_is_left_130(site: Site, sent: signal.Signals) -> None:
    process = begin_slow(site)
    process.send_signal(sent)
    stdout, _stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout
    assert b"interrupted" in stdout
    (change,) = site.history()
    assert change["status"] in ("failed", "reverted")
    assert change["reason"].startswith("interrupted")


def test_an_interrupted_change_is_one_document_for_programs(site: Site) -> None:
    process = begin_slow(site, "-o", "json")
    process.send_signal(signal.SIGINT)
    stdout, _stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    document = json.loads(stdout)
    assert (document["command"], document["errors"][0]["exit_code"]) == ("docker restart", 130)


def test_the_help_and_the_history_import_no_database(site: Site) -> None:
    code = (
        "import sys; from samaops.cli.main import run\n"
        "run(['docker', 'restart', '--help'])\n"
        "print('sqlalchemy' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "False"


def test_history_without_changes_says_so_and_makes_no_file(site: Site) -> None:
    assert "Nothing was changed yet" in site("history", "list").stdout
    assert not site.journal.exists()
