"""Two control machines that share nothing but the servers: one change at a time all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from samaops.clients import shells
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.config.settings import Settings, Ssh
from samaops.errors import LockedError, RefusedError
from samaops.journal.lock import ChangeLock, Locks, file_name
from samaops.model.failure import FailureKind
from samaops.model.plan import ActionStatus, Operation, Plan, Risk, Step
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import change, change_locks
from tests.contract.conftest import wait_until
from tests.service import faulty
from tests.service.ssh_server import SshServer, free_port, running_sshd

pytestmark = pytest.mark.service
ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from samaops.config.settings import Settings, Ssh
from samaops.site.site import Site
from samaops.errors import SamaopsError
from samaops.model.report import Report
from samaops.workflows import change
from tests.service.test_two_control_machines import plan_of
site, plan = Site(Settings.model_validate(json.loads(sys.argv[1]))), plan_of(*sys.argv[2:])
try:
    report = change.apply(site, change.require_possible(site, plan), 5)
    print([one.status.value for one in report.actions], [one.message for one in report.errors])
except SamaopsError as error:
    print(error.exit_code, error.message)
"""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def plan_of(
    *commands: str, server: str | None = "one", kind: str = "shell", reads: tuple[str, ...] = ()
) -> Plan:
    steps = tuple(
        Step(
            id=f"test.{number}",
            title=f"Step {number}",
            risk=Risk.SAFE,
            operation=Operation(kind, {"command": command}, server),
            before=(),
            after=(),
            undo=Operation(kind, {"command": f"{command}; echo undone"}, server),
            servers=reads,
        )
        for number, command in enumerate(commands)
    )
    return Plan("test", (), "Change something", "one", steps)


def make(site: Site, plan: Plan) -> Report:
    return change.apply(site, plan, 5)


class Machines:
    """Control machines of one site, each with its own state and its own place for locks."""

    def __init__(self, place: Path, sshd: SshServer) -> None:
        self.place, self.sshd = place, sshd
        self.locks = place / "run-lock"
        self.locks.mkdir()
        self.lock_file = self.locks / file_name("dakar", "one")

    def settings(self, machine: str, **server: Any) -> Settings:
        ssh = self.sshd.settings().model_dump(mode="json")
        return Settings.model_validate(
            {
                "site": "dakar",
                "servers": {"one": {"address": "127.0.0.1", "ssh": ssh, **server}},
                "safety": {
                    "lock_directory": str(self.place / machine / "locks"),
                    "server_lock_directory": str(self.locks),
                },
            }
        )

    @contextmanager
    def another(self, machine: str = "thies") -> Iterator[subprocess.Popen[str]]:
        """Yield a process on another machine that is in the middle of a change until it may go on."""
        began, may_end = self.place / "began", self.place / "may-end"
        command = f"touch {began}; for n in $(seq 400); do [ -e {may_end} ] && exit; sleep 0.05; done"
        settings = self.settings(machine).model_dump_json(exclude={"history"}, exclude_none=True)
        words = [sys.executable, "-c", PROGRAM, settings, command]
        environment = {**os.environ, "XDG_STATE_HOME": str(self.place / machine)}
        with subprocess.Popen(words, stdout=-1, text=True, cwd=ROOT, env=environment) as process:
            try:
                wait_until(began.exists, 30)
                yield process
            finally:
                may_end.touch()
                if process.poll() is None:
                    process.kill()

    def log_ins(self) -> int:
        return (self.sshd.directory / "sshd.log").read_text(errors="replace").count("Accepted publickey")


