"""Readings: one value each, taken from what was observed, that a plan relies on and is verified by.

A condition in a plan names its reading, so that the same condition can be read again later, by another
process too. The readings of a system stand in its folder here: ``celery.consumes`` in ``celery/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from inspect import signature
from typing import TypeVar

from msgspec import Struct

from samaops.facts.observation import Observation, Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Scalar

FactsT = TypeVar("FactsT")
ValueT = TypeVar("ValueT")
Reader = Callable[..., Scalar]
Codes = tuple[str, ...]


class UnreadableError(Exception):
    """A reading could not be taken: why, in a sentence."""


class Reading(Struct, frozen=True):
    """A function of what was observed; ``codes`` names the checks whose facts it needs, where it must by what it is of."""

    name: str
    codes: Codes | Callable[..., Codes]
    read: Reader

    def codes_for(self, of: tuple[Scalar, ...]) -> Codes:
        """Return the codes for a reading of this."""
        return self.codes(*of) if callable(self.codes) else self.codes


_readings: dict[str, Reading] = {}


def reading(name: str, *, codes: Codes | Callable[..., Codes]) -> Callable[[Reader], Reader]:
    """Register the decorated function ``(snapshot, *of) -> value``; it raises UnreadableError.

    A number in ``of`` may be a string: earlier versions journaled it so.
    """

    def register(read: Reader) -> Reader:
        if name in _readings:
            raise ValueError(f"two readings with the name {name}")
        _readings[name] = Reading(name, codes, read)
        return read

    return register


def register_all() -> None:
    """Import every verb and reading, once."""
    import_module("samaops.changes.registered")


def known(value: ValueT | None, what: str) -> ValueT:
    """Return a value that a change relies on. Raises UnreadableError where the system did not give it."""
    if value is None:
        raise UnreadableError(_("it is not known {what}").format(what=what))
    return value


def find(name: str) -> Reading:
    """Return a reading."""
    register_all()
    return _readings[name]


def require_known(conditions: Iterable[Condition]) -> None:
    """Raise LookupError or TypeError for a condition whose reading is not there, or is not of so many things."""
    for condition in conditions:
        signature(find(condition.reading).read).bind(Snapshot, *condition.of)


def codes_of(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """Return the check codes whose facts these conditions need."""
    codes = (find(condition.reading).codes_for(condition.of) for condition in conditions)
    return tuple(sorted({code for each in codes for code in each}))


def value_of(condition: Condition, snapshot: Snapshot) -> Scalar:
    """Return the value that a condition's reading has now. Raises UnreadableError."""
    return find(condition.reading).read(snapshot, *condition.of)


def broken(conditions: Iterable[Condition], snapshot: Snapshot) -> str:
    """Say in a sentence which condition does not hold, or cannot be read; empty when all hold."""
    for condition in conditions:
        try:
            value = value_of(condition, snapshot)
        except UnreadableError as error:
            return _("{condition}: could not look: {reason}").format(condition=condition.text, reason=error)
        if value != condition.value:
            return _changed(condition, value)
    return ""


def hold(conditions: Iterable[Condition], snapshot: Snapshot) -> bool:
    """Return whether every condition could be read and holds."""
    return not broken(conditions, snapshot)


def _changed(condition: Condition, value: Scalar) -> str:
    if isinstance(value, (bool, type(None))):
        return _("{condition}: this is not so").format(condition=condition.text)
    return _("{condition}: it is now {value}").format(condition=condition.text, value=value)


def facts_in(snapshot: Snapshot, facts_type: type[FactsT], server: str | None = None) -> FactsT:
    """Return the facts of one type that were observed (on one server). Raises UnreadableError."""
    for observation in snapshot.observations:
        if observation.facts_type == facts_type.__name__ and server in (None, observation.server):
            if isinstance(observation.facts, facts_type):
                return observation.facts
            raise UnreadableError(_reason(observation))
    raise UnreadableError(_("nothing of {kind} was observed").format(kind=facts_type.__name__))


def _reason(observation: Observation) -> str:
    failure = observation.failure
    return f"{observation.subject}: {failure.message}" if failure else observation.subject
