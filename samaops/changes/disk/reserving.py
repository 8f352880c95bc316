"""A file that only takes space, on the disk of a server: given up in an emergency, it gives that space at once."""

from __future__ import annotations

import re

from msgspec import to_builtins

from samaops.changes.disk.working import GIVE_UP, RESERVE_SPACE, WORK, Working, store_codes
from samaops.changes.readings import facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.config import consistency
from samaops.errors import RefusedError, UsageError
from samaops.facts.disks import CleanableFacts, CleanDisk
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import size
from samaops.site.disk_owners import RESERVE
from samaops.site.site import Site

NAME = "disk reserve"
GIVEN_UP = "--give-up"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
# Enough for PostgreSQL to start and write a checkpoint, and for people to work; and no more than that.
_USUAL_SHARE, _LEAST_BYTES, _MOST_BYTES = 0.02, 16 * 1024**2, 2 * 1024**3
# As full as that a disk is a warning (servers.disk.full): no reserve makes it so.
_MOST_PERCENT = 80.0


@reading("disk.has_reserve", codes=store_codes)
def has_reserve(snapshot: Snapshot, server: str, mount: str, least: int = 1) -> Scalar:
    """Return whether a reserve of at least so many bytes is kept on a disk."""
    return disk_of(snapshot, server, mount).reserve_bytes >= int(least)


def disk_of(snapshot: Snapshot, server: str, mount: str) -> CleanDisk:
    """Return one disk of a server. Raises UnreadableError."""
    disk = facts_in(snapshot, CleanableFacts, server).disk(mount)
    return known(disk, _("what is on {mount} of {server}").format(mount=mount, server=server))


def _typed(server: str, mount: str, amount: str) -> tuple[str, ...]:
    where = ("--mount", mount) if mount else ()
    how = (GIVEN_UP,) if amount == GIVEN_UP else ("--size", amount) if amount else ()
    return ("--server", server, *where, *how)


def _looks(site: Site, server: str, _mount: str, amount: str) -> tuple[str, ...]:
    if server not in site.settings.servers:
        raise UsageError(consistency.not_a_server(server, site.settings), hint="samaops config show")
    if amount not in ("", GIVEN_UP) and bytes_of(amount) is None:
        text = _("{amount!r} is no size, such as 500M or 1G")
        raise UsageError(text.format(amount=amount), hint="samaops disk reserve --help")
    return store_codes(server)


def bytes_of(amount: str) -> int | None:
    """Return a size such as 500M or 1.5G in bytes; None where it is none."""
    matched = _SIZE.fullmatch(amount.strip())
    return None if matched is None else round(float(matched[1]) * _UNITS[matched[2].upper()])


@verb(NAME, looks=_looks, typed=_typed)
def plan_reserve(snapshot: Snapshot, _site: Site, server: str, mount: str, amount: str) -> Plan:
    """Plan that a reserve is kept on one disk of a server, or given up (``amount`` is ``--give-up``).

    Without ``mount`` it is the only disk, or the only one beside the system's. Without ``amount`` 2 % of the disk.
    Guard: no reserve makes the disk as full as a warning is.
    """
    disk = _chosen(facts_in(snapshot, CleanableFacts, server), server, mount, amount == GIVEN_UP)
    is_kept = disk.reserve_bytes > 0
    arguments = (server, disk.mount, amount)
    if amount == GIVEN_UP:
        title = _("Give up the reserve of {mount} on {server}: {size} at once")
        title = title.format(mount=disk.mount, server=server, size=size(disk.reserve_bytes))
        plan = Plan(NAME, arguments, title, target=server)
        if not is_kept:
            text = _("no reserve is kept on {mount} of {server}")
            return _nothing(plan, text.format(mount=disk.mount, server=server))
        return _with(plan, _step(disk, server, disk.reserve_bytes, gives_up=True))
    wanted = bytes_of(amount) or round(min(_MOST_BYTES, max(_LEAST_BYTES, _USUAL_SHARE * disk.size_bytes)))
    title = _("Keep {size} of {mount} on {server} in reserve")
    plan = Plan(
        NAME, arguments, title.format(size=size(wanted), mount=disk.mount, server=server), target=server
    )
    if is_kept:
        text = _("{size} are kept in reserve on {mount} of {server} already")
        return _nothing(plan, text.format(size=size(disk.reserve_bytes), mount=disk.mount, server=server))
    _require_space(disk, server, wanted)
    return _with(plan, _step(disk, server, wanted, gives_up=False))


def _nothing(plan: Plan, reason: str) -> Plan:
    return Plan(plan.verb, plan.arguments, plan.title, plan.target, nothing_to_do=reason)


def _with(plan: Plan, step: Step) -> Plan:
    return Plan(plan.verb, plan.arguments, plan.title, plan.target, (step,))


def _chosen(facts: CleanableFacts, server: str, mount: str, gives_up: bool) -> CleanDisk:
    if mount:
        disk = facts.disk(mount)
        if disk is None:
            known_mounts = ", ".join(disk.mount for disk in facts.disks)
            text = _("{server} has no disk at {mount}; it has: {mounts}")
            raise UsageError(text.format(server=server, mount=mount, mounts=known_mounts))
        return disk
    likely = [disk for disk in facts.disks if disk.reserve_bytes] if gives_up else []
    likely = likely or [disk for disk in facts.disks if disk.mount != "/"] or list(facts.disks)
    if len(likely) != 1:
        text = _("say which disk of {server}: {mounts}")
        mounts = ", ".join(f"--mount {disk.mount}" for disk in likely or facts.disks)
        raise UsageError(text.format(server=server, mounts=mounts or "-"), hint="samaops disk usage")
    return likely[0]


def _require_space(disk: CleanDisk, server: str, wanted: int) -> None:
    usable = disk.used_bytes + disk.available_bytes
    percent = 100 * (disk.used_bytes + wanted) / usable if usable else 100.0
    if percent >= _MOST_PERCENT:
        text = _("With {size} in reserve {mount} of {server} would be {percent} % full: clean up first")
        raise RefusedError(
            text.format(size=size(wanted), mount=disk.mount, server=server, percent=round(percent)),
            hint=f"samaops disk clean --server {server}",
        )


def _step(disk: CleanDisk, server: str, count: int, gives_up: bool) -> Step:
    def working(what: str) -> Operation:
        work = Working(what, disk.mount, count)
        return Operation(WORK, to_builtins(work), server, 120.0)

    # A file system keeps whole blocks: what is kept may be a little more.
    place = f"{disk.mount.rstrip('/')}/{RESERVE}"
    there = Condition(
        "disk.has_reserve", (server, disk.mount, 1), True, _("{path} is there").format(path=place)
    )
    absent = Condition(
        "disk.has_reserve", (server, disk.mount, 1), False, _("{path} is not there").format(path=place)
    )
    title = (
        _("Remove {path} on {server}: {size} are free at once")
        if gives_up
        else _("Make {path} on {server}, of {size}")
    )
    return Step(
        "disk.give_up" if gives_up else "disk.reserve",
        title.format(path=place, server=server, size=size(count)),
        Risk.SAFE,
        working(GIVE_UP if gives_up else RESERVE_SPACE),
        before=(there if gives_up else absent,),
        after=(absent if gives_up else there,),
        undo=working(RESERVE_SPACE if gives_up else GIVE_UP),
        servers=(),
        about=f"servers/{server}:{disk.mount}",
    )
