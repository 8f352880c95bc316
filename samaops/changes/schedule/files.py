"""Files of this machine that a change writes, changes or removes: what they must hold before, and hold after."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from msgspec import Struct, to_builtins

from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.facts import selection
from samaops.facts.observation import Snapshot
from samaops.facts.schedule import FILES, FilesFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Risk, Step

WRITE = "schedule.write"
SUM = "schedule.file"
# Of what is not there.
ABSENT = "-"


class Writing(Struct, frozen=True):
    """Which file holds what afterwards; None: it is not there. ``mode`` is that of a new one."""

    path: str
    content: str | None
    mode: int = 0o644


def asked(path: str) -> tuple[str, ...]:
    """Return the code by which a file, or all files of a directory, are looked at."""
    return (selection.of(FILES, path),)


def sum_of(content: str | None) -> str:
    """Return the sum of what a file holds."""
    return ABSENT if content is None else hashlib.sha256(content.encode()).hexdigest()


@reading(SUM, codes=asked)
def file_sum(snapshot: Snapshot, path: str) -> str:
    """Return the sum of a file; ABSENT where it is not there."""
    found = facts_in(snapshot, FilesFacts).at(path)
    if found is None:
        raise UnreadableError(_("{path} was not looked at").format(path=path))
    if found.problem:
        raise UnreadableError(f"{path}: {found.problem}")
    return sum_of(found.content)


def step(identifier: str, title: str, before: str | None, after: Writing) -> Step:
    """Return the step that lets a file hold something else; undone, it holds what it held."""
    return Step(
        identifier,
        title,
        Risk.SAFE,
        _operation(after),
        before=(_holds(after.path, before),),
        after=(_holds(after.path, after.content),),
        undo=_operation(Writing(after.path, before, after.mode)),
        servers=(),
    )


def _operation(of: Writing) -> Operation:
    arguments: Mapping[str, object] = to_builtins(of)
    return Operation(WRITE, arguments)


def _holds(path: str, content: str | None) -> Condition:
    if content is None:
        text = _("{path} is not there").format(path=path)
    else:
        text = _("{path} holds {count} lines").format(path=path, count=len(content.splitlines()))
    return Condition(SUM, (path,), sum_of(content), text)
