"""What a server tells of a short time that is over: who logged in, which keys and containers are of it. Moments are seconds since the epoch."""

from __future__ import annotations

from msgspec import Struct

# By which a time is asked for, as "SINCE-UNTIL": ``selection.of(NIGHT, ..)``. Nobody looks at it unless it is.
NIGHT = "maintenance.night"
# Containers of samaops itself, which keep an image and never run, are named so.
KEEPERS = "samaops."
ACCEPTED, REFUSED, SUDO = "accepted", "refused", "sudo"


class Logged(Struct, frozen=True):
    """What was logged of a user, and of an address, of one kind: ``count`` times, the ``first`` and the ``last`` of them."""

    kind: str
    user: str
    address: str
    first: float
    last: float
    count: int = 1
    method: str = ""


class KeyFile(Struct, frozen=True):
    """A file of keys that let a user in, written last ``at``; it has so many ``keys`` now."""

    user: str
    at: float
    keys: int


class MadeContainer(Struct, frozen=True):
    """A container, and when it was made: ``image`` is what its image was called, ``image_id`` which one that is."""

    name: str
    image: str
    image_id: str
    at: float


class NightFacts(Struct, frozen=True):
    """A time from ``since`` to ``until`` on one server; what could not be looked at is None, its reason in ``missing``.

    ``source`` is the journal or a file, of which ``oldest`` is the first moment, None: not known. ``is_cut`` where more was
    logged than is told. ``containers`` are those that were made in that time and are still there.
    """

    since: float
    until: float
    source: str = ""
    oldest: float | None = None
    logged: tuple[Logged, ...] | None = None
    is_cut: bool = False
    key_files: tuple[KeyFile, ...] | None = None
    containers: tuple[MadeContainer, ...] | None = None
