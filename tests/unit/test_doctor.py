"""Whatever this machine lacks is one line with what to do, and nothing that it has is reported."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from samaops.config import load
from samaops.errors import ConfigurationError
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.workflows import diagnose, doctor

HOST = '[servers.db]\naddress = "10.101.0.1"\n'


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., doctor.Machine]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(diagnose, "observe", lambda *_: None)
    monkeypatch.setattr(diagnose, "judge", lambda *_: SimpleNamespace(findings=()))

    def write(text: str = "", mode: int = 0o600, **changes: Any) -> doctor.Machine:
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(mode)
        values = {"log_directory": tmp_path / "log", "encoding": "utf-8", "is_terminal": False, **changes}
        try:
            return doctor.Machine(load.read(path), None, **values)
        except ConfigurationError as error:
            return doctor.Machine(None, error, **values)

    return write


def line(machine: doctor.Machine, code: str, subject: str = "") -> Finding:
    findings = [
        finding
        for finding in doctor.examine(machine).findings
        if finding.code == f"doctor.{code}" and finding.subject.endswith(subject)
    ]
    (finding,) = findings
    assert finding.status in (Status.OK, Status.SKIPPED) or finding.hint
    return finding


def test_libraries_that_lack_or_are_too_old_are_named(
    configure: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = ["no-such-library>=1", "msgspec>=99", "rich>=1", 'pytest>=99; extra == "dev"']
    monkeypatch.setattr(metadata, "requires", lambda _name: needed)
    machine = configure()
    assert line(machine, "library", "no-such-library").status is Status.CRITICAL
    assert str(line(machine, "library", "msgspec").hint).endswith("-m pip install 'msgspec>=99'")
    assert line(machine, "library", "libraries").title.startswith("rich ")


def test_without_a_configuration_the_rest_is_looked_at(tmp_path: Path) -> None:
    problem = ConfigurationError("There is none", hint="samaops config init")
    machine = doctor.Machine(None, problem, log_directory=tmp_path, encoding="utf-8", is_terminal=False)
    assert line(machine, "configuration").hint == "samaops config init"
    assert line(machine, "python").status is not Status.CRITICAL


def test_a_damaged_history_is_named(configure: Callable[..., doctor.Machine], tmp_path: Path) -> None:
    assert line(configure(HOST), "history").title == "the history is empty"
    file = tmp_path / "state" / "samaops" / "history.sqlite3"
    file.parent.mkdir(parents=True)
    file.write_text("this is not a database, however long it is")
    file.chmod(0o600)
    finding = line(configure(HOST), "history")
    assert (finding.status, finding.hint) == (Status.CRITICAL, f"mv {file} {file}.damaged")


def test_a_configuration_that_others_may_write_is_named(configure: Callable[..., doctor.Machine]) -> None:
    # root reads none that others may write, and so knows nothing else of it
    finding = line(configure("", 0o664), "mode" if os.geteuid() else "configuration")
    assert finding.status is Status.CRITICAL
    assert "chmod go-w " in f"{finding.title} {finding.hint}"
    assert line(configure("", 0o640), "mode").status is Status.OK


def test_a_configuration_that_cannot_work_is_named(configure: Callable[..., doctor.Machine]) -> None:
    finding = line(configure('[schedule]\ntimezone = "Nowhere"'), "configuration")
    assert (finding.status, finding.hint) == (Status.CRITICAL, "samaops config check")
    assert finding.title.startswith("1 fault in the configuration: ")


def test_directories_that_cannot_be_written_and_full_disks_are_named(
    configure: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = configure()
    assert line(machine, "directory", "state").status is Status.OK
    full = SimpleNamespace(f_bavail=1, f_frsize=4096, f_files=10, f_favail=10)
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda _path: full)
        assert line(machine, "directory", "state").status is Status.WARNING
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert str(line(machine, "directory", "log").hint).startswith("sudo install -d -o ")


@pytest.mark.parametrize(
    ("state", "status"), [(5, Status.WARNING), (0, Status.OK), (1, Status.OK), (-1, Status.UNKNOWN)]
)
def test_a_clock_that_nothing_keeps_right_is_named(
    configure: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch, state: int, status: Status
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(adjtimex=lambda _buffer: state))
    assert line(configure(), "clock").status is status


def test_a_locale_that_is_not_there_or_has_no_accents_is_named(
    configure: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert line(configure(), "locale").status is Status.OK
    assert "ascii" in line(configure(encoding="ascii"), "locale").title
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    assert line(configure(), "locale").title == "The locale xx_YY.UTF-8 is not installed"


def test_a_narrow_or_nameless_terminal_is_named(
    configure: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    assert line(configure(is_terminal=True), "terminal").status is Status.WARNING
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((80, 24)))
    assert line(configure(is_terminal=True), "terminal").status is Status.OK
    monkeypatch.setenv("TERM", "dumb")
    assert line(configure(is_terminal=True), "terminal").hint == "export TERM=xterm-256color"
    assert line(configure(), "terminal").status is Status.SKIPPED


def test_keys_and_hosts_that_ssh_lacks_are_named(
    configure: Callable[..., doctor.Machine], tmp_path: Path
) -> None:
    machine = configure(HOST)
    assert str(line(machine, "key").hint).endswith("ssh-copy-id root@10.101.0.1")
    assert line(machine, "known_hosts", "db").hint == "ssh-keyscan -p 22 10.101.0.1 | ssh-keygen -lf -"
    key = tmp_path / "key"
    key.write_text("no key")
    key.chmod(0o644)
    found = line(configure(HOST + f'ssh = {{ key_file = "{key}" }}'), "key")
    assert "can be read by others" in found.title
    # a key's blob begins with the length of its type and the type
    (tmp_path / ".ssh").mkdir()
    blob = "AAAAC3NzaC1lZDI1NTE5AAAAIJ0T"
    (tmp_path / ".ssh" / "known_hosts").write_text(f"10.101.0.1 ssh-ed25519 {blob}\n")
    assert line(configure(HOST), "known_hosts", "db").status is Status.OK


def test_programs_and_drivers_that_lack_are_named(
    configure: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "redis-cli" else f"/usr/bin/{name}")
    text = HOST + '[redis]\nhost = "h"\n[[sqlserver]]\nname = "sic"\nhost = "h"\ndriver = "no driver"\n'
    machine = configure(text)
    assert line(machine, "program", "redis-cli").hint == "sudo apt install redis-tools"
    assert line(machine, "program", "ssh").status is Status.OK
    assert line(machine, "driver").title == "The ODBC driver no driver is not installed"
    assert not [seen for seen in doctor.examine(machine).findings if seen.subject == "doctor/psql"]


def test_a_machine_that_reaches_nothing_is_told_from_a_server_that_is_down(
    configure: Callable[..., doctor.Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(*statuses: Status) -> None:
        findings = tuple(
            Finding("servers.host.unreachable", status, f"servers/s{place}", "title", server=f"s{place}")
            for place, status in enumerate(statuses)
        )
        monkeypatch.setattr(diagnose, "judge", lambda *_: SimpleNamespace(findings=findings))

    machine = configure(HOST)
    answers(Status.CRITICAL, Status.CRITICAL)
    assert line(machine, "network").hint == "ip route; ip addr"
    answers(Status.OK, Status.CRITICAL)
    assert line(machine, "network", "s1").status is Status.WARNING
    assert line(machine, "network", "network").title == "1 of 2 servers are reached from here"
