"""What is new in the logs since the last reading, whatever happened to the files meanwhile: on data alone."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.collect.maintenance.log_files import marks, parts
from samaops.facts.maintenance import ListedFile, LogMark, LogMarks, Part

NOON = 1_770_000_000.0
MARKS = LogMarks(NOON, (LogMark("api.log", 5, 1000, 1024, "sum-of-api"),))
HEAD = ((1024, "sum-of-api"),)


def listed(
    name: str, inode: int, size: int, *, after: float = 60, sums: tuple[tuple[int, str], ...] = HEAD
) -> ListedFile:
    return ListedFile(name, inode, size, NOON + after, name.endswith(".log"), 0, sums)


def new(name: str, inode: int, size: int = 300) -> ListedFile:
    return listed(name, inode, size, sums=((size, f"sum-of-{inode}"),))


def test_the_first_reading_takes_all_of_the_current_files_and_no_archive() -> None:
    files = [listed("api.log", 5, 700), listed("api.log.1", 6, 900), listed("api.log.2.gz", 7, 90)]
    assert parts(files, None) == (Part("api.log", 5, 0, 700),)


def test_a_file_that_grew_is_read_from_where_it_ended() -> None:
    assert parts([listed("api.log", 5, 1500)], MARKS) == (Part("api.log", 5, 1000, 1500),)


def test_a_file_that_did_not_grow_is_not_read() -> None:
    assert parts([listed("api.log", 5, 1000, after=-60)], MARKS) == ()


def test_a_renamed_file_is_read_on_and_the_new_one_from_its_beginning() -> None:
    files = [new("api.log", 6), listed("api.log.1", 5, 1200)]
    assert set(parts(files, MARKS)) == {Part("api.log", 6, 0, 300), Part("api.log.1", 5, 1000, 1200)}


def test_a_packed_file_is_read_on_after_the_same_number_of_bytes() -> None:
    files = [new("api.log", 6), listed("api.log.1.gz", 7, 80)]
    assert set(parts(files, MARKS)) == {Part("api.log", 6, 0, 300), Part("api.log.1.gz", 7, 1000, None)}


def test_a_file_that_was_copied_and_truncated_is_read_on_in_the_copy() -> None:
    files = [new("api.log", 5), listed("api.log.1", 8, 1100)]
    assert set(parts(files, MARKS)) == {Part("api.log", 5, 0, 300), Part("api.log.1", 8, 1000, 1100)}


def test_an_inode_that_is_used_again_is_another_file() -> None:
    assert parts([new("api.log", 5, 5000)], MARKS) == (Part("api.log", 5, 0, 5000),)


def test_a_file_of_another_application_with_the_same_beginning_is_not_taken_for_it() -> None:
    assert parts([listed("worker.log", 9, 1200)], MARKS) == (Part("worker.log", 9, 0, 1200),)


def test_an_archive_from_before_is_not_counted_again() -> None:
    assert parts([listed("api.log.7.gz", 9, 80, after=-60, sums=())], MARKS) == ()


def test_an_archive_that_came_and_was_packed_between_two_readings_is_read_whole() -> None:
    other = ((1024, "never-seen"),)
    assert parts([listed("api.log.1.gz", 9, 80, sums=other)], MARKS) == (Part("api.log.1.gz", 9, 0, None),)


def test_a_line_that_is_still_written_is_left_to_the_next_reading() -> None:
    file = replace(listed("api.log", 5, 1500), unended_bytes=40)
    assert parts([file], MARKS) == (Part("api.log", 5, 1000, 1460),)
    kept = marks(NOON + 60, [file], parts([file], MARKS), MARKS, set())
    assert kept.files[0].to_byte == 1460
    finished = replace(file, size_bytes=1520, unended_bytes=0)
    assert parts([finished], kept) == (Part("api.log", 5, 1460, 1520),)


def test_a_file_that_could_not_be_read_is_read_the_next_time() -> None:
    files = [listed("api.log", 5, 1500)]
    kept = marks(NOON + 60, files, parts(files, MARKS), MARKS, {"api.log"})
    assert kept.files[0].to_byte == 1000


def test_nothing_is_counted_twice_over_a_week_of_rotation() -> None:
    known: LogMarks | None = None
    read = 0
    for day in range(7):
        current = ListedFile("api.log", 100 + day, 400, NOON + day * 86400, True, 0, ((400, f"day {day}"),))
        packed = [
            ListedFile(
                f"api.log.{day - one}.gz", 200 + one, 40, NOON + one * 86400 + 50, False, 0,
                ((400, f"day {one}"), (400, f"day {one}")),
            )
            for one in range(day)
        ]  # fmt: skip
        found = parts([current, *packed], known)
        read += sum((one.to_byte or 450) - one.from_byte for one in found)
        known = marks(NOON + day * 86400 + 1, [current, *packed], found, known, set())
    assert read == 7 * 400 + 6 * 50, "every byte once: 400 a day, and 50 written after each reading"
