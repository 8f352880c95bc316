"""Rotation of the application's logs: each in the way in which nothing is lost that is written meanwhile."""

from __future__ import annotations

from msgspec import Struct, to_builtins

from samaops.changes.readings import UnreadableError, facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import UnavailableError, UsageError
from samaops.facts.maintenance_week import COLLAPSE, PACK, REOPEN, Rotation, RotationFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _, joined
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import moment, size
from samaops.site import log_rotation
from samaops.site.site import Site

NAME = "maintain run"
TASK = "rotation"
CODE = "maintenance.rotation.due"
ROTATE = "logs.rotate"
# A plan that people can read; what is left waits for the next week.
MOST_STEPS = 50
# To compress ten gigabytes on a busy disk.
_ROTATE_SECONDS = 1800.0
HOW = {
    PACK: N_("nobody has it open: it is renamed and compressed"),
    COLLAPSE: N_(
        "it is open: its beginning is compressed, then taken off in one stroke; what is written meanwhile stays"
    ),
    REOPEN: N_(
        "it is renamed, the application opens it anew, and the old one is compressed once nobody has it"
    ),
}


class Rotating(Struct, frozen=True):
    """One log that is rotated. ``inode`` tells it from another of its name, ``stamp`` names what becomes of it.

    ``block_bytes`` is the unit in which its head can be taken off; ``reopen`` the command by which it is opened anew.
    """

    directory: str
    name: str
    inode: int
    method: str
    is_current: bool
    stamp: str
    block_bytes: int
    reopen: str = ""


@reading("logs.is_large_or_old", codes=(CODE,))
def is_large_or_old(snapshot: Snapshot, server: str, name: str, inode: Scalar, least_bytes: Scalar) -> Scalar:
    """Return whether this very file is there, not compressed, and still has so many bytes."""
    file = facts_in(snapshot, RotationFacts, server).file(name)
    return file is not None and file.inode == int(inode or 0) and file.size_bytes >= int(least_bytes or 0)


@reading("logs.writers", codes=(CODE,))
def writers(snapshot: Snapshot, server: str, name: str) -> Scalar:
    """Return whether anybody has a file open for writing."""
    file = facts_in(snapshot, RotationFacts, server).file(name)
    if file is None:
        return False
    return bool(known(file.writers, _("who has {name} open").format(name=name)))


def _looks(_site: Site, *tasks: str) -> tuple[str, ...]:
    if tasks != (TASK,):
        raise UsageError(_("There is no task {name!r}").format(name=" ".join(tasks)), "samaops maintain list")
    return (CODE,)


@verb(NAME, looks=_looks)
def plan_rotation(snapshot: Snapshot, site: Site, *_tasks: str) -> Plan:
    """Plan that the logs are rotated which are too large, or which nobody has written for days.

    Guards: a file that is open is not renamed unless it is opened anew, nor cut where its writer would leave a hole; who
    has it open must be known.
    """
    steps: list[Step] = []
    silent: list[str] = []
    notes: list[str] = []
    reopen = site.settings.maintenance.log_reopen
    servers = [
        observation.server
        for observation in snapshot.observations
        if observation.facts_type == RotationFacts.__name__ and observation.server is not None
    ]
    for server in servers:
        try:
            facts = facts_in(snapshot, RotationFacts, server)
        except UnreadableError as error:
            silent.append(str(error))
            continue
        due = log_rotation.due(facts, site)
        steps += [_step(server, facts, each, reopen) for each in due if each.method]
        # The task's own finding says it too, until somebody does something about it.
        notes += [
            f"{server}: {each.file.name}: {log_rotation.why_left(each, facts)}"
            for each in due
            if not each.method
        ]
    if silent and len(silent) == len(servers):
        raise UnavailableError(_("Could not look at the logs: {reason}").format(reason=joined(silent)))
    if len(steps) > MOST_STEPS:
        notes.append(
            _("{count} logs more are due; run it again for them").format(count=len(steps) - MOST_STEPS)
        )
    return Plan(
        NAME,
        (TASK,),
        _("Rotate the logs of the application"),
        target=site.settings.site,
        steps=tuple(steps[:MOST_STEPS]),
        nothing_to_do="" if steps else _("no log is to be rotated, or none can be"),
        notes=(*silent, *notes),
        steps_stand_alone=True,
    )


def _step(server: str, facts: RotationFacts, rotation: Rotation, reopen: str) -> Step:
    file = rotation.file
    stamp = moment(facts.epoch)[:16].replace("-", "").replace(":", "").replace(" ", "-")
    work = Rotating(
        facts.directory, file.name, file.inode, rotation.method, file.is_current, stamp, facts.block_bytes,
        reopen if rotation.method == REOPEN else "",
    )  # fmt: skip
    title = _("Rotate {name} ({size}): {how}")
    # One of it is left where it was open: less than a block, or what was written meanwhile.
    least = file.size_bytes if rotation.method == COLLAPSE else 0
    there = _("{name} is there, as it was seen").format(name=file.name)
    conditions = [Condition("logs.is_large_or_old", (server, file.name, file.inode, least), True, there)]
    is_gone = _("{name} is compressed").format(name=file.name)
    return Step(
        ROTATE,
        title.format(name=file.name, size=size(file.size_bytes), how=_(HOW[rotation.method])),
        Risk.SAFE,
        Operation(ROTATE, to_builtins(work), server, _ROTATE_SECONDS),
        before=tuple(conditions),
        after=(Condition("logs.is_large_or_old", (server, file.name, file.inode, least), False, is_gone),),
        needs=(
            (
                Condition(
                    "logs.writers",
                    (server, file.name),
                    False,
                    _("nobody has {name} open").format(name=file.name),
                ),
            )
            if rotation.method == PACK
            else ()
        ),
        no_undo=_("no line is lost: what was in it lies beside it, compressed"),
        servers=(server,),
        about=f"rotation/{server}/{file.name}",
    )
