"""A change before, while and after it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from msgspec import Struct


class Risk(str, Enum):
    """What users notice of a change."""

    SAFE = "safe"  # reversible, nobody notices
    DISRUPTIVE = "disruptive"  # users notice for a moment
    DESTRUCTIVE = "destructive"  # data is lost

    def __str__(self) -> str:
        return self.value


class ActionStatus(str, Enum):
    """How far an action has come."""

    PLANNED = "planned"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    REVERTED = "reverted"
    REFUSED = "refused"

    def __str__(self) -> str:
        return self.value


# The kind of an operation that is a command line for a shell on a server.
SHELL = "shell"
# The lock of what may take hours in the database (``Plan.lock``).
UPKEEP = "upkeep"
Scalar = str | int | float | bool | None


class Operation(Struct, frozen=True):
    """The one thing a step does, as data, so that it can be shown, journaled, and run by another process.

    ``kind`` names who runs it (``samaops.changes.run``), and decides what ``arguments`` hold: plain values, never a
    secret. ``server`` is where a command runs.
    """

    kind: str
    arguments: Mapping[str, Any]
    server: str | None = None
    timeout_seconds: float = 30.0

    @property
    def command(self) -> str:
        """The command line of a shell operation."""
        return str(self.arguments["command"])


def shell(command: str, server: str, timeout_seconds: float = 30.0) -> Operation:
    """Return the operation that runs a command line on a server."""
    return Operation(SHELL, {"command": command}, server, timeout_seconds)


class Condition(Struct, frozen=True):
    """Something that must be so: a reading of the facts, what it is of, and the value it must have.

    ``reading`` names a function of ``samaops.changes``; ``text`` says the condition to people.
    """

    reading: str
    of: tuple[Scalar, ...]
    value: Scalar
    text: str


class Step(Struct, frozen=True):
    """One change of one thing.

    ``needs`` must hold before it and is not changed by it; ``before`` holds before it, and again once it is
    undone; ``after`` holds when it worked. ``undo`` must do no harm where the step had no effect; without one,
    ``no_undo`` says why. ``destroys`` says exactly what is lost of a step that loses something, and
    ``undo_restores`` what its undo brings back where that is not simply what holds ``before``. With ``is_undone_only_if_seen`` an undo that would do harm there is run only where
    ``before`` no longer holds. With ``is_undo_final`` nothing that is looked at shows whether the undo worked, only
    its own answer, and nothing takes it back again: what is published is on its way to customers.
    ``undo_destroys`` says what is lost by taking it back, where something is.
    With ``ends_part``, once it has worked, it and all steps before it stay as they are, whatever becomes of later ones, and
    an undo of the change leaves them: what can be taken back of them, they have taken back themselves.
    ``about`` is what it changes, as the subject of a finding, where that has a name.
    ``servers`` are those that it touches besides the ones on which its commands run: whose system it calls, or of which
    its conditions are read. None stands for all of the site: steps of old journals do not say.
    """

    id: str
    title: str
    risk: Risk
    operation: Operation
    before: tuple[Condition, ...]
    after: tuple[Condition, ...]
    needs: tuple[Condition, ...] = ()
    undo: Operation | None = None
    no_undo: str = ""
    destroys: str = ""
    undo_restores: str = ""
    is_undone_only_if_seen: bool = False
    is_undo_final: bool = False
    servers: tuple[str, ...] | None = None
    about: str = ""
    undo_destroys: str = ""
    ends_part: bool = False


class LeftOut(Struct, frozen=True):
    """What was asked for and is not done, and why. ``subject`` is that of a finding; a failure asks for a repair first."""

    subject: str
    reason: str
    hint: str = ""
    is_failure: bool = False


class Plan(Struct, frozen=True):
    """What a change will do, complete before anything is done.

    ``target`` is the name to be typed where data would be lost. ``cures`` holds the finding keys
    (``code@subject``) that must be gone afterwards; of those in ``eases``, which were critical, a warning may stay: that it
    may come again. Without steps, ``nothing_to_do`` says why. ``undoes`` is the
    change that this one takes back, ``notes`` what people should know besides. Where ``steps_stand_alone``, each is of
    use without the others: one that fails takes back itself, and the next is made. ``lock`` names the lock that it holds
    where that is not the one of all changes: work of hours, beside which others may be made. ``left_out`` is
    never taken for done. ``taken_back_by`` is the verb, and its arguments, that takes the change back once it has ended, where
    steps taken back one by one would not: what lies between two of them must not be passed over. ``rest`` is the command
    of samaops, without its name, that does what is left where the change stops in the middle. ``doubt`` says why a yes is not
    enough although nothing need be lost: the target's name is typed then, too.
    """

    verb: str
    arguments: tuple[str, ...]
    title: str
    target: str
    steps: tuple[Step, ...] = ()
    cures: tuple[str, ...] = ()
    nothing_to_do: str = ""
    undoes: str | None = None
    notes: tuple[str, ...] = ()
    steps_stand_alone: bool = False
    lock: str = ""
    left_out: tuple[LeftOut, ...] = ()
    taken_back_by: tuple[str, ...] = ()
    rest: str = ""
    doubt: str = ""
    eases: tuple[str, ...] = ()

    @property
    def wants_name(self) -> bool:
        """Whether the target's name is to be typed: a yes is not enough."""
        return self.risk is Risk.DESTRUCTIVE or bool(self.doubt)

    @property
    def risk(self) -> Risk:
        """The worst risk of its steps."""
        order = list(Risk)
        return max((step.risk for step in self.steps), key=order.index, default=Risk.SAFE)


def codes_in(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the check codes of finding keys (``code@subject``), each once."""
    return tuple(sorted({key.partition("@")[0] for key in keys}))


class Action(Struct, frozen=True):
    """One step as a report shows it: exact commands, how to take it back, how far it has come.

    ``conditions`` are read again just before it, ``verify`` after it. ``destroys`` is what is lost by it, and
    ``undo_restores`` what its undo brings back. ``journal`` is the change's id in the history, ``result`` what it brought.
    """

    id: str
    title: str
    risk: Risk
    status: ActionStatus = ActionStatus.PLANNED
    commands: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    journal: str | None = None
    server: str | None = None
    conditions: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    no_undo: str = ""
    destroys: str = ""
    undo_restores: tuple[str, ...] = ()
    result: str = ""


class Outcome(Struct, frozen=True):
    """How an operation ended; ``output`` holds the other side's last words.

    Not ok does not mean without effect: a connection may be lost after the command has worked, and then it
    ``may_go_on``. ``is_seen``: its effect was looked at already, or that nothing is left of it where it failed.
    ``is_skipped``: nothing was done, for the reason in ``output``; ``is_busy``: because another samaops is at it. ``is_interrupted``: it was stopped by whoever asked for it, and nothing of it goes on.
    ``measured`` are numbers from before and after that are kept. ``left_out`` is what was not done of it, and why.
    """

    is_ok: bool
    output: str = ""
    may_go_on: bool = False
    is_seen: bool = False
    is_skipped: bool = False
    is_busy: bool = False
    is_interrupted: bool = False
    measured: Mapping[str, Any] = {}
    left_out: tuple[LeftOut, ...] = ()
