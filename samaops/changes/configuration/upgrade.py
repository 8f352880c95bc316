"""Bring the configuration file to the format of today: one that says no version gets the line that says it."""

from __future__ import annotations

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import UnreadableError, facts_in
from samaops.changes.schedule import files
from samaops.changes.verbs import verb
from samaops.config import toml, versions
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.facts.schedule import FilesFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.site.site import Site

VERSION_LINE = "configuration.version"


class VersionLine(Struct, frozen=True):
    """Before which line of a file (from 1) the version is put; ``is_back``: from there it is taken."""

    path: str
    number: int
    is_back: bool = False


@verb("config upgrade", looks=lambda _site, path: files.asked(path), typed=lambda _path: ())
def plan_upgrade(snapshot: Snapshot, _site: Site, path: str) -> Plan:
    """Plan that a configuration says of which version its format is."""
    title = _("Let {path} say that its format is version {version}").format(path=path, version=versions.KNOWN)
    plan = Plan("config upgrade", (path,), title, target=path)
    found = facts_in(snapshot, FilesFacts).at(path)
    if found is None or found.problem or found.content is None:
        raise UnreadableError(found.problem if found and found.problem else _("it is not there"))
    before = found.content
    if versions.KEY in toml.loads(before.replace("\r\n", "\n")):
        return replace(plan, nothing_to_do=_("its format is that of today"))
    of = VersionLine(path, versions.place(before))
    after = versions.with_line(before, of.number)
    if _keys(after) != {**_keys(before), versions.KEY: versions.KNOWN}:
        raise RefusedError(
            _("{path}: there is no place for the version; nothing was changed").format(path=path)
        )
    step = Step(
        "config.upgrade",
        title,
        Risk.SAFE,
        _operation(of),
        before=(_holds(path, before),),
        after=(_holds(path, after),),
        undo=_operation(replace(of, is_back=True)),
        servers=(),
    )
    return replace(plan, steps=(step,))


def _keys(text: str) -> dict[str, object]:
    try:
        return toml.loads(text.replace("\r\n", "\n"))
    except toml.tomllib.TOMLDecodeError:
        return {}


def _operation(of: VersionLine) -> Operation:
    return Operation(VERSION_LINE, to_builtins(of))


def _holds(path: str, content: str) -> Condition:
    text = _("{path} holds {count} lines").format(path=path, count=len(content.splitlines()))
    return Condition(files.SUM, (path,), files.sum_of(content), text)
