"""Which part of which log file is new since an earlier reading, whatever rotation and compression did meanwhile.

A file is known again by its first bytes: by its inode where it stayed, elsewhere where it was renamed, copied or
packed. Pure: nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Sequence

from samaops.facts.maintenance import ListedFile, LogMark, LogMarks, Part

# How many first bytes of a file tell it from others; a shorter file is told by all it has.
HEAD_BYTES = 1024


def parts(files: Sequence[ListedFile], known: LogMarks | None) -> tuple[Part, ...]:
    """Return what was written since the earlier reading; without one, all that stands in the current files."""
    if known is None:
        starts = {one.name: 0 for one in files if one.is_current and not one.is_packed}
    else:
        starts = _continued(files, known.files)
        for one in files:
            # It was not there then: it is new, unless somebody laid an old file there.
            if one.name not in starts and one.modified_at >= known.epoch:
                starts[one.name] = 0
    found = []
    for one in files:
        start = starts.get(one.name)
        if start is not None and (one.is_packed or start < one.end_byte):
            found.append(Part(one.name, one.inode, start, None if one.is_packed else one.end_byte))
    return tuple(found)


def _continued(files: Sequence[ListedFile], known: Sequence[LogMark]) -> dict[str, int]:
    """Return for each file that goes on from a mark where to go on."""
    starts: dict[str, int] = {}
    moved = []
    for mark in known:
        stayed = next((one for one in files if one.inode == mark.inode and _goes_on(one, mark)), None)
        if stayed is None:
            moved.append(mark)
        else:
            starts[stayed.name] = mark.to_byte
    for mark in moved:
        for one in files:
            is_kin = _stem(one.name).startswith(_stem(mark.name)) or _stem(mark.name).startswith(
                _stem(one.name)
            )
            if one.name not in starts and is_kin and mark.head_bytes and _goes_on(one, mark):
                starts[one.name] = mark.to_byte
                break
    return starts


def _goes_on(one: ListedFile, mark: LogMark) -> bool:
    if mark.head_bytes == 0:  # it was empty: only its inode tells it
        return not one.is_packed
    return (one.is_packed or one.size_bytes >= mark.to_byte) and one.begins_like(mark)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def marks(
    epoch: float,
    files: Sequence[ListedFile],
    read: Sequence[Part],
    known: LogMarks | None,
    unread: set[str],
) -> LogMarks:
    """Return how far each file has been read now. A file that could not be read keeps its earlier mark.

    Packed files get none: nobody writes them any more, and their time says that they were read.
    """
    starts = {one.name: one.from_byte for one in read}
    found = []
    for one in files:
        if one.is_packed:
            continue
        length, total = max(one.sums, default=(0, ""))
        to_byte = starts.get(one.name, 0) if one.name in unread else one.end_byte
        found.append(LogMark(one.name, one.inode, to_byte, length, total))
    # Without it, what was packed unread would never be counted.
    is_late = known is not None and any(one.is_packed and one.name in unread for one in files)
    return LogMarks(known.epoch if is_late and known else epoch, tuple(found))
