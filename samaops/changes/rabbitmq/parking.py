"""Park a message that kills the process which runs it in a holding queue, and put it back."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops.changes.rabbitmq.broker import QUEUES, count_in, queues_in, require_queue
from samaops.changes.readings import UnreadableError, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import SHOWN_QUEUES, BrokerQueue, Count
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site import commands as command_lines
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

PARK, UNPARK = "rabbitmq.park", "rabbitmq.unpark"
# Instead of a task's id: whatever a worker gives back while we watch; and whatever is in the holding queue.
GIVEN_BACK, ALL = "--redelivered", "--all"
PREFIX = "samaops.parked."
MOST_GIVEN_BACK = 10
# All are held in one process while it watches.
MOST_HELD = 20_000
# What empties or drops a queue by itself has no place for what must be kept.
DROPPING = ("max-length", "max-length-bytes", "message-ttl", "expires")
# The others wait no longer than this before workers have their turn.
ROUND_SECONDS = 6.0
# One was given back; after so long without another it was the last.
LAST_SECONDS = 5.0
UNPARK_SECONDS = 600.0
DEFAULT_SECONDS = 30.0
LEAST_SECONDS, MOST_SECONDS = 5.0, 300.0
# As the check rabbitmq.queue.redelivering has it: after so long without a redelivery it is over.
CALM_SECONDS = 30


class Parking(Struct, frozen=True):
    """What to park: from which queue, to which; the task's id or ``GIVEN_BACK``; ``label`` names the change."""

    queue: str
    holding: str
    label: str
    seconds: float
    which: str

    @property
    def most(self) -> int:
        """How many messages may be parked."""
        return MOST_GIVEN_BACK if self.which == GIVEN_BACK else 1


class Unparking(Struct, frozen=True):
    """What to put back: what one change has parked, or one task of it, or ``ALL``."""

    queue: str
    holding: str
    label: str = ALL
    which: str = ALL


def park(parking: Parking) -> Operation:
    """Return the operation that parks messages."""
    seconds = parking.seconds + ROUND_SECONDS + LAST_SECONDS
    return Operation(PARK, asdict(parking), timeout_seconds=seconds)


def unpark(unparking: Unparking) -> Operation:
    """Return the operation that puts parked messages back."""
    return Operation(UNPARK, asdict(unparking), timeout_seconds=UNPARK_SECONDS)


@reading("rabbitmq_parking.holds_more_than", codes=QUEUES)
def holds_more_than(snapshot: Snapshot, queue: str, count: int | str) -> Scalar:
    """Return whether a queue holds more messages than that; one that is not there holds none."""
    return _held(snapshot, queue) > int(count)


@reading("rabbitmq_parking.exists", codes=QUEUES)
def exists(snapshot: Snapshot, queue: str) -> Scalar:
    """Return whether the broker has a queue."""
    return _queue(snapshot, queue) is not None


def holding_queue(queue: str) -> str:
    """Return the name of the queue in which messages of a queue are parked, unless another is given."""
    return f"{PREFIX}{queue}"


def _queue(snapshot: Snapshot, name: str) -> BrokerQueue | None:
    broker = queues_in(snapshot)
    queue = broker.queue(name)
    if queue is None and len(broker.queues or ()) >= SHOWN_QUEUES:
        text = _("the broker has more than {count} queues, and {queue} is not among the fullest")
        raise UnreadableError(text.format(count=SHOWN_QUEUES, queue=name))
    return queue


def _held(snapshot: Snapshot, name: str) -> int:
    """Return how many messages wait in a queue; none in one that does not exist."""
    return _count(snapshot, _queue(snapshot, name)).ready


def _count(snapshot: Snapshot, queue: BrokerQueue | None) -> Count:
    return Count(0, 0) if queue is None else count_in(snapshot, queue)


def _park_looks(site: Site, queue: str, which: str, holding: str = "", seconds: str = "") -> tuple[str, ...]:
    parking = asked_for(site, queue, which, holding, seconds)
    if not LEAST_SECONDS <= parking.seconds <= MOST_SECONDS:
        text = _("{seconds:g} is not between {least:g} and {most:g} seconds")
        words = {"seconds": parking.seconds, "least": LEAST_SECONDS, "most": MOST_SECONDS}
        raise UsageError(text.format(**words))
    return QUEUES


