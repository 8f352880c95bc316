"""Copies of backups on another server and in a repository that is only added to: real sshd, tar, restic and rclone."""

from __future__ import annotations

import getpass
import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from samaops.changes.backup.copy import COPY, Copying
from samaops.changes.backup.prune import REMOVE, Removing
from samaops.changes.objects.expiring import EXPIRE, Expiring
from samaops.changes.run import backup_copy, backup_keep
from samaops.changes.run.objects import expiring as object_expire
from samaops.clients import object_store
from samaops.clients.backup_store import MANIFEST, Store
from samaops.clients.errors import ClientError
from samaops.clients.shell import program as program_of
from samaops.collect import engine
from samaops.collect.registry import collectors_of
from samaops.config.settings import Settings
from samaops.facts.backup_run import DUMP
from samaops.facts.objects import ELSEWHERE, WHOLE, Kept, ObjectRun, ObjectsElsewhere
from samaops.facts.selection import Selection
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site
from tests.service.made_backups import local_store, make_of_files
from tests.service.ssh_server import SshServer, make_key, running_sshd

pytestmark = pytest.mark.service
needs_restic = pytest.mark.skipif(
    not (shutil.which("restic") and shutil.which("rclone")), reason="restic and rclone are not installed"
)
PASSWORD = "canary-restic-password"
FILES = {
    "database/toc.dat": os.urandom(300_000),
    "globals.sql": b"CREATE ROLE x;",
    "empty": b"",
    "é name": b"1",
}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def vault(sshd: SshServer, tmp_path: Path) -> Path:
    """Return a directory that a key of its own may only add to: rclone behind a forced command."""
    key = sshd.directory / "vault"
    if not key.exists():
        make_key(key)
    directory = tmp_path / "vault"
    forced = f"{shutil.which('rclone')} serve restic --stdio --append-only {directory}"
    clients = sshd.directory / "client.pub"
    first = clients.read_text().splitlines()[0]
    clients.write_text(f'{first}\nrestrict,command="{forced}" {key.with_suffix(".pub").read_text()}')
    return directory


def site_of(sshd: SshServer, directory: Path) -> Site:
    reached = (
        f"ssh -p {sshd.port} -i {sshd.directory}/vault -o UserKnownHostsFile={sshd.directory}/known_hosts "
        f"-o IdentitiesOnly=yes -o BatchMode=yes {getpass.getuser()}@127.0.0.1"
    )
    return Site(
        Settings.model_validate(
            {
                "site": "copies",
                "servers": {
                    "db": {"address": "127.0.0.1", "ssh": "local"},
                    "other": {"address": "127.0.0.1", "ssh": sshd.settings()},
                },
                "backup": {
                    "directory": str(directory / "backups"),
                    "os_user": getpass.getuser(),
                    "objects": {"directory": str(directory / "minio")},
                    "copies": [
                        {"name": "other", "server": "other", "directory": str(directory / "there")},
                        {
                            "name": "vault",
                            "kind": "restic",
                            "repository": "rclone:vault",
                            "rclone_program": reached,
                            "password": PASSWORD,
                        },
                    ],
                },
            }
        )
    )


