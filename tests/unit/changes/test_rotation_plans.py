"""Which logs are rotated, how, and which are left: on data alone, and by the shell program with a writer that never stops."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import convert

from samaops.changes.maintenance.rotation import NAME, TASK, Rotating
from samaops.changes.run import maintenance as log_rotation
from samaops.changes.verbs import find
from samaops.clients.shell import Completed
from samaops.collect.maintenance import rotation as look
from samaops.collect.sections import script_of
from samaops.config.schedule_settings import Maintenance
from samaops.config.settings import Settings
from samaops.errors import UnavailableError, UsageError
from samaops.facts.maintenance_week import LogFile, RotationFacts, Writer
from samaops.facts.observation import Observation, Snapshot
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.checks import judging

NOW, DAY, MB = 1_770_000_000.0, 86400.0, 1024 * 1024
SCRIPT = Path(log_rotation.__file__).with_suffix(".sh")
LISTING = Path(look.__file__).with_suffix(".sh")
APPENDING, ELSEWHERE = Writer(7, "uvicorn", True), Writer(8, "java", False)
OPEN = LogFile("api.log", 11, 300 * MB, NOW, True, (APPENDING,))
OLD = LogFile("worker.log.1", 12, 2 * MB, NOW - 9 * DAY, False, ())


def observed(server: str, *files: LogFile, can_collapse: bool = True) -> Observation:
    facts = RotationFacts("/opt/samaconso/logs", NOW, files, "ext4", 4096, can_collapse)
    return Observation("maintenance", f"rotation/{server}", server, RotationFacts.__name__, facts)


def planned(*observations: Observation, **rules: object) -> Plan:
    site = Site(Settings(maintenance=Maintenance.model_validate(rules)))
    return find(NAME).plan(Snapshot(judging.TAKEN_AT, observations), site, (TASK,))


def methods(plan: Plan) -> list[str]:
    return [convert(step.operation.arguments, Rotating).method for step in plan.steps]


def test_each_is_rotated_in_the_way_that_loses_nothing() -> None:
    plan = planned(observed("api", OPEN), observed("workers", OLD))
    assert methods(plan) == ["collapse", "pack"]
    assert [step.operation.server for step in plan.steps] == ["api", "workers"]
    assert plan.risk is Risk.SAFE
    assert "it is open: its beginning is compressed" in plan.steps[0].title


def test_where_the_application_opens_anew_it_is_renamed() -> None:
    plan = planned(observed("api", OPEN), log_reopen="docker kill -s USR1 nginx")
    (rotating,) = [convert(step.operation.arguments, Rotating) for step in plan.steps]
    assert (rotating.method, rotating.reopen) == ("reopen", "docker kill -s USR1 nginx")


@pytest.mark.parametrize(
    ("file", "can_collapse", "reason"),
    [
        (LogFile("a.log", 1, 300 * MB, NOW, True, (ELSEWHERE,)), True, "would leave a hole"),
        (LogFile("a.log", 1, 300 * MB, NOW, True, (APPENDING, ELSEWHERE)), True, "would leave a hole"),
        (LogFile("a.log", 1, 300 * MB, NOW, True, (APPENDING,)), False, "cannot take the head off"),
        (LogFile("a.log", 1, 300 * MB, NOW, True, None), True, "cannot be seen"),
    ],
)
def test_what_could_lose_a_line_is_left_and_said(file: LogFile, can_collapse: bool, reason: str) -> None:
    plan = planned(observed("api", file, can_collapse=can_collapse))
    assert plan.steps == ()
    assert reason in " ".join(plan.notes)


def test_nothing_is_planned_where_nobody_could_look() -> None:
    with pytest.raises(UnavailableError):
        planned(judging.failed("rotation/api", RotationFacts, judging.WAY_BROKEN, "api"))


def test_another_task_has_no_plan_of_its_own() -> None:
    with pytest.raises(UsageError):
        find(NAME).codes(Site(Settings()), ("disk",))


def rotate(
    directory: Path, name: str, method: str, *, stamp: str = "s", reopen: str = "", current: int = 1
) -> str:
    inode = (directory / name).stat().st_ino
    words = [str(directory), name, str(inode), method, str(current), stamp, "4096", reopen]
    with SCRIPT.open("rb") as program:
        done = subprocess.run(
            ["sh", "-s", "--", *words],
            stdin=program,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().removeprefix("samaops-rotation: ")


WRITER = """
import sys
number, log = 0, open(sys.argv[1], "a", buffering=1)
print("writes", flush=True)
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    for number in range(number, number + 200):
        log.write(f"line {number:09d} {'x' * 80}\\n")
    number += 1
