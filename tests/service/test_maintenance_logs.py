"""Logs of real files read over a real sshd: rotated, packed, truncated, hostile, and very large."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.config.schedule_settings import Maintenance
from samaops.config.settings import Server, Settings
from samaops.facts.maintenance import LogFacts, LogMarks, Past
from samaops.facts.selection import Selection
from samaops.model.finding import Finding
from samaops.site.site import Site
from tests.service.ssh_server import SshServer, running_sshd

pytestmark = pytest.mark.service
ERROR = "2026-11-20 03:12:07,123 ERROR app.api request 4711 of 10.101.4.9 took 931 ms\n"
INFO = "2026-11-20 03:12:07,124 INFO app.api request 4712 of 10.101.4.9 took 31 ms\n"
# A reading of 2 GB takes 1 to 2 s; a machine that is busy with other tests is ten times slower.
MEGABYTES, SECONDS = 300, 15.0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


class Logs:
    """A directory of logs that is read again and again, each time from where it was left."""

    def __init__(self, directory: Path, sshd: SshServer) -> None:
        self.directory = directory
        self.marks: LogMarks | None = None
        self.findings: tuple[Finding, ...] = ()
        self._settings = Settings(
            servers={"api": Server(address=sshd.address, ssh=sshd.settings())},
            maintenance=Maintenance(log_servers=("api",), log_directory=str(directory)),
        )

    def write(self, name: str, text: str, mode: str = "a") -> None:
        with (self.directory / name).open(mode, encoding="utf-8") as stream:
            stream.write(text)

    def move(self, old: str, new: str) -> None:
        (self.directory / old).rename(self.directory / new)

    def pack(self, name: str) -> None:
        """As gzip does: the packed file has the time of the other."""
        path = self.directory / name
        packed = path.with_name(name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        os.utime(packed, (path.stat().st_atime, path.stat().st_mtime))
        path.unlink()

    def read(self) -> LogFacts:
        past = Past(marks={"api": self.marks} if self.marks else {})
        selection = Selection(only=("maintenance.logs",))
        collectors = registry.collectors(Site(self._settings), selection)
        snapshot = engine.observe(collectors, Site(self._settings), selection, 60.0, past)
        self.findings = checks.judge(snapshot, Site(self._settings), selection)
        found = [facts for _one, facts in snapshot.facts_of(LogFacts)]
        assert found, snapshot.observations
        facts = found[0]
        self.marks = facts.marks
        return facts

    def count(self) -> int:
        """Return how many errors are new, all files read."""
        facts = self.read()
        assert not facts.unread, facts.unread
        return facts.errors


@pytest.fixture
def logs(tmp_path: Path, sshd: SshServer) -> Logs:
    (tmp_path / "logs").mkdir()
    return Logs(tmp_path / "logs", sshd)


def test_lines_are_counted_per_file_and_in_all_and_only_once(logs: Logs) -> None:
    logs.write("api_1.log", INFO + ERROR * 3)
    logs.write("api_2.log", ERROR.replace("ERROR", "CRITICAL") + INFO * 5)
    facts = logs.read()
    assert {one.name: (one.errors, one.criticals) for one in facts.files} == {
        "api_1.log": (3, 0),
        "api_2.log": (0, 1),
    }
    assert facts.messages[0].text == "ERROR app.api request # of #.#.#.# took # ms"
    assert facts.messages[0].count == 3
    assert logs.count() == 0
    logs.write("api_1.log", ERROR * 2)
    assert logs.count() == 2


def lines_by_level() -> list[tuple[int, str]]:
    listed = Path(__file__).parents[1] / "data" / "log_levels.txt"
    lines = listed.read_text(encoding="utf-8").splitlines()[1:]
    return [(int(line[0]), line[2:].replace("ESC", "\x1b")) for line in lines]


def test_the_level_of_a_line_is_read_by_its_field_and_place(logs: Logs) -> None:
    """Of each line a file of its own, so that a failure names it."""
    for number, (_level, line) in enumerate(lines_by_level()):
        logs.write(f"{number:03}.log", f"{line}\n")
    facts = logs.read()
    levels = {file.name.partition(".")[0]: 2 * file.criticals + file.errors for file in facts.files}
    wrong = [
        (line, levels.get(f"{number:03}"))
        for number, (level, line) in enumerate(lines_by_level())
        if levels.get(f"{number:03}") != level
    ]
    assert not wrong


def test_a_structured_message_is_told_without_its_fields(logs: Logs) -> None:
    logs.write("api.log", '{"event": "push failed", "id": 47, "level": "error"}\n' * 3)
    logs.write("api.log", '{"level": "info", "message": "\\"level\\": \\"error\\" ERROR"}\n' * 3)
    facts = logs.read()
    assert [(message.text, message.count) for message in facts.messages] == [("ERROR push failed", 3)]


def test_a_byte_of_zero_and_a_very_long_line_hide_nothing(logs: Logs) -> None:
    with (logs.directory / "api.log").open("wb") as stream:
        stream.write(b"2026-11-20 03:12:07 INFO \x00 " + b"x" * 3_000_000 + b" ERROR\n")
        stream.write(ERROR.encode().replace(b"took", b"\x00took"))
        stream.write(b'{"msg": "' + b"x" * 10_000 + b'", "level": "error"}\n')
    assert logs.count() == 2


def test_links_and_names_outside_ascii_are_read_and_what_is_left_out_is_named(logs: Logs) -> None:
    elsewhere = logs.directory.parent / "journal d\u00e9cembre"
    elsewhere.write_text(ERROR)
    logs.write("api-2026.log", ERROR * 2)
    (logs.directory / "api.log").symlink_to("api-2026.log")
    (logs.directory / "\u00e9t\u00e9.log").symlink_to(elsewhere)
    (logs.directory / "gone.log").symlink_to("nowhere")
    (logs.directory / "old.log").mkdir()
    (logs.directory / "null.log").symlink_to("/dev/null")
    logs.write("notes.txt", ERROR)
    logs.write("with\nbreak.log", ERROR)
    assert logs.count() == 3
    facts = logs.read()
    broken = (logs.directory / "with\nbreak.log").stat().st_ino
    assert facts.left_out == (
        f"a name with a control character, inode {broken}",
        "gone.log (dangling link)",
        "notes.txt",
        "null.log (c)",
        "old.log (directory)",
    )
    assert facts.errors == 0
    evidence = next(
        finding.evidence for finding in logs.findings if finding.code == "maintenance.logs.errors"
    )
    assert evidence["left_out"] == list(facts.left_out)


def test_a_directory_behind_links_is_read_and_a_dangling_one_is_not_there(
    logs: Logs, sshd: SshServer
) -> None:
    logs.write("api.log", ERROR)
    link = logs.directory.parent / "link"
    link.symlink_to("second")
    second = logs.directory.parent / "second"
    second.symlink_to(logs.directory.name)
    assert Logs(link, sshd).count() == 1
    second.unlink()
    dangling = Logs(link, sshd)
    with pytest.raises(AssertionError, match="No such file"):
        dangling.read()


def test_rotation_by_rename_and_later_compression_lose_and_repeat_nothing(logs: Logs) -> None:
    logs.write("api.log", ERROR * 10)
    assert logs.count() == 10
    logs.write("api.log", ERROR * 4)
    logs.move("api.log", "api.log.1")
    logs.write("api.log", ERROR * 2)
    assert logs.count() == 6
    logs.pack("api.log.1")
    assert logs.count() == 0


def test_a_file_that_was_rotated_and_packed_between_two_readings_is_read_on(logs: Logs) -> None:
    logs.write("api.log", ERROR * 10 + INFO * 20)
    assert logs.count() == 10
    logs.write("api.log", ERROR * 5)
    logs.move("api.log", "api.log.1")
    logs.pack("api.log.1")
    logs.write("api.log", INFO.replace("4712", "1") + ERROR)
    assert logs.count() == 6
    assert logs.count() == 0


def test_copy_and_truncate_are_seen_through(logs: Logs) -> None:
    logs.write("api.log", ERROR * 10 + INFO * 20)
    assert logs.count() == 10
    logs.write("api.log", ERROR * 3)
    logs.write("api.log.1", (logs.directory / "api.log").read_text())
    logs.write("api.log", "2026-11-21 another beginning\n" + ERROR * 2, mode="w")
    assert logs.count() == 5


def test_two_rotations_between_two_readings_are_both_counted(logs: Logs) -> None:
    logs.write("api.log", INFO * 30)
    assert logs.count() == 0
    logs.write("api.log", ERROR)
    logs.move("api.log", "api.log.2")
    logs.pack("api.log.2")
    logs.write("api.log", "second\n" + ERROR * 2)
    logs.move("api.log", "api.log.1")
    logs.pack("api.log.1")
    logs.write("api.log", "third\n" + ERROR * 4)
    assert logs.count() == 7


def test_a_line_that_is_half_written_is_counted_once_when_it_is_whole(logs: Logs) -> None:
    logs.write("api.log", ERROR + "2026-11-20 03:12 ERR")
    assert logs.count() == 1
    logs.write("api.log", "OR the rest\n")
    assert logs.count() == 1


def test_the_hole_that_a_truncation_left_is_no_line(logs: Logs) -> None:
    with (logs.directory / "api.log").open("wb") as stream:
        stream.seek(200_000_000)
        stream.write(ERROR.encode())
    assert logs.count() == 1


def test_names_that_are_commands_are_only_names(logs: Logs) -> None:
    for name in ("a b.log", "$(touch pwned).log", "'; touch pwned;'.log", "-rf.log"):
        logs.write(name, ERROR)
    logs.write("with\nbreak.log", ERROR)
    assert logs.count() == 4
    assert not list(logs.directory.glob("pwned*"))


def test_hostile_content_stays_data(logs: Logs) -> None:
    raw = b"\xff\xfe ERROR \x1b[31m [red]x[/red] \x00 @@ file 0\nerrors 999\nERROR " + b"y" * 100_000 + b"\n"
    (logs.directory / "api.log").write_bytes(raw)
    facts = logs.read()
    assert facts.errors == 2
    assert all(len(one.text) <= 200 for one in facts.messages)


def test_a_directory_that_is_not_there_is_unknown(logs: Logs) -> None:
    logs.directory.rmdir()
    with pytest.raises(AssertionError):
        logs.read()
    assert {one.code: one.status.value for one in logs.findings} == {
        "maintenance.logs.errors": "unknown",
        "maintenance.logs.unread": "skipped",
    }


def test_hundreds_of_megabytes_are_read_in_seconds(logs: Logs) -> None:
    block = (INFO * 9_990 + ERROR * 10).encode()
    with (logs.directory / "api.log").open("wb") as stream:
        for _number in range(MEGABYTES * 1_000_000 // len(block)):
            stream.write(block)
    started = time.monotonic()
    assert logs.count() == MEGABYTES * 1_000_000 // len(block) * 10
    assert time.monotonic() - started < SECONDS
    started = time.monotonic()
    assert logs.count() == 0
    assert time.monotonic() - started < SECONDS / 3


def test_a_file_of_nothing_but_errors_is_counted_exactly_and_its_messages_estimated(logs: Logs) -> None:
    logs.write("api.log", ERROR * 200_000)
    facts = logs.read()
    assert facts.errors == 200_000
    assert facts.is_sampled
    assert abs(facts.messages[0].count - 200_000) < 1000
