"""Which checks a run asks for: ``--only`` and ``--skip``, by system, code or code prefix, everywhere or on one server."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote

from msgspec import Struct

# In place of a server: whichever it may be.
ANYWHERE = "*"


def _covers(prefix: str, code: str) -> bool:
    return not prefix or code == prefix or code.startswith(prefix + ".")


def split(name: str) -> tuple[str, str]:
    """Return what a name such as ``docker@api`` asks for, and on which server; either may be empty: whatever it is."""
    prefix, _at, server = name.partition("@")
    return prefix, server


def of(prefix: str, name: str) -> str:
    """Return the code that asks for one thing by its name, of which there may be too many to look at all."""
    return f"{prefix}.{quote(name, safe='')}"


class Selection(Struct, frozen=True):
    """Names such as ``redis``, ``redis.memory`` or a full code, ``docker@api`` on one server, ``@api`` all of one.

    Empty ``only`` means everything. ``deep`` asks for looks that cost the observed system something, such as reading
    a whole table; ``probe`` for one marked value that is written to each system and removed; ``counts`` for what is counted
    now, where a system's statistics are seconds old: a change relies on it.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    deep: bool = False
    probe: bool = False
    counts: bool = False

    def includes(self, code: str, server: str | None = ANYWHERE) -> bool:
        """Return whether a check with this full code was asked for on a server; None: it is about no single one."""
        wanted = not self.only or any(_covers(prefix, code) for prefix in _on(server, self.only))
        return wanted and not self._skips(code, server)

    def touches(self, prefix: str, server: str | None = ANYWHERE) -> bool:
        """Return whether any code under this prefix could have been asked for on a server."""
        selected_prefixes = _on(server, self.only)
        wanted = not self.only or any(
            _covers(selected, prefix) or _covers(prefix, selected) for selected in selected_prefixes
        )
        return wanted and not self._skips(prefix, server)

    def concerns(self, server: str | None) -> bool:
        """Return whether anything at all was asked for on a server."""
        return not self.only or any(True for _what in _on(server, self.only))

    def names(self, system: str) -> bool:
        """Return whether something of a system was asked for by name, not just as a part of all that a server has."""
        return any(prefix and _covers(system, prefix) for prefix, _server in map(split, self.only))

    def named(self, prefix: str) -> tuple[str, ...]:
        """Return the names of what ``of`` asks for under a prefix."""
        start = f"{prefix}."
        return tuple(unquote(name[len(start) :]) for name in self.only if name.startswith(start))

    def servers(self) -> tuple[str, ...]:
        """Return the servers that are named."""
        return tuple(server for _what, server in map(split, (*self.only, *self.skip)) if server)

    def _skips(self, code: str, server: str | None) -> bool:
        # What is skipped on one server is not skipped "anywhere".
        return any(_covers(prefix, code) and place in ("", server) for prefix, place in map(split, self.skip))


def _on(server: str | None, names: tuple[str, ...]) -> Iterator[str]:
    for prefix, place in map(split, names):
        if not place or server in (place, ANYWHERE):
            yield prefix


EVERYTHING = Selection()
