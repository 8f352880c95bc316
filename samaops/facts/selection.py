"""Which checks a run asks for: ``--only`` and ``--skip``, by system, code or code prefix."""

from __future__ import annotations

from msgspec import Struct


def _covers(prefix: str, code: str) -> bool:
    return code == prefix or code.startswith(prefix + ".")


class Selection(Struct, frozen=True):
    """Names such as ``redis``, ``redis.memory`` or a full code. Empty ``only`` means everything.

    ``deep`` asks for looks that cost the observed system something, such as reading a whole table.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    deep: bool = False

    def includes(self, code: str) -> bool:
        """Return whether a check with this full code was asked for."""
        wanted = not self.only or any(_covers(name, code) for name in self.only)
        return wanted and not any(_covers(name, code) for name in self.skip)

    def touches(self, prefix: str) -> bool:
        """Return whether any code under this prefix could have been asked for."""
        wanted = not self.only or any(_covers(name, prefix) or _covers(prefix, name) for name in self.only)
        return wanted and not any(_covers(name, prefix) for name in self.skip)


EVERYTHING = Selection()
