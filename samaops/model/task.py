"""One task of maintenance, as people choose it."""

from __future__ import annotations

from msgspec import Struct


class Task(Struct, frozen=True):
    """What a task is called on the command line, what it does, and the checks it asks for.

    ``sections`` are those of the configuration without which there is nothing to do; any of them is enough.
    """

    name: str
    does: str
    codes: tuple[str, ...]
    sections: tuple[str, ...]
    changes: bool = False
