"""Which part of which log file is new since an earlier reading, whatever rotation and compression did meanwhile.

A file is known again by its first bytes: by its inode where it stayed, elsewhere where it was renamed, copied or
packed. Pure: nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Sequence

from samaops.facts.maintenance import ListedFile, LogMark, LogMarks, Part


def parts(files: Sequence[ListedFile], known: LogMarks | None) -> tuple[Part, ...]:
    """Return what was written since the earlier reading; without one, all that stands in the current files."""
    if known is None:
        starts = {file.name: 0 for file in files if file.is_current and not file.is_packed}
    else:
        starts = _continued(files, known.files)
        for file in files:
            # It was not there then: it is new, unless somebody laid an old file there.
            if file.name not in starts and file.modified_at >= known.epoch:
                starts[file.name] = 0
    new = []
    for file in files:
        start = starts.get(file.name)
        if start is not None and (file.is_packed or start < file.end_byte):
            new.append(Part(file.name, file.inode, start, None if file.is_packed else file.end_byte))
    return tuple(new)


def _continued(files: Sequence[ListedFile], known: Sequence[LogMark]) -> dict[str, int]:
    """Return for each file that goes on from a mark where to go on."""
    starts: dict[str, int] = {}
    moved = []
    for mark in known:
        stayed = next((file for file in files if file.inode == mark.inode and _goes_on(file, mark)), None)
        if stayed is None:
            moved.append(mark)
        else:
            starts[stayed.name] = mark.to_byte
    for mark in moved:
        for file in files:
            is_kin = _stem(file.name).startswith(_stem(mark.name)) or _stem(mark.name).startswith(
                _stem(file.name)
            )
            if file.name not in starts and is_kin and mark.head_bytes and _goes_on(file, mark):
                starts[file.name] = mark.to_byte
                break
    return starts


def _goes_on(file: ListedFile, mark: LogMark) -> bool:
    if mark.head_bytes == 0:  # it was empty: only its inode tells it
        return not file.is_packed
    return (file.is_packed or file.size_bytes >= mark.to_byte) and file.begins_like(mark)


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
    starts = {file.name: file.from_byte for file in read}
    kept = []
    for file in files:
        if file.is_packed:
            continue
        length, total = max(file.sums, default=(0, ""))
        to_byte = starts.get(file.name, 0) if file.name in unread else file.end_byte
        kept.append(LogMark(file.name, file.inode, to_byte, length, total))
    # Without it, what was packed unread would never be counted.
    is_late = known is not None and any(file.is_packed and file.name in unread for file in files)
    return LogMarks(known.epoch if is_late and known else epoch, tuple(kept))
