"""What the checklists need to know: what is kept of their items, and how a server was prepared."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

# Kinds of entries.
SEEN, SIGNED, UNSIGNED, MEASURED = "seen", "signed", "unsigned", "measured"
# States of an item.
OK, FAILED, UNKNOWN, TO_SIGN = "ok", "failed", "unknown", "to_sign"


class Entry(Struct, frozen=True):
    """One line of the book; ``at`` is ISO 8601 in UTC, "" for now.

    Seen: ``state``, ``status`` (that of the worst finding), ``reason``, and the ``keys`` (code@subject) of what failed. Signed:
    ``by`` whom, with which ``note``, ``signed_at`` where that is not when it was written, and the ``keys`` that were accepted.
    Measured: ``state``, and the figures in a sentence as ``reason``.
    """

    at: str
    checklist: str
    item: str
    kind: str
    state: str = ""
    status: str = ""
    reason: str = ""
    by: str = ""
    note: str = ""
    signed_at: str = ""
    keys: tuple[str, ...] = ()


class BookFacts(Struct, frozen=True):
    """What is kept of all items, the oldest first."""

    entries: tuple[Entry, ...]

    def of(self, checklist: str, item: str, *kinds: str) -> tuple[Entry, ...]:
        """Return the entries of one item, of some kinds or of all."""
        return tuple(
            entry
            for entry in self.entries
            if (entry.checklist, entry.item) == (checklist, item) and (not kinds or entry.kind in kinds)
        )

    def signature(self, checklist: str, item: str) -> Entry | None:
        """Return who signed an item last, None where nobody did, or it was taken back."""
        last = self.of(checklist, item, SIGNED, UNSIGNED)[-1:]
        return last[0] if last and last[0].kind == SIGNED else None

    def measurement(self, name: str) -> Entry | None:
        """Return the last measurement of a kind."""
        return next(iter(reversed(self.of("", name, MEASURED))), None)


class HostFacts(Struct, frozen=True):
    """How a server was prepared. Sizes in bytes; what is None could not be looked at.

    ``release`` is the system and its version ("ubuntu 22.04"). ``disk_bytes`` are all disks of it, ``user`` who we are
    there, ``may_sudo`` whether that one may do everything. ``sshd`` are settings of sshd in lower case. ``fail2ban`` is running,
    stopped, or absent, ``jails`` what it watches. ``input_policy`` is what becomes of what no rule of the firewall lets in.
    ``docker`` and ``compose`` are versions, "" where there is none. ``ports`` are those that something listens on for others,
    ``users`` those of the system that were asked for and are there, ``secrets`` the files of the application's secrets with
    mode and owner.
    """

    release: str
    processors: int
    memory_bytes: int
    disk_bytes: int | None = None
    user: str = ""
    may_sudo: bool = False
    sshd: Mapping[str, str] | None = None
    fail2ban: str | None = None
    jails: tuple[str, ...] | None = None
    input_policy: str | None = None
    docker: str = ""
    compose: str = ""
    ports: tuple[tuple[str, int], ...] | None = None
    users: tuple[str, ...] | None = None
    secrets: tuple[tuple[str, str, str], ...] | None = None


class NameFacts(Struct, frozen=True):
    """What a name that the customers use resolves to, from here; nothing where there is no such name."""

    name: str
    addresses: tuple[str, ...]


class BalancerFacts(Struct, frozen=True):
    """How an F5 shares the work, in its own words: the pool's method, and what keeps a customer at one member.

    ``persistence`` are the profiles of the virtual server; ``cookie_method`` is how the first cookie profile of them works
    ("insert"), "" where none is one.
    """

    method: str
    persistence: tuple[str, ...]
    cookie_method: str = ""
