"""The copy of the objects against a real S3 server, with the real rclone: nothing is lost, and each run's bytes come back."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from samaops.changes.objects.expiring import EXPIRE, Expiring
from samaops.changes.run.objects import copying as object_copy
from samaops.changes.run.objects import expiring as object_expire
from samaops.changes.run.objects import restoring as object_restore
from samaops.clients.errors import ClientError
from samaops.clients.minio import S3Connection
from samaops.config.settings import Settings
from samaops.errors import RefusedError
from samaops.facts.objects import FAILED, STOPPED, WHOLE, ObjectRun
from samaops.model.plan import ActionStatus, Operation
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import change, history, objects
from tests.service import s3_server
from tests.service.looking import look
from tests.service.s3_server import ACCESS, SECRET, S3Server

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        shutil.which("rclone") is None, reason="rclone is not installed (apt-get install rclone)"
    ),
]
# Names that a file can have, and names that none can; some that a shell, a list or rclone could take for something else.
PLAIN = (
    "a",
    "a-b",
    "with space/é",
    "--delete",
    "-x/--config",
    "日本",
    "p%41+&=?#",
    "q'uo\"te",
    "*",
    "[x]",
    "x{1,2}",
)
ODD = ("a/b", "new\nline", "tab\tx", "twice//slash", "folder/", "/leading", "．", "a／b", "n" * 300)
OBJECTS = {key: f"{number} {key}".encode() for number, key in enumerate((*PLAIN, *ODD))}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server.running() as started:
        yield started


@pytest.fixture
def buckets(server: S3Server) -> Iterator[S3Server]:
    """Two buckets, of which one has all kinds of names."""
    server.put("avatars", OBJECTS)
    server.put("documents", {f"2026/{number % 7}/{number}": os.urandom(100) for number in range(40)})
    yield server
    server.stop()  # its objects lie in memory
    server.start()


def settings_of(server: S3Server, directory: Path, **objects_section: object) -> Settings:
    return Settings.model_validate(
        {
            "site": "objects",
            "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
            "minio": {
                "url": server.url,
                "access_key": ACCESS,
                "secret_key": SECRET,
                "buckets": ["avatars", "documents"],
            },
            "backup": {
                "directory": str(directory / "postgresql"),
                "os_user": getpass.getuser(),
                "objects": {"directory": str(directory / "minio"), **objects_section},
            },
            "safety": {"lock_directory": str(directory), "server_lock_directory": str(directory)},
        }
    )


@pytest.fixture
def site(buckets: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Debian's rclone breaks with it, and a site may have it in the environment of everybody.
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere")
    return Site(settings_of(buckets, tmp_path))


def take(site: Site, number: int) -> ObjectRun:
    return object_copy.take(site, f"20261128T0{number}0000Z-000{number}", lambda _words: None)


def copy_of(site: Site) -> Path:
    assert site.settings.backup is not None
    assert site.settings.backup.objects is not None
    return Path(site.settings.backup.objects.directory)


def restore(site: Site, *, as_of: str = "", bucket: str = "", prefix: str = "") -> Report:
    plan = objects.prepare_restore(site, as_of, bucket, prefix)
    return change.apply(site, plan, 5.0) if plan.steps else change.report_of(site, plan)


def statuses(report: Report) -> list[ActionStatus]:
    return [action.status for action in report.actions]


def everything(server: S3Server) -> dict[str, dict[str, bytes]]:
    return {bucket: server.all(bucket) for bucket in ("avatars", "documents")}


def test_all_names_are_copied_and_come_back(site: Site, buckets: S3Server) -> None:
    before = everything(buckets)
    run = take(site, 1)
    assert (run.state, run.left_out, run.objects) == (WHOLE, (), len(OBJECTS) + 40)
    lying = {str(path.relative_to(copy_of(site) / "current/avatars")) for path in (copy_of(site) / "current/avatars").rglob("*") if path.is_file()}  # fmt: skip
    assert lying == set(PLAIN)
    assert take(site, 2).sent == 0
    assert object_restore.prove(site, run.id).damaged == ()
    for bucket in before:
        buckets.delete(bucket, *before[bucket])
    assert take(site, 3).state == STOPPED
    report = restore(site)
    assert statuses(report) == [ActionStatus.VERIFIED] * 2
    assert everything(buckets) == before
    assert objects.prepare_restore(site, "", "", "").nothing_to_do


def test_no_secret_lies_in_the_copy(site: Site) -> None:
    take(site, 1)
    found = subprocess.run(["grep", "-rlF", SECRET, str(copy_of(site))], capture_output=True, check=False)
    assert found.returncode == 1, found.stdout


def test_each_run_gives_its_own_bytes(site: Site, buckets: S3Server) -> None:
    states = {}
    for number in range(1, 5):
        # the same size, other bytes; one that comes and goes; a name that becomes a directory, and a file again
        changed = {"a": b"same size %d" % number, "twice//slash": b"odd %d" % number}
        changed |= {"turns": b"file"} if number % 2 else {"turns/inside": b"below"}
        buckets.put("avatars", changed)
        buckets.delete("avatars", "turns/inside" if number % 2 else "turns")
        assert take(site, number).state == WHOLE
        states[number] = everything(buckets)
    for number in (2, 1, 4, 3):
        assert object_restore.prove(site, f"20261128T0{number}0000Z-000{number}").damaged == ()
        report = restore(site, as_of=f"20261128T0{number}")
        assert ActionStatus.FAILED not in statuses(report), report.errors
        now = everything(buckets)
        # nothing is deleted: what came later is there beside it
        assert {key: now["avatars"].get(key) for key in states[number]["avatars"]} == states[number][
            "avatars"
        ]


def test_what_is_overwritten_is_kept_and_comes_back_by_undo(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    newer = {"a": b"newer", "twice//slash": b"newer and odd"}
    buckets.put("avatars", newer)
    buckets.delete("avatars", "日本")
    report = restore(site)
    assert statuses(report) == [ActionStatus.VERIFIED] * 2
    assert buckets.all("avatars") == OBJECTS
    (journal,) = {action.journal for action in report.actions}
    undone = change.apply(site, history.undo(site, str(journal)), 5.0)
    assert not undone.errors, undone.errors
    assert buckets.all("avatars") == {**OBJECTS, **newer}


@pytest.mark.parametrize("keys", [("a", "a-b", "日本", "*", "[x]"), PLAIN])
def test_a_bucket_that_lost_much_stops_the_copy(site: Site, buckets: S3Server, keys: tuple[str, ...]) -> None:
    take(site, 1)
    before = sorted(copy_of(site).joinpath("current").rglob("*"))
    buckets.delete("avatars", *keys)
    run = take(site, 2)
    assert run.state == STOPPED
    assert f"avatars: {len(keys)} of {len(OBJECTS)} objects are gone or replaced" in run.reason
    assert sorted(copy_of(site).joinpath("current").rglob("*")) == before
    seen = look(site.settings, "backup.objects")
    assert seen.status("backup.objects.lost") is Status.CRITICAL
    assert "avatars" in seen.one("backup.objects.lost").title


def test_objects_that_were_all_overwritten_stop_the_copy(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    buckets.put("avatars", dict.fromkeys(PLAIN, b"encrypted by somebody"))
    assert take(site, 2).state == STOPPED


def test_a_few_that_are_gone_do_not_stop_it_and_stay_in_the_copy(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    buckets.delete("avatars", "a", "日本")
    run = take(site, 2)
    assert (run.state, run.buckets["avatars"].gone) == (WHOLE, 2)
    assert copy_of(site).joinpath("current/avatars/日本").read_bytes() == OBJECTS["日本"]
    # "a" is a directory now, for "a/b" can have its own name: the file went to what that run replaced
    assert copy_of(site).joinpath("generations", run.id, "avatars/a").read_bytes() == OBJECTS["a"]
    restore(site, as_of="20261128T01")
    assert buckets.all("avatars") == OBJECTS


def test_a_bucket_that_is_gone_stops_it_and_is_made_anew(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    buckets.drop("avatars")
    run = take(site, 2)
    assert (run.state, "avatars" in run.reason) == (STOPPED, True)
    restore(site, bucket="avatars")
    assert buckets.all("avatars") == OBJECTS


def test_all_buckets_gone_is_no_empty_copy(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    for name in ("avatars", "documents"):
        buckets.drop(name)
    assert take(site, 2).state == STOPPED


def test_a_server_that_is_down_fails_the_run_and_keeps_all(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    before = everything(buckets)
    buckets.stop()
    try:
        run = take(site, 2)
        assert (run.state, run.reason[:8]) == (FAILED, "connect:")
        assert look(site.settings, "backup.objects").status("backup.objects.failed") is Status.WARNING
        with pytest.raises(Exception, match="connect"):
            restore(site)
    finally:
        buckets.start()  # with nothing in it: its objects lie in memory
    restore(site)
    assert everything(buckets) == before


def test_only_a_part_is_put_back(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    before = buckets.all("documents")
    buckets.delete("documents", *before)
    buckets.delete("avatars", "a")
    restore(site, bucket="documents", prefix="2026/3/")
    assert buckets.all("documents") == {
        key: value for key, value in before.items() if key.startswith("2026/3/")
    }
    assert "a" not in buckets.all("avatars")


def test_what_is_damaged_in_the_copy_is_named_and_the_rest_comes_back(site: Site, buckets: S3Server) -> None:
    take(site, 1)
    file = copy_of(site) / "current/avatars/a"
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    copy_of(site).joinpath("current/avatars/a-b").unlink()
    assert object_restore.prove(site, "20261128T010000Z-0001").damaged == ("avatars/a", "avatars/a-b")
    buckets.delete("avatars", *OBJECTS)
    report = restore(site)
    assert statuses(report) == [ActionStatus.FAILED, ActionStatus.VERIFIED]
    assert "avatars/a, avatars/a-b" in report.errors[0].message
    assert buckets.all("avatars") == {key: value for key, value in OBJECTS.items() if key not in ("a", "a-b")}


def test_what_the_copy_lost_is_brought_again(site: Site) -> None:
    take(site, 1)
    copy_of(site).joinpath("current/avatars/a").unlink()
    assert take(site, 2).sent == len(OBJECTS["a"])
    assert object_restore.prove(site, "20261128T010000Z-0001").damaged == ()


def test_many_flat_and_nested(site: Site, buckets: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    page = S3Connection.page
    monkeypatch.setattr(
        S3Connection, "page", lambda self, bucket, after, most=50: page(self, bucket, after, min(most, 50))
    )
    monkeypatch.setattr(object_copy, "_PART_OBJECTS", 70)
    flat = {f"{number:05}": b"x%d" % number for number in range(300)}
    nested = {f"{number % 10}/{number % 100}/{number}": b"y%d" % number for number in range(300)}
    buckets.put("flat", flat)
    buckets.put("nested", nested)
    assert take(site, 1).objects == len(OBJECTS) + 40 + 600
    # by now the listing is cut at names of the last list
    run = take(site, 2)
    assert (run.sent, run.objects) == (0, len(OBJECTS) + 40 + 600)
    buckets.delete("flat", *flat)
    restore(site, bucket="flat")
    assert buckets.all("flat") == flat


def test_a_run_that_is_killed_has_lost_nothing_and_the_next_goes_on(
    site: Site, buckets: S3Server, tmp_path: Path
) -> None:
    take(site, 1)
    buckets.put("documents", {f"new/{number}": os.urandom(2000) for number in range(100)})
    program = (
        "import sys; from pathlib import Path; from samaops.site.site import Site; from samaops.changes.run import object_copy;"
        "from tests.service.s3_server import S3Server; from tests.service.test_minio_objects import settings_of, take;"
        f"take(Site(settings_of(S3Server({buckets.port}), Path({str(tmp_path)!r}))), 2)"
    )
    for seconds in (0.4, 0.8, 1.2, 1.6):
        process = subprocess.Popen([sys.executable, "-c", program])
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert object_restore_when_free(site, "20261128T010000Z-0001") == ()
    last = take_when_free(site, 3)
    assert (last.state, last.objects) == (WHOLE, len(OBJECTS) + 140)
    assert object_restore.prove(site, last.id).damaged == ()


def object_restore_when_free(site: Site, run: str) -> tuple[str, ...]:
    """Prove a run once what the killed one started has ended."""
    until = time.monotonic() + 30
    while True:
        try:
            return object_restore.prove(site, run).damaged
        except ClientError as error:
            if "works on this copy" not in error.message or time.monotonic() > until:
                raise
            time.sleep(0.2)


def take_when_free(site: Site, number: int) -> ObjectRun:
    until = time.monotonic() + 30
    while True:
        try:
            run = take(site, number)
        except ClientError as error:
            run = ObjectRun("", "", FAILED, "", reason=error.message)
        if "works on this copy" not in run.reason or time.monotonic() > until:
            return run
        time.sleep(0.2)


def test_only_one_works_on_a_copy(site: Site) -> None:
    take(site, 1)
    with subprocess.Popen(["flock", str(copy_of(site)), "sleep", "30"]) as holder:
        try:
            time.sleep(0.3)
            with pytest.raises(ClientError, match="another samaops works on this copy"):
                take(site, 2)
            with pytest.raises(RefusedError, match="works on the copy"):
                change.prepare(site, "backup objects", ())
        finally:
            subprocess.run(["pkill", "-P", str(holder.pid)], check=False)


def test_no_room_fails_before_anything_is_copied(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_copy, "_SPARE_SHARE", 1e12)
    run = take(site, 1)
    assert run.state == FAILED
    assert "are free in" in run.reason
    assert not copy_of(site).joinpath("incoming").exists()


def test_lists_expire_and_only_what_no_other_names_goes_with_them(site: Site, buckets: S3Server) -> None:
    for number in range(1, 5):
        buckets.put("avatars", {"a": b"same size %d" % number, "twice//slash": b"odd %d" % number})
        take(site, number)
    buckets.delete("avatars", "日本")
    take(site, 5)
    ids = [f"20261128T0{number}0000Z-000{number}" for number in range(1, 6)]
    operation = Operation(EXPIRE, msgspec.to_builtins(Expiring(tuple(ids[:2]))), "db", 60.0)
    assert object_expire.expire(operation, site).is_ok
    for kept in ids[2:]:
        assert object_restore.prove(site, kept).damaged == ()
    assert sorted(path.name for path in copy_of(site).joinpath("generations").iterdir()) == ids[3:4]
    operation = Operation(EXPIRE, msgspec.to_builtins(Expiring(tuple(ids[2:4]))), "db", 60.0)
    object_expire.expire(operation, site)
    assert object_restore.prove(site, ids[4]).damaged == ()
    assert not copy_of(site).joinpath("current/avatars/日本").exists()
    assert len(list(copy_of(site).joinpath("odd").iterdir())) == len(ODD)


def test_the_command_copies_and_says_so(site: Site) -> None:
    plan = change.prepare(site, "backup objects", ())
    report = change.apply(site, plan, 5.0)
    assert statuses(report) == [ActionStatus.VERIFIED]
    assert f"{len(OBJECTS) + 40} objects" in report.actions[0].result
    seen = look(site.settings, "backup.objects")
    assert seen.status("backup.objects.old") is Status.OK, seen.summary()