print(number)
"""


def writer(path: Path) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "writes\n"
    return started


def ended(started: subprocess.Popen[str]) -> int:
    count, _nothing = started.communicate("\n", timeout=60)
    return int(count)


def collapses(directory: Path) -> bool:
    """Return whether the file system of the tests can take the head off a file."""
    (directory / "try").write_bytes(b"x" * 8192)
    words = ["fallocate", "-c", "-o", "0", "-l", "4096", str(directory / "try")]
    return (
        shutil.which("fallocate") is not None
        and not subprocess.run(words, capture_output=True, check=False).returncode
    )


def test_no_line_is_lost_or_changed_while_the_head_is_taken_off(tmp_path: Path) -> None:
    if not collapses(tmp_path):
        pytest.skip("this file system cannot take the head off a file")
    log = tmp_path / "app.log"
    log.write_text("")
    started = writer(log)
    try:
        for stamp in ("1", "2", "3"):
            while log.stat().st_size < 200_000:
                pass
            assert rotate(tmp_path, "app.log", "collapse", stamp=stamp) == f"done ./app.log-{stamp}.gz"
    finally:
        count = ended(started)
    packed = b"".join(gzip.decompress((tmp_path / f"app.log-{stamp}.gz").read_bytes()) for stamp in "123")
    lines = (packed + log.read_bytes()).decode().splitlines()
    assert lines == [f"line {number:09d} {'x' * 80}" for number in range(count)]


def test_a_log_that_nobody_has_open_is_compressed_whole(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("one\ntwo\n")
    (tmp_path / "app.log").chmod(0o640)
    assert rotate(tmp_path, "app.log", "pack") == "done ./app.log-s.gz"
    packed = tmp_path / "app.log-s.gz"
    assert gzip.decompress(packed.read_bytes()) == b"one\ntwo\n"
    assert packed.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["app.log-s.gz"]


def test_a_log_that_is_open_is_not_renamed(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    started = writer(log)
    try:
        assert rotate(tmp_path, "app.log", "pack") == "failed somebody has it open"
    finally:
        count = ended(started)
    assert len(log.read_text().splitlines()) == count
    assert [path.name for path in tmp_path.iterdir()] == ["app.log"]


def test_an_older_compressed_one_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("new\n")
    (tmp_path / "app.log-s.gz").write_text("old")
    assert "is there already" in rotate(tmp_path, "app.log", "pack")
    assert (tmp_path / "app.log-s.gz").read_text() == "old"


def test_one_that_is_opened_anew_is_compressed_after_that(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\n")
    with log.open("a"):
        pass
    held = subprocess.Popen(["sh", "-c", "exec 3>>app.log; exec sleep 60"], cwd=tmp_path)
    try:
        while rotate(tmp_path, "app.log", "pack", stamp="try") != "failed somebody has it open":
            (tmp_path / "app.log-try.gz").unlink(missing_ok=True)
            log.write_text("one\n")
        assert rotate(tmp_path, "app.log", "reopen", reopen=f"kill {held.pid}") == "done ./app.log-s.gz"
    finally:
        held.kill()
        held.wait()
    assert gzip.decompress((tmp_path / "app.log-s.gz").read_bytes()) == b"one\n"


def test_a_command_that_fails_gives_the_log_its_name_back(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("one\n")
    assert rotate(tmp_path, "app.log", "reopen", reopen="false").startswith("failed false")
    assert (tmp_path / "app.log").read_text() == "one\n"


def listed(directory: Path) -> RotationFacts:
    with_common = script_of(LISTING)
    done = subprocess.run(
        ["sh", "-s", "--", "TOKEN", str(directory), "*.log"],
        input=with_common, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    completed = Completed(done.returncode, done.stdout.decode(), done.stderr.decode())
    return look.read(completed, "TOKEN", str(directory))


def test_who_writes_to_a_log_is_seen_and_how(tmp_path: Path) -> None:
    for name in ("appended.log", "placed.log", "read.log", "app.log.1", "app.log-1.gz"):
        (tmp_path / name).write_text("x")
    with (
        (tmp_path / "appended.log").open("a"),
        (tmp_path / "placed.log").open("r+"),
        (tmp_path / "read.log").open(),
    ):
        facts = listed(tmp_path)
    seen = {file.name: file for file in facts.files}
    assert set(seen) == {"appended.log", "placed.log", "read.log", "app.log.1"}
    assert [writer.appends for writer in seen["appended.log"].writers or ()] == [True]
    assert [writer.appends for writer in seen["placed.log"].writers or ()] == [False]
    assert seen["read.log"].writers == ()
    assert not seen["app.log.1"].is_current