def asked_for(site: Site, queue: str, which: str, holding: str = "", seconds: str = "") -> Parking:
    """Return what the words ask for. Raises UsageError."""
    holding = holding or holding_queue(queue)
    _require_names(site, queue, holding)
    return Parking(queue, holding, "", float(seconds) if seconds else DEFAULT_SECONDS, which)


def _require_names(site: Site, queue: str, holding: str) -> None:
    require_queue(site, queue)
    if holding in site.section("rabbitmq").queues or holding.startswith("amq."):
        raise UsageError(_("{holding} is no queue to park messages in").format(holding=holding))


@verb("queue park", looks=_park_looks)
def plan_park(
    snapshot: Snapshot, site: Site, queue: str, which: str, holding: str = "", seconds: str = ""
) -> Plan:
    """Plan that one task's message, or those that workers give back, go to a holding queue; all others stay.

    Guards: the holding queue keeps what it is given and has no consumer; the queue can be held while it is watched.
    """
    parking = asked_for(site, queue, which, holding, seconds)
    title = _title(parking)
    plan = Plan("queue park", _typed(parking), title, target=parking.queue)
    try:
        source, holder = _queue(snapshot, parking.queue), _queue(snapshot, parking.holding)
        waiting, held = _count(snapshot, source), _count(snapshot, holder)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the queue: {reason}").format(reason=error)) from error
    if source is None:
        raise RefusedError(_("The broker has no queue {queue}").format(queue=parking.queue))
    if parking.which == GIVEN_BACK and not _gives_back(source, waiting):
        text = _("no message of {queue} came back to it in the last {seconds} s")
        return replace(plan, nothing_to_do=text.format(queue=parking.queue, seconds=CALM_SECONDS))
    _guard_waiting(parking, waiting)
    _guard_holding(parking, holder, held)
    parking = replace(parking, label=f"{snapshot.taken_at:%Y%m%dT%H%M%S.%fZ}")
    cures = (f"rabbitmq.queue.redelivering@rabbitmq/{parking.queue}",) if parking.which == GIVEN_BACK else ()
    return replace(
        plan,
        steps=(_park_step(site, parking, held.ready, title),),
        cures=cures,
        notes=_park_notes(site, parking),
    )


def _typed(parking: Parking) -> tuple[str, ...]:
    """Return the words of the command line, as a person would type them."""
    words = (
        [parking.queue, parking.which]
        if parking.which == GIVEN_BACK
        else [parking.queue, "--message", parking.which]
    )
    if parking.holding != holding_queue(parking.queue):
        words += ["--to", parking.holding]
    return (*words, *(() if parking.seconds == DEFAULT_SECONDS else ("--within", f"{parking.seconds:g}")))


def _title(parking: Parking) -> str:
    if parking.which == GIVEN_BACK:
        text = _("Park what the workers give back of the queue {queue} (at most {most}) in {holding}")
        return text.format(queue=parking.queue, most=parking.most, holding=parking.holding)
    text = _("Park the task {id} of the queue {queue} in {holding}")
    return text.format(id=parking.which, queue=parking.queue, holding=parking.holding)


def _gives_back(queue: BrokerQueue, waiting: Count) -> bool:
    history = queue.history
    if not (queue.messages or waiting.ready) or (history is not None and history.redelivered == 0):
        return False
    return history is None or history.calm_seconds < CALM_SECONDS


def _guard_waiting(parking: Parking, waiting: Count) -> None:
    if waiting.ready > MOST_HELD:
        text = _("{count} messages wait in {queue}: too many to be held while it is watched (at most {most})")
        raise RefusedError(text.format(count=waiting.ready, queue=parking.queue, most=MOST_HELD))


def _guard_holding(parking: Parking, holding: BrokerQueue | None, held: Count) -> None:
    if holding is None:
        return
    if held.consumers:
        text = _("{holding} has a consumer: what is parked there would be taken")
        raise RefusedError(text.format(holding=parking.holding))
    if holding.limits is None or holding.is_durable is None:  # of a new queue the statistics show nothing yet
        text = _("Could not look at the queue: {reason}")
        raise UnavailableError(
            text.format(reason=_("{queue} is too new to be shown").format(queue=holding.name))
        )
    limits = [name for name in DROPPING if name in (holding.limits or ())]
    if limits or not holding.is_durable or holding.is_transient:
        text = _("{holding} would not keep what is parked in it: {limits}")
        words = ", ".join(limits) or _("it is not durable")
        raise RefusedError(text.format(holding=parking.holding, limits=words))