@pytest.fixture
def machines(tmp_path: Path, sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> Machines:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    return Machines(tmp_path, sshd)


def test_while_another_machine_changes_it_is_75_and_names_it_and_at_its_end_it_is_free(
    machines: Machines, tmp_path: Path
) -> None:
    settings, plan = machines.settings("here"), plan_of(f"touch {tmp_path}/done")
    with machines.another() as other:
        for attempt in (change.require_possible, make):
            with pytest.raises(LockedError) as refused:
                attempt(Site(settings), plan)
            assert refused.value.exit_code == 75
            for words in ("on one", os.uname().nodename, f"process {other.pid},", "since 20"):
                assert words in refused.value.message
            assert refused.value.hint == f"on {os.uname().nodename}: samaops history list"
        assert not (tmp_path / "done").exists()
        (machines.place / "may-end").touch()
        assert other.communicate(timeout=30)[0] == "['applied'] []\n"
    assert [one.status for one in make(Site(settings), plan).actions] == [ActionStatus.APPLIED]
    assert (tmp_path / "done").exists()
    assert machines.lock_file.read_bytes() == b""


def test_when_the_other_machine_is_killed_the_next_one_goes_on_at_once(machines: Machines) -> None:
    settings, plan = machines.settings("here"), plan_of("true")
    with machines.another() as other:
        with pytest.raises(LockedError):
            make(Site(settings), plan)
        other.kill()
        other.wait(10)
        assert make(Site(settings), plan).errors == ()


@pytest.mark.parametrize("content", ["", '["no owner"]', '{"user": ["x"]}', "\x1b[31m" * 1000])
def test_an_owner_that_cannot_be_read_is_not_shown(machines: Machines, content: str) -> None:
    with machines.another():
        machines.lock_file.write_text(content)
        with pytest.raises(LockedError) as refused:
            make(Site(machines.settings("here")), plan_of("true"))
        assert refused.value.message.startswith("Another change is being made on one")
        assert not content or content not in refused.value.message


def test_a_lock_that_is_lost_stops_the_change_before_its_next_step_and_takes_it_back(
    machines: Machines, tmp_path: Path
) -> None:
    plan = plan_of(f"echo 1 >>{tmp_path}/log; rm {machines.lock_file}", f"echo 2 >>{tmp_path}/log")
    report = make(Site(machines.settings("here")), plan)
    assert [one.status for one in report.actions] == [ActionStatus.REVERTED, ActionStatus.PLANNED]
    assert "the lock on one was lost" in report.errors[0].message
    assert (tmp_path / "log").read_text() == "1\n1\n", "the first, its undo, and never the second"


def test_looking_and_planning_leave_nothing_on_the_server(machines: Machines) -> None:
    settings, plan = machines.settings("here"), plan_of("true")
    planned = change_locks.with_notes(Site(settings), plan)
    change.report_of(Site(settings), planned)
    assert change_locks.look(Site(settings), planned) == plan
    assert list(machines.locks.iterdir()) == []


def test_a_change_of_several_steps_logs_in_once(machines: Machines) -> None:
    before = machines.log_ins()
    assert make(Site(machines.settings("here")), plan_of("true", "true", "true")).errors == ()
    assert machines.log_ins() == before + 1


def test_a_machine_that_is_the_server_and_one_that_comes_by_ssh_exclude_each_other(
    machines: Machines, tmp_path: Path
) -> None:
    there = machines.settings("there")
    here = machines.settings("here", ssh="local").model_copy(
        update={"safety": there.safety.model_copy(update={"lock_directory": None})}
    )
    plan = plan_of("true")

    def exclusion_of(settings: Settings, name: str) -> AbstractContextManager[Locks]:
        return change_locks.alone(Site(settings), plan, ChangeLock(tmp_path / name, "dakar"))

    for first, second in ((here, there), (there, here)):
        with exclusion_of(first, "a"):
            with pytest.raises(LockedError, match=f"on one by .*process {os.getpid()}"):
                exclusion_of(second, "b").__enter__()
            with pytest.raises(LockedError):
                change_locks.look(Site(second), plan)
        with exclusion_of(second, "b"):
            pass


def unreachable(machines: Machines) -> dict[str, Any]:
    return {"ssh": {**machines.sshd.settings().model_dump(mode="json"), "port": free_port()}}


def without_a_place(machines: Machines) -> dict[str, Any]:
    machines.locks.rmdir()
    return {}


def without_ssh(_machines: Machines) -> dict[str, Any]:
    return {"ssh": "none"}


@pytest.mark.parametrize("close", [unreachable, without_a_place, without_ssh])
def test_a_server_that_cannot_be_locked_is_not_changed_by_commands(
    machines: Machines, close: Callable[[Machines], dict[str, Any]]
) -> None:
    settings = machines.settings("here", **close(machines))
    for attempt in (change.require_possible, make):
        with pytest.raises(RefusedError, match=r"^one cannot be locked .*nothing was changed$"):
            attempt(Site(settings), plan_of("true"))
    assert ChangeLock(machines.place / "here" / "locks", "dakar").holder() is None


@pytest.mark.parametrize(
    ("close", "why"),
    [(unreachable, "refused"), (without_a_place, "not writable"), (without_ssh, 'ssh = "none"')],
)
def test_a_server_that_cannot_be_locked_may_be_repaired_by_its_api_and_the_plan_says_so(
    machines: Machines, close: Callable[[Machines], dict[str, Any]], why: str
) -> None:
    settings = machines.settings("here", **close(machines)).model_copy(
        update={"rabbitmq": Settings.model_validate({"rabbitmq": {"server": "one"}}).rabbitmq}
    )
    plan = plan_of("q 1 f", server=None, kind="rabbitmq.take", reads=("one",))
    (note,) = change_locks.look(Site(settings), plan).notes
    assert note.startswith("one will not be locked for other machines: ")
    assert why in note
    ours = ChangeLock(machines.place / "here" / "locks", "dakar")
    with change_locks.alone(Site(settings), plan, ours) as held:
        held.check()
        assert ours.holder() is not None
    assert ours.holder() is None


def test_connections_are_kept_while_they_are_well_and_opened_anew_when_they_are_not(
    machines: Machines,
) -> None:
    settings, before = machines.settings("here"), machines.log_ins()

    def who() -> str:
        pool = ShellPool(settings)
        try:
            return pool.of("one").run("echo $SSH_CONNECTION", 10).stdout
        finally:
            pool.close()

    assert who() != who(), "without keeping, a connection each"
    with shells.kept():
        first = who()
        with shells.kept():
            assert who() == first
        assert who() == first, "the inner one closes nothing"
        assert machines.log_ins() == before + 3
        ShellPool(settings).of("one").close()
        assert who() != first
    assert machines.log_ins() == before + 4


def test_a_connection_that_failed_is_closed_when_nobody_uses_it_any_more(machines: Machines) -> None:
    settings = machines.settings("here")
    with shells.kept():
        using, failing = ShellPool(settings), ShellPool(settings)
        first = using.of("one")
        with pytest.raises(ClientError):
            failing.of("one").run("sleep 20", 0.3)
        failing.close()
        after = ShellPool(settings)
        assert after.of("one") is not first
        assert first.run("echo still", 10).stdout == "still\n", "somebody uses it"
        using.close()
        with pytest.raises(ClientError):
            first.run("true", 10)
        assert after.of("one").run("echo well", 10).stdout == "well\n"
    with pytest.raises(ClientError):
        after.of("one").run("true", 10)


def test_a_log_in_at_which_sshd_hangs_up_is_tried_once_more(machines: Machines) -> None:
    settings = machines.settings("here")
    server = settings.servers["one"]
    assert isinstance(server.ssh, Ssh)
    with faulty.closing_the_first((server.address, server.ssh.port)) as (host, port):
        known = server.ssh.known_hosts.with_name("known_hosts_behind")
        known.write_text(server.ssh.known_hosts.read_text().replace(f":{server.ssh.port} ", f":{port} "))
        ssh = server.ssh.model_copy(update={"port": port, "known_hosts": known})
        behind = server.model_copy(update={"address": host, "ssh": ssh})
        pool = ShellPool(settings.model_copy(update={"servers": {"one": behind}}))
        try:
            assert pool.of("one").run("echo well", 10).stdout == "well\n"
        finally:
            pool.close()
    with faulty.closing() as (host, port):
        behind = server.model_copy(update={"address": host, "ssh": ssh.model_copy(update={"port": port})})
        with pytest.raises(ClientError) as caught:
            ShellPool(settings.model_copy(update={"servers": {"one": behind}})).of("one")
        assert caught.value.kind is FailureKind.CLOSED
