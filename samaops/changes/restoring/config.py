"""The configuration files of the servers, as they lie in a backup, put back: what they replace is kept, file by file."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, to_builtins

from samaops.changes.readings import facts_in
from samaops.changes.restoring.work import backup_of
from samaops.changes.verbs import verb
from samaops.errors import RefusedError
from samaops.facts.config_files import ConfigFacts, ConfigFile
from samaops.facts.observation import Snapshot
from samaops.i18n import _, joined, ngettext
from samaops.model.plan import LeftOut, Operation, Plan, Risk, Step
from samaops.model.quantities import duration, moment
from samaops.site.commands import typed
from samaops.site.site import Site

NAME = "restore config"
PUT, BACK = "config.put", "config.back"
SECONDS = 90.0
_MOST_LINES = 30


class Putting(Struct, frozen=True):
    """A file of a server gets what the backup ``id`` has of it, by sums; ``part`` and ``member`` are where it lies there."""

    id: str
    path: str
    part: str
    member: str
    now: str
    then: str


def _looks(site: Site, _wanted: str, _server: str = "", *_paths: str) -> tuple[str, ...]:
    backup_of(site)
    return ()


def _typed(wanted: str, server: str = "", *paths: str) -> tuple[str, ...]:
    return (*paths, "--from", wanted, *(("--server", server) if server else ()))


@verb(NAME, looks=_looks, typed=_typed)
def plan_config(snapshot: Snapshot, _site: Site, _wanted: str, server: str = "", *paths: str) -> Plan:
    """Plan that files of the servers become what a backup has of them; nothing is told to read them.

    Guards: each is as it was when it was looked at, and is kept before it is replaced.
    """
    seen = facts_in(snapshot, ConfigFacts)
    title = _("Put the configuration files of {id}, of {moment} ({age} old), back").format(
        id=seen.id, moment=moment(seen.epoch), age=duration(max(0.0, seen.seen_at - seen.epoch))
    )
    plan = Plan(NAME, (seen.id, server, *paths), title, target=seen.id)
    left_out = tuple(LeftOut(f"config/{name}", reason) for name, reason in seen.left_out)
    unknown = [path for path in paths if path not in _known(seen)]
    if unknown:
        text = _("The backup {id} has no other content for {paths}")
        words = text.format(id=seen.id, paths=joined(unknown))
        reasons = joined(f"{name}: {reason}" for name, reason in seen.left_out)
        raise RefusedError(f"{words} ({reasons})" if reasons else words, hint=typed(_site, NAME))
    files = [file for file in seen.files if not paths or file.path in paths]
    if not files:
        text = ngettext(
            "{count} file is as it was in the backup",
            "{count} files are as they were in the backup",
            seen.same,
        )
        nothing = joined(
            [text.format(count=seen.same), *(f"{name}: {reason}" for name, reason in seen.left_out)]
        )
        return Plan(NAME, plan.arguments, title, seen.id, nothing_to_do=nothing)
    return Plan(
        NAME,
        plan.arguments,
        title,
        seen.id,
        steps=tuple(_step(seen, file) for file in files),
        notes=tuple(_notes(files)),
        left_out=left_out if not paths else (),
        steps_stand_alone=True,
    )


def _known(seen: ConfigFacts) -> set[str]:
    return {file.path for file in seen.files}


def _step(seen: ConfigFacts, file: ConfigFile) -> Step:
    putting = to_builtins(Putting(seen.id, file.path, file.part, file.member, file.now, file.then))
    back = to_builtins(Putting(seen.id, file.path, file.part, file.member, file.then, file.now))
    text = _("Put {path} on {server} back") if file.now else _("Put {path} on {server} back, which is gone")
    return Step(
        PUT,
        text.format(path=file.path, server=file.server),
        Risk.DISRUPTIVE,
        Operation(PUT, putting, file.server, SECONDS),
        before=(),
        after=(),
        undo=Operation(BACK, back, file.server, SECONDS),
        undo_restores=_("the file as it is now, which is kept on {server}").format(server=file.server)
        if file.now
        else _("no file, as now"),
        is_undo_final=True,
        servers=(),
        about=f"config/{file.path.rpartition('/')[2]}",
    )


def _notes(files: list[ConfigFile]) -> Iterator[str]:
    """Yield what is different in each, and what reads it."""
    for file in files:
        lines = file.difference[:_MOST_LINES]
        more = len(file.difference) - len(lines)
        if more > 0:
            lines = (*lines, ngettext("and {count} more", "and {count} more", more).format(count=more))
        yield "\n".join((f"{file.server}:{file.path}", *(f"  {line}" for line in lines)))
    yield _(
        "Nothing is told to read them again: PgBouncer by pool reload, PostgreSQL by pg_reload_conf() or a restart, containers by docker compose up -d"
    )