def _park_notes(site: Site, parking: Parking) -> tuple[str, ...]:
    waiting = _(
        "What else is in {queue} stays there in its order, and waits up to {seconds:g} s at a time meanwhile; the "
        "broker marks it as delivered before"
    ).format(queue=parking.queue, seconds=ROUND_SECONDS)
    source = "" if parking.holding == holding_queue(parking.queue) else f"--from {quoted(parking.holding)} "
    back = command_lines.typed(site, f"queue unpark {source}{operands(parking.queue)}")
    kept = _("What is parked is not sent until it is put back: {command}")
    restart = _(
        "Restart no worker meanwhile: it would give back what it holds, and that would be parked with it"
    )
    more = (restart,) if parking.which == GIVEN_BACK else ()
    return (waiting, kept.format(command=back), *more)


def _park_step(site: Site, parking: Parking, held: int, title: str) -> Step:
    words = {"holding": parking.holding, "count": held, "queue": parking.queue}
    of = (parking.holding, held)
    as_before = _("{holding} holds {count} messages, as it does now").format(**words)
    fuller = _("{holding} holds more than {count} messages").format(**words)
    is_there = _("the queue {queue} exists on the broker").format(**words)
    return Step(
        id="queue.park",
        title=title,
        risk=Risk.DISRUPTIVE,
        operation=park(parking),
        undo=unpark(Unparking(parking.queue, parking.holding, parking.label)),
        undo_restores=_("what this change parks, each task once, at the end of {queue}").format(**words),
        needs=(Condition("rabbitmq_parking.exists", (parking.queue,), True, is_there),),
        before=(Condition("rabbitmq_parking.holds_more_than", of, False, as_before),),
        after=(Condition("rabbitmq_parking.holds_more_than", of, True, fuller),),
        servers=site.servers_of("rabbitmq"),
    )


def _unpark_looks(site: Site, queue: str, _which: str, holding: str = "") -> tuple[str, ...]:
    _require_names(site, queue, holding or holding_queue(queue))
    return QUEUES


@verb("queue unpark", looks=_unpark_looks)
def plan_unpark(snapshot: Snapshot, site: Site, queue: str, which: str, holding: str = "") -> Plan:
    """Plan that what was parked, or one task of it, goes back to the end of its queue."""
    holding = holding or holding_queue(queue)
    title = _("Put what is parked in {holding} back into the queue {queue}")
    if which != ALL:
        title = _("Put the task {id} back from {holding} into the queue {queue}")
    title = title.format(holding=holding, queue=queue, id=which)
    words = [queue, *(["--message", which] if which != ALL else [])]
    words += ["--from", holding] if holding != holding_queue(queue) else []
    plan = Plan("queue unpark", tuple(words), title, target=queue)
    try:
        held, is_there = _held(snapshot, holding), exists(snapshot, queue)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the queue: {reason}").format(reason=error)) from error
    if not held:
        return replace(plan, nothing_to_do=_("nothing is parked in {holding}").format(holding=holding))
    if not is_there:
        raise RefusedError(_("The broker has no queue {queue}").format(queue=queue))
    note = _(
        "It goes to the end of the queue. If it still kills its process, park it again: {command}"
    ).format(command=_again(site, queue))
    return replace(
        plan, steps=(_unpark_step(site, Unparking(queue, holding, which=which), held, title),), notes=(note,)
    )


def _again(site: Site, queue: str) -> str:
    return command_lines.typed(site, f"queue park {operands(queue, GIVEN_BACK)}")


def _unpark_step(site: Site, unparking: Unparking, held: int, title: str) -> Step:
    left = 0 if unparking.which == ALL else held - 1
    words = {"holding": unparking.holding, "count": held, "queue": unparking.queue, "left": left}
    as_before = _("{holding} holds {count} messages, as it does now").format(**words)
    emptier = _("{holding} holds no more than {left} messages").format(**words)
    is_there = _("the queue {queue} exists on the broker").format(**words)
    name = "rabbitmq_parking.holds_more_than"
    return Step(
        id="queue.unpark",
        title=title,
        risk=Risk.DISRUPTIVE,
        operation=unpark(unparking),
        needs=(Condition("rabbitmq_parking.exists", (unparking.queue,), True, is_there),),
        before=(Condition(name, (unparking.holding, held - 1), True, as_before),),
        after=(Condition(name, (unparking.holding, left), False, emptier),),
        no_undo=_(
            "a worker takes it at once; what still kills its process can be parked again: {command}"
        ).format(command=_again(site, unparking.queue)),
        servers=site.servers_of("rabbitmq"),
    )
