"""The checklists of going live: data in YAML under ``playbooks/checklists/``, validated here, in the order of the guide."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import TypeAdapter, model_validator

from samaops import resources
from samaops.config import documents
from samaops.config.documents import Text
from samaops.config.fields import Section
from samaops.errors import UsageError
from samaops.i18n import _

# The lists in the order of their days; those before the go-live decide whether it takes place.
ORDER = ("before", "installation", "tests", "go-live", "after")
DECISIVE = ORDER[:3]
# Where one of these stands among the checks of an item, all that a diagnosis finds is meant.
EVERYTHING = "*"
# Certificates of what is ours: those that others show us, such as Google's, say nothing of the installation.
OURS = "our_names"
Place = Literal["database", "api", "workers"]


class Item(Section):
    """One line of a list: what verifies it, or that a person signs it, or both.

    ``checks`` are codes, ``also`` those that count only where the site has what they look at; ``of`` narrows them to some members of the API or some workers; ``measured`` names a measurement of
    ``samaops checklist measure``. ``command`` is what helps whoever signs, without "samaops".
    """

    id: str
    title: Text
    checks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    server: tuple[Place, ...] = ()
    of: Literal["first_member", "other_members", "first_worker", "other_workers", "our_names"] | None = None
    measured: Literal["load", "ramp", "member", "worker"] | None = None
    signed: bool = False
    command: str = ""

    @model_validator(mode="after")
    def _is_verified_or_signed(self) -> Item:
        if not (self.checks or self.measured or self.signed):
            raise ValueError(f"{self.id}: nothing verifies it, and nobody signs it")
        return self


class Part(Section):
    """Some items under one heading; ``server`` is where they are looked at, everywhere when it is empty."""

    id: str
    title: Text
    server: tuple[Place, ...] = ()
    items: tuple[Item, ...]


class Checklist(Section):
    """One list."""

    id: str
    title: Text
    sections: tuple[Part, ...]

    @model_validator(mode="after")
    def _names_each_item_once(self) -> Checklist:
        names = [item.id for item in self.items()]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.id}: two items have one name")
        return self

    def items(self) -> tuple[Item, ...]:
        """Return all items, in their order; the server of their section is theirs where they name none."""
        return tuple(
            item if item.server else item.model_copy(update={"server": part.server})
            for part in self.sections
            for item in part.items
        )

    def item(self, name: str) -> Item:
        """Return one item. Raises UsageError where there is none of this name."""
        found = next((item for item in self.items() if item.id == name), None)
        if found is None:
            text = _("{list} has no item {item}")
            raise UsageError(text.format(list=self.id, item=name), hint=f"samaops checklist show {self.id}")
        return found


@cache
def all_of() -> dict[str, Checklist]:
    """Return every list by its id, in their order."""
    directory = resources.directory("playbooks") / "checklists"
    kind = TypeAdapter(Checklist)
    return {name: documents.load(directory / f"{name}.yaml", kind) for name in ORDER}


def named(name: str) -> Checklist:
    """Return one list. Raises UsageError where there is none of this name."""
    if name not in ORDER:
        text = _("{name} is no checklist; there are {names}")
        raise UsageError(text.format(name=name, names=", ".join(ORDER)), hint="samaops checklist list")
    return all_of()[name]