@pytest.fixture
def site(sshd: SshServer, vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = site_of(sshd, tmp_path)
    make(made, "20261128T010000Z-0001")
    for place, content in (("current/avatars/a b", b"newest"), ("generations/1/avatars/a b", b"before"), ("objects/1.jsonl.gz", b"list")):  # fmt: skip
        file = tmp_path / "minio" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return made


def store_of(site: Site) -> Store:
    return local_store(site)


def make(site: Site, identifier: str) -> None:
    """Make a backup that is whole, without a database."""
    make_of_files(site, identifier, FILES)


def copy(site: Site, to: str, number: int = 1, *, has_others: bool = False) -> str:
    of = Copying(f"20261128T0{number}0000Z-000{number}", to, has_others)
    outcome = backup_copy.copy(Operation(COPY, msgspec.to_builtins(of), "db", 60.0), site)
    assert outcome.is_ok, outcome.output
    return outcome.output


def copies(site: Site, number: int = 1) -> set[str]:
    row = store_of(site).row(f"20261128T0{number}0000Z-000{number}")
    assert row is not None
    return set(row.copies)


def test_a_copy_on_another_server_is_the_same_and_has_its_name_last(site: Site, tmp_path: Path) -> None:
    said = copy(site, "other")
    there = tmp_path / "there/copies/20261128T010000Z-0001"
    assert {name: (there / name).read_bytes() for name in FILES} == FILES
    assert (there / MANIFEST).exists()
    assert "all 5 sums are right" in said
    assert copies(site) == {"other"}
    assert (there.parent / "objects/generations/1/avatars/a b").read_bytes() == b"before"


def test_objects_that_are_there_are_not_brought_again(site: Site, tmp_path: Path) -> None:
    copy(site, "other")
    make(site, "20261128T020000Z-0002")
    (tmp_path / "minio/current/avatars/new").write_bytes(b"new")
    file = tmp_path / "minio/current/avatars/a b"
    file.unlink()
    file.write_bytes(b"newer!")  # of the same size
    assert "2 files of objects" in copy(site, "other", 2)
    there = tmp_path / "there/copies/objects/current/avatars"
    assert {path.name: path.read_bytes() for path in there.iterdir()} == {"a b": b"newer!", "new": b"new"}


def test_what_is_damaged_here_is_not_copied(site: Site, tmp_path: Path) -> None:
    (tmp_path / "backups/samaops/20261128T010000Z-0001/globals.sql").write_bytes(b"CREATE ROLE y;")
    with pytest.raises(ClientError, match=r"1 files are not at .* as they are here: globals\.sql"):
        copy(site, "other")
    assert copies(site) == set()
    assert [path.name for path in (tmp_path / "there/copies").iterdir()] == []


def test_a_copy_that_is_damaged_there_is_not_taken_for_whole(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from samaops.clients.backup_copy import CopyPlace

    take = CopyPlace.take

    def damaging(self: CopyPlace, name: str, *rest: object) -> None:
        take(self, name, *rest)  # type: ignore[arg-type]
        (Path(self.directory) / f"{name}.partial/empty").write_bytes(b"x")

    monkeypatch.setattr(CopyPlace, "take", damaging)
    with pytest.raises(ClientError, match="empty"):
        copy(site, "other")
    assert copies(site) == set()


def test_a_place_that_may_not_be_written_to_says_so(site: Site, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file")
    with pytest.raises(ClientError, match="there"):
        copy(site, "other")


@needs_restic
def test_a_repository_takes_it_and_gives_nothing_up(site: Site, sshd: SshServer, tmp_path: Path) -> None:
    assert "the repository was made" in copy(site, "vault")
    make(site, "20261128T020000Z-0002")
    copy(site, "vault", 2, has_others=True)
    assert copies(site, 2) == {"vault"}
    assert len(restic(site, "snapshots", "--json").stdout.split('"short_id"')) == 3
    refused = restic(site, "forget", "--prune", "--keep-last", "1", "--group-by", "", check=False)
    assert refused.returncode != 0
    assert len(restic(site, "snapshots", "--json").stdout.split('"short_id"')) == 3
    restic(site, "restore", "latest", "--tag", "20261128T010000Z-0001", "--target", str(tmp_path / "back"))
    back = Path(f"{tmp_path}/back{tmp_path}/backups/samaops/20261128T010000Z-0001")
    assert {name: (back / name).read_bytes() for name in FILES} == FILES


@needs_restic
def test_a_repository_that_is_gone_is_not_made_anew_over_copies(site: Site, tmp_path: Path) -> None:
    copy(site, "vault")
    shutil.rmtree(tmp_path / "vault")
    make(site, "20261128T020000Z-0002")
    with pytest.raises(ClientError, match="it held copies"):
        copy(site, "vault", 2, has_others=True)
    assert copies(site, 2) == set()


@needs_restic
def test_a_damaged_repository_is_said(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_copy, "CHECK_PARTS", 1)
    copy(site, "vault")
    for file in (tmp_path / "vault/data").rglob("*"):
        if file.is_file():
            file.chmod(0o600)
            file.write_bytes(file.read_bytes()[:-1] + b"x")
    make(site, "20261128T020000Z-0002")
    with pytest.raises(ClientError):
        copy(site, "vault", 2, has_others=True)
    assert copies(site, 2) == set()


@needs_restic
def test_another_password_does_not_make_another_repository(
    site: Site, sshd: SshServer, tmp_path: Path
) -> None:
    copy(site, "vault")
    before = sorted(path for path in (tmp_path / "vault").rglob("*") if "locks" not in path.parts)
    settings = site.settings.model_dump()
    settings["backup"]["copies"][1]["password"] = "another"
    settings["servers"]["other"]["ssh"] = sshd.settings()
    make(site, "20261128T020000Z-0002")
    with pytest.raises(ClientError, match="password"):
        copy(Site(Settings.model_validate(settings)), "vault", 2)
    assert sorted(path for path in (tmp_path / "vault").rglob("*") if "locks" not in path.parts) == before


def removed(site: Site, number: int = 1) -> Outcome:
    of = Removing(f"20261128T0{number}0000Z-000{number}", DUMP, copies=("other",))
    return backup_keep.remove(Operation(REMOVE, msgspec.to_builtins(of), "db", 60.0), site)


def test_a_copy_goes_with_what_has_expired_and_no_other_does(site: Site, tmp_path: Path) -> None:
    make(site, "20261128T020000Z-0002")
    for number in (1, 2):
        copy(site, "other", number)
    assert removed(site).is_ok
    assert store_of(site).row("20261128T010000Z-0001") is None
    names = {path.name for path in (tmp_path / "there/copies").iterdir()}
    assert names == {"20261128T020000Z-0002", "objects"}
    assert (tmp_path / "backups/samaops/20261128T020000Z-0002").is_dir()


def test_the_row_stays_while_a_copy_does_that_cannot_be_removed(site: Site, tmp_path: Path) -> None:
    make(site, "20261128T020000Z-0002")
    for number in (1, 2):
        copy(site, "other", number)
    (tmp_path / "there").rename(tmp_path / "unmounted")
    outcome = removed(site)
    assert not outcome.is_ok
    assert "other: " in outcome.output
    assert "holds no copy at all" in outcome.output
    assert copies(site) == {"other"}
    assert not (tmp_path / "backups/samaops/20261128T010000Z-0001").exists()
    shutil.rmtree(tmp_path / "there")
    (tmp_path / "unmounted").rename(tmp_path / "there")
    assert removed(site).is_ok
    assert store_of(site).row("20261128T010000Z-0001") is None
    assert not (tmp_path / "there/copies/20261128T010000Z-0001").exists()


def test_a_removal_of_a_copy_that_was_killed_is_ended_by_the_next(site: Site, tmp_path: Path) -> None:
    copy(site, "other")
    there = tmp_path / "there/copies"
    (there / "20261128T010000Z-0001").rename(there / "20261128T010000Z-0001.expired")
    assert removed(site).is_ok
    assert {path.name for path in there.iterdir()} == {"objects"}


def as_of(site: Site, run: str, *names: str, day: str = "2026-01-01") -> None:
    """Write the list and the row of a run of the objects, as a copy would have."""
    assert site.settings.backup is not None
    assert site.settings.backup.objects is not None
    home = Path(site.settings.backup.objects.directory)
    kept = (
        Kept("avatars", name, 1, "e", "m", f"sum of {name}", is_odd=name.startswith("odd")) for name in names
    )
    for file, content in (
        (f"objects/{run}.jsonl.gz", gzip.compress(b"".join(msgspec.json.encode(each) + b"\n" for each in kept))),
        (f"runs/{run}.json", msgspec.json.encode(ObjectRun(run, "copies", WHOLE, f"{day}T01:00:00+00:00"))),
    ):  # fmt: skip
        (home / file).parent.mkdir(exist_ok=True)
        (home / file).write_bytes(content)


def lying(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def expire_there(site: Site, *runs: str) -> Outcome:
    of = Expiring(runs, "other")
    return object_expire.expire(Operation(EXPIRE, msgspec.to_builtins(of), "other", 60.0), site)


def test_objects_there_go_when_no_list_that_is_kept_names_them(site: Site, tmp_path: Path) -> None:
    home, there = tmp_path / "minio", tmp_path / "there/copies/objects"
    shutil.rmtree(home)
    for file in ("current/avatars/a", "current/avatars/gone", "current/avatars/uploaded", "odd/sum of odd 1",
                 "odd/sum of odd 2", "generations/2/avatars/a", "generations/3/avatars/a"):  # fmt: skip
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_bytes(file.encode())
    as_of(site, "1", "a", "gone", "odd 1")  # its "a" is the one that run 2 replaced
    as_of(site, "2", "a", "odd 2")
    as_of(site, "3", "a", "odd 2")
    copy(site, "other")
    as_of(site, "4", "a", "uploaded")  # here alone: the copy was cut off before its list
    before = lying(home)
    assert "3 files" in expire_there(site, "1").output
    assert lying(there) == {
        "current/avatars/a", "current/avatars/uploaded", "odd/sum of odd 2", "generations/3/avatars/a",
        "objects/2.jsonl.gz", "objects/3.jsonl.gz", "runs/2.json", "runs/3.json",
    }  # fmt: skip
    assert lying(home) == before


def test_a_damaged_list_there_lets_nothing_of_it_go(site: Site, tmp_path: Path) -> None:
    as_of(site, "1", "a b")
    as_of(site, "2", "a b")
    copy(site, "other")
    there = tmp_path / "there/copies/objects"
    (there / "objects/2.jsonl.gz").write_bytes(gzip.compress(b'{"bucket":'))
    with pytest.raises(ClientError, match="damaged"):
        expire_there(site, "1")
    assert {"current/avatars/a b", "generations/1/avatars/a b"} <= lying(there)


def test_what_lies_there_is_looked_at_without_rclone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_of(site, "1", "a b")
    copy(site, "other")
    collector = next(each for each in collectors_of("backup", site) if each.facts_type is ObjectsElsewhere)
    assert not collector.is_wanted(Selection())
    assert collector.is_wanted(Selection(only=(ELSEWHERE,)))
    path = tmp_path / "programs"
    path.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name != "rclone":
            (path / program.name).symlink_to(program)
    monkeypatch.setattr(object_store, "program", lambda file: f"PATH={path}; " + program_of(file))
    (observed,) = engine.observe([collector], site, Selection(only=(ELSEWHERE,)), 10.0).observations
    assert observed.failure is None
    assert isinstance(observed.facts, ObjectsElsewhere)
    assert [run.id for run in observed.facts.copied.runs] == ["1"]
    assert observed.facts.backups == ("20261128T010000Z-0001",)
    assert not observed.facts.copied.is_busy
    as_of(site, "2", "a b")
    assert expire_there(site, "1").is_ok


def restic(site: Site, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    assert site.settings.backup is not None
    place = site.settings.backup.copies[1]
    options = ["-r", place.repository, "-o", f"rclone.program={place.rclone_program}"]
    return subprocess.run(
        ["restic", *options, *arguments], env={**os.environ, "RESTIC_PASSWORD": PASSWORD}, capture_output=True, text=True, check=check, timeout=60,
    )  # fmt: skip
