"""What monthly maintenance observes beside what a diagnosis does: updates, an audit, who may log in, who did, exposure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

DAY_SECONDS = 86400.0


class Update(Struct, frozen=True):
    """A package that waits for a newer version; ``origins`` say from where."""

    name: str
    old: str
    new: str
    origins: str

    @property
    def is_security(self) -> bool:
        """Whether it closes a hole, by the archive it comes from."""
        return "security" in self.origins.lower()


class UpdatesFacts(Struct, frozen=True):
    """What a server waits for. ``lists_at`` is when its package lists were fetched last, None: nobody knows.

    ``deferred`` are held back on purpose (phased updates, holds); ``reboot_packages`` want a restart of the server, and so does
    a kernel of ``kernels`` that is newer than the running one. ``stale`` are programs that run with a library that was replaced,
    None where only root may see them.
    """

    epoch: float
    release: str
    lists_at: float | None
    updates: tuple[Update, ...]
    deferred: int
    reboot_packages: tuple[str, ...] | None
    running_kernel: str
    kernels: tuple[str, ...]
    stale: tuple[str, ...] | None

    @property
    def security(self) -> tuple[Update, ...]:
        """The updates that close a hole."""
        return tuple(update for update in self.updates if update.is_security)

    @property
    def newer_kernel(self) -> str:
        """The newest kernel that is installed and does not run, "" when the newest runs."""
        newest = max(self.kernels, key=_numbers, default="")
        return newest if newest and _numbers(newest) > _numbers(self.running_kernel) else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


class AuditSeen(Struct, frozen=True):
    """What an audit warned of ``at`` (seconds since the epoch): the ids of its tests. ``index`` is its own mark, 0 to 100."""

    at: float
    warnings: tuple[str, ...]
    suggestions: tuple[str, ...]
    index: int | None = None


class AuditIssue(Struct, frozen=True):
    """What one test of an audit says."""

    id: str
    text: str
    details: str
    solution: str


class AuditFacts(Struct, frozen=True):
    """An audit by lynis now, and what an earlier one said. ``issues`` are its warnings, ``version`` is that of lynis."""

    now: AuditSeen
    earlier: AuditSeen | None
    issues: tuple[AuditIssue, ...]
    version: str = ""
    tests: int | None = None


class AccessSeen(Struct, frozen=True):
    """Who could log in ``at``, who had all rights, and which keys were let in, each as words of its own."""

    at: float
    logins: tuple[str, ...]
    administrators: tuple[str, ...]
    keys: tuple[str, ...]


class Login(Struct, frozen=True):
    """A user with a shell. ``state`` is that of his password: set, locked or empty; None where only root may see it."""

    user: str
    number: int
    shell: str
    groups: tuple[str, ...]
    state: str | None = None


class Key(Struct, frozen=True):
    """A key that lets a user in. ``at`` is when its file was changed last: it is at least as old as that allows.

    ``bits`` is None where it could not be read.
    """

    user: str
    fingerprint: str
    kind: str
    bits: int | None
    comment: str
    at: float | None


class AccessFacts(Struct, frozen=True):
    """Who may log in to a server, now and as an earlier run saw it. Parts that only root sees are None elsewhere.

    ``sudo`` are the rules that give rights to others; ``sshd`` what sshd allows, by the names of its settings.
    """

    now: AccessSeen
    earlier: AccessSeen | None
    logins: tuple[Login, ...]
    keys: tuple[Key, ...] | None
    sudo: tuple[str, ...] | None
    sshd: Mapping[str, str]


class Counted(Struct, frozen=True):
    """How often something was logged of a user or an address."""

    user: str
    address: str
    count: int
    method: str = ""


class LoginsFacts(Struct, frozen=True):
    """The log of log-ins from ``since`` to ``epoch``, as far as it reaches: ``oldest`` is its first line, None: not known.

    ``source`` is the journal, or a file. ``sudo`` counts what each user did as root.
    """

    source: str
    epoch: float
    since: float
    oldest: float | None
    accepted: tuple[Counted, ...]
    failed: tuple[Counted, ...]
    sudo: tuple[Counted, ...]

    @property
    def failures_by_address(self) -> Mapping[str, int]:
        """How often each address was refused."""
        found: dict[str, int] = {}
        for each in self.failed:
            found[each.address] = found.get(each.address, 0) + each.count
        return found


class Listening(Struct, frozen=True):
    """A port on which a server takes connections, at which address, and which program does."""

    address: str
    port: int
    program: str

    @property
    def is_open_to_all(self) -> bool:
        """Whether it listens on every address of its server."""
        return self.address in ("0.0.0.0", "*", "::", "[::]")  # noqa: S104 - compared with, not listened on


class ReadableSecret(Struct, frozen=True):
    """A file with secrets that others than its owner and group may read: its mode in octal."""

    path: str
    mode: str


class ContainerSafety(Struct, frozen=True):
    """What a container may do: ``user`` is "" or root where it runs as root; ``without_tls`` names the variables by which it trusts anyone."""

    name: str
    user: str
    is_privileged: bool
    without_tls: tuple[str, ...]
    image: str = ""


class SafetyFacts(Struct, frozen=True):
    """How a server is exposed. A part that could not be looked at is None, and its reason in ``missing`` of the observation.

    ``without_tls`` are files of the application that switch off the verification of certificates.
    """

    listening: tuple[Listening, ...] | None
    filters: bool | None
    readable: tuple[ReadableSecret, ...] | None
    containers: tuple[ContainerSafety, ...] | None
    without_tls: tuple[str, ...] | None
    release: str = ""
