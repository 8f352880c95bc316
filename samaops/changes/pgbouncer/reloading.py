"""Let PgBouncer read its file again, after it was read here as far as it can be."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.changes.pgbouncer.admin import (
    CONSOLE,
    FILE,
    Command,
    command,
    configured,
    console_in,
    facts,
    missing,
)
from samaops.changes.readings import known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.facts.pgbouncer import Console, PoolFile
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.commands import typed
from samaops.site.site import Site


def _waiting(file: PoolFile, seen: Console) -> dict[str, tuple[str, str]]:
    """Return the settings that RELOAD would change; the others of the file need a restart."""
    changed = file.settings_changed(seen)
    changeable = seen.changeable
    return {name: values for name, values in changed.items() if changeable is None or name in changeable}


@reading("pgbouncer.file_is_in_force", codes=(*CONSOLE, FILE))
def file_is_in_force(snapshot: Snapshot) -> Scalar:
    """Return whether no setting of the file waits for a RELOAD, and no database."""
    seen = console_in(snapshot)
    file = known(facts(snapshot).file, _("what its file says"))
    names = {database.name for database in seen.databases}
    is_same = names == file.databases.keys() - {"*"} and not file.sizes_changed(seen)
    return is_same and not _waiting(file, seen)


def _looks(site: Site) -> tuple[str, ...]:
    configured(site)
    return (*CONSOLE, FILE)


@verb("pool reload", looks=_looks)
def plan_reload(snapshot: Snapshot, site: Site) -> Plan:
    """Plan that PgBouncer reads its file again.

    Guards: PgBouncer would not refuse the file, and who administers it still may afterwards.
    """
    seen, file = console_in(snapshot), facts(snapshot).file
    title = _("Let PgBouncer read its configuration file again")
    step = Step(
        id="pool.reload",
        title=title,
        risk=Risk.SAFE,
        operation=command(Command("reload"), site),
        before=(),
        after=(),
        no_undo=_("what is in force now may stand in no file; the journal has what was changed"),
        servers=(configured(site).server,),
    )
    plan = Plan("pool reload", (), title, target="pgbouncer")
    if file is None:
        text = _(
            "its file could not be read, so nobody knows what RELOAD changes; a mistake in it costs every setting: {reason}"
        )
        note = text.format(reason=missing(snapshot, "file"))
        return replace(plan, steps=(replace(step, risk=Risk.DISRUPTIVE),), notes=(note, *_always(site, seen)))
    _guard(file, site)
    gone = sorted({database.name for database in seen.databases} - file.databases.keys())
    if not file_is_in_force(snapshot) and not file.includes:
        of, text = (), _("what {file} sets is in force").format(file=file.path)
        not_yet = _("{file} sets something that is not in force").format(file=file.path)
        name = "pgbouncer.file_is_in_force"
        step = replace(
            step,
            before=(Condition(name, of, False, not_yet),),
            after=(Condition(name, of, True, text),),
        )
    step = replace(step, risk=Risk.DISRUPTIVE if gone and "*" not in file.databases else Risk.SAFE)
    return replace(plan, steps=(step,), notes=(*_changes(file, seen), *_always(site, seen)))


def _guard(file: PoolFile, site: Site) -> None:
    """Raise RefusedError where RELOAD would end in a pool that nobody can administer."""
    if file.faults:
        text = _(
            "PgBouncer would refuse {file} after it has put every setting back to its default, and may let nobody into its "
            "console then: {faults}"
        )
        raise RefusedError(text.format(file=file.path, faults="; ".join(file.faults[:3])), hint=file.path)
    administrators = file.settings.get("admin_users", "").replace(",", " ").split()
    user = configured(site).admin_user
    if user not in administrators and not file.includes:
        text = _("{user} would no longer administer PgBouncer: {file} has admin_users = {users}")
        words = {"user": user, "file": file.path, "users": ", ".join(administrators) or "-"}
        raise RefusedError(text.format(**words))


def _changes(file: PoolFile, seen: Console) -> Iterator[str]:
    """Yield a line for each thing that the file says and that is not in force."""
    waiting, names = _waiting(file, seen), {database.name for database in seen.databases}
    for name, (now, then) in sorted(file.settings_changed(seen).items()):
        if name in waiting:
            yield f"{name}: {now} -> {then}"
        else:
            text = _("{name} stays {now}: {then} needs a restart of PgBouncer")
            yield text.format(name=name, now=now, then=then)
    for name, (size, size_then) in sorted(file.sizes_changed(seen).items()):
        yield f"{name}.pool_size: {size} -> {size_then}"
    for name in sorted(file.databases.keys() - names - {"*"}):
        yield _("new: the database {database}").format(database=name)
    for name in sorted(names - file.databases.keys() if "*" not in file.databases else ()):
        yield _("gone: the database {database}, with its clients").format(database=name)
    if file.includes:
        text = _("{file} includes {names}, which were not read here")
        yield text.format(file=file.path, names=", ".join(file.includes))


def _always(site: Site, seen: Console) -> Iterator[str]:
    yield _("auth_file and auth_hba_file are read again too, unchecked")
    if seen.seems_held or any(database.is_paused for database in seen.databases):
        yield _("RELOAD ends no pause: {command} does").format(command=typed(site, "pool resume"))
