"""Which configuration files come back from a backup, what is shown of them, and how they are replaced and put back."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.clients import age, config_files
from samaops.clients.config_files import ConfigFiles
from samaops.clients.errors import ClientError
from samaops.clients.local import LocalShell
from samaops.errors import RefusedError
from samaops.facts.config_files import ConfigFacts, ConfigFile
from samaops.facts.observation import Observation
from samaops.model.failure import FailureKind
from samaops.model.plan import Plan, Risk
from samaops.workflows import restoring_config
from tests.unit.changes.test_plans import snapshot
from tests.unit.changes.test_restore_plans import ID, NOW, SITE
from tests.unit.checks.judging import seen

INI = ConfigFile(
    "db", "/etc/pgbouncer/pgbouncer.ini", "servers/db/etc/pgbouncer/pgbouncer.ini", "", "a" * 64, "b" * 64, False,
    ("-max_client_conn = 10", "+max_client_conn = 1000"),
)  # fmt: skip
ENV = ConfigFile(
    "db", "/opt/samaconso/.env", "servers/db.tar.gz.age", "opt/samaconso/.env", "", "c" * 64, True,
    ("+ DATABASE_URL = ***",),
)  # fmt: skip
FACTS = ConfigFacts(ID, NOW - 7200, NOW, (INI, ENV), 3, (("servers/api.tar.gz.age", "the key is not here"),))


def observed(**changes: Any) -> Observation:
    return seen("restore/db", replace(FACTS, **changes), "db")


def planned(*arguments: str, **changes: Any) -> Plan:
    return verbs.find("restore config").plan(snapshot(observed(**changes)), SITE, arguments)


def test_each_file_is_a_step_by_itself_that_can_be_taken_back() -> None:
    plan = planned("latest")
    assert [step.risk for step in plan.steps] == [Risk.DISRUPTIVE] * 2
    assert plan.steps_stand_alone
    for step, file in zip(plan.steps, (INI, ENV), strict=True):
        assert (step.operation.arguments["now"], step.operation.arguments["then"]) == (file.now, file.then)
        assert step.undo is not None
        assert (step.undo.arguments["now"], step.undo.arguments["then"]) == (file.then, file.now)
    assert "db:/etc/pgbouncer/pgbouncer.ini\n  -max_client_conn = 10" in plan.notes[0]
    assert [each.reason for each in plan.left_out] == ["the key is not here"], "never taken for done"


def test_only_the_named_ones_come_back() -> None:
    plan = planned("latest", "", INI.path)
    assert [step.operation.arguments["path"] for step in plan.steps] == [INI.path]
    with pytest.raises(RefusedError, match="no other content for /etc/passwd"):
        planned("latest", "", "/etc/passwd")


def test_where_nothing_is_different_it_says_so() -> None:
    plan = planned("latest", files=(), left_out=())
    assert plan.nothing_to_do == "3 files are as they were in the backup"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ConfigFiles:
    """Return those of this machine, as whoever runs this test."""
    monkeypatch.setattr(config_files, "KEPT", str(tmp_path / "kept" / "files"))
    monkeypatch.setattr(
        config_files, "as_user", lambda _user, script, *words: config_files_command(script, words)
    )
    return ConfigFiles(LocalShell())


def config_files_command(script: str, words: tuple[str, ...]) -> str:
    return shlex.join(["sh", "-c", script, "sh", *words])


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_replaced_as_a_whole_and_put_back_with_its_rights(
    files: ConfigFiles, tmp_path: Path
) -> None:
    path = tmp_path / "pgbouncer.ini"
    path.write_bytes(b"now\n")
    path.chmod(0o640)
    assert files.read(str(path)) == b"now\n"
    files.put(str(path), sum_of(b"now\n"), sum_of(b"then\n"), b"then\n")
    assert path.read_bytes() == b"then\n"
    assert path.stat().st_mode & 0o777 == 0o640
    kept = tmp_path / "kept"
    assert (kept.stat().st_mode & 0o777, (kept / "files").stat().st_mode & 0o777) == (0o755, 0o700)
    files.back(str(path), sum_of(b"then\n"), sum_of(b"now\n"))
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"now\n", 0o640)
    assert {each.name for each in tmp_path.iterdir()} == {"pgbouncer.ini", "kept"}, "nothing else is left"


def test_a_file_that_was_not_there_goes_again(files: ConfigFiles, tmp_path: Path) -> None:
    path = tmp_path / "new"
    assert files.read(str(path)) is None
    files.put(str(path), "", sum_of(b"x"), b"x")
    assert path.stat().st_mode & 0o777 == 0o640
    files.back(str(path), sum_of(b"x"), "")
    assert not path.exists()


def test_a_link_stays_one(files: ConfigFiles, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"a")
    (tmp_path / "link").symlink_to("target")
    files.put(str(tmp_path / "link"), sum_of(b"a"), sum_of(b"b"), b"b")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"b"


def test_what_others_have_changed_stays_and_half_a_file_does_not(files: ConfigFiles, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"theirs")
    with pytest.raises(ClientError, match="others have changed it"):
        files.put(str(path), sum_of(b"now"), sum_of(b"then"), b"then")
    with pytest.raises(ClientError, match="not all of it came"):
        files.put(str(path), sum_of(b"theirs"), sum_of(b"then"), b"the")
    with pytest.raises(ClientError, match="others have changed it"):
        files.back(str(path), sum_of(b"then"), sum_of(b"now"))
    assert path.read_bytes() == b"theirs"
    with pytest.raises(ClientError, match="is no path"):
        files.read("/etc/../etc/passwd")


def test_of_a_secret_file_only_the_names_are_shown() -> None:
    kept = restoring_config._Kept("db", "/x/.env", "servers/db.tar.gz.age", "x/.env", b"A=1\nB=new\nC=3\n")
    assert list(restoring_config._difference(kept, b"A=1\nB=old\nD=4\n")) == [
        "~ B = ***",
        "+ C = ***",
        "- D = ***",
    ]
    plain = replace(kept, part="servers/db/x", member="")
    assert "+B=new" in list(restoring_config._difference(plain, b"A=1\nB=old\n"))


@pytest.mark.skipif(shutil.which("age-keygen") is None, reason="age is not installed")
def test_what_was_encrypted_is_opened_with_its_key_alone() -> None:
    def key() -> tuple[str, str]:
        text = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
        return text, next(line.rpartition(" ")[2] for line in text.splitlines() if "public key" in line)

    (mine, recipient), (other, _recipient) = key(), key()
    closed = subprocess.run(["age", "-r", recipient], input=b"clear", capture_output=True, check=True).stdout
    assert age.decrypted(closed, mine, 1000) == b"clear"
    with pytest.raises(ClientError) as caught:
        age.decrypted(closed, other, 1000)
    assert caught.value.kind is FailureKind.AUTHENTICATION
    with pytest.raises(ClientError):
        age.decrypted(closed[:-3], mine, 1000)
    with pytest.raises(ClientError, match="more than"):
        age.decrypted(closed, mine, 3)
