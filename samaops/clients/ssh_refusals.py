"""Why OpenSSH's client did not get in, read from what it wrote with ``-v``.

Its words are English in every locale (strerror's too, under LC_ALL=C) and have been the same from 8.2 to 9.9.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from samaops.clients import commands
from samaops.clients.errors import ClientError
from samaops.clients.shells import text
from samaops.config.settings import Ssh
from samaops.i18n import _
from samaops.model.failure import FailureKind

# What sshd says instead of a banner when it has too many log-ins or punishes our address.
_BUSY = ("Exceeded MaxStartups", "Not allowed at this time")
_SILENT = ("timed out", "No route to host", "unreachable")
# What a connection that was cut says, at whatever stage.
_CUT = ("Connection closed by", "Connection reset by", "Broken pipe")
_KEYGEN_SECONDS = 2.0


class Attempt(Struct, frozen=True):
    """One log-in that failed: where, how, and what ssh (``log``) and the server's shell (``said``) wrote."""

    address: str
    settings: Ssh
    log: bytes
    said: bytes

    @property
    def lines(self) -> list[str]:
        """What ssh wrote, as text."""
        return text(self.log).splitlines()

    def says(self, words: str) -> bool:
        """Return whether ssh wrote this."""
        return words.encode() in self.log

    def find(self, pattern: str) -> re.Match[str] | None:
        """Return the first line that ssh wrote so."""
        return re.search(pattern, text(self.log), re.MULTILINE)


def refuse(attempt: Attempt, is_over: bool) -> NoReturn:
    """Raise ClientError: from ssh's own words when it has ended, from how far it had come when time ran out."""
    raise _refusal(attempt) if is_over else _silence(attempt)


def _silence(attempt: Attempt) -> ClientError:
    words = _("no answer within {seconds:.1f} s").format(seconds=attempt.settings.timeout)
    if not attempt.says("debug1: Connecting to"):
        return ClientError(FailureKind.NAME, words, "name")
    if not attempt.says("Connection established"):
        return ClientError(FailureKind.SILENT, words, "connect")
    banner = _strange_banner(attempt)
    if banner is not None:
        return banner
    for proof, message, stage in (
        ("Remote protocol version", _("connected, but no SSH banner came"), "ssh banner"),
        ("SSH2_MSG_NEWKEYS received", _("the SSH handshake did not end"), "ssh handshake"),
        ("Authenticated to", _("the SSH log-in did not end"), "ssh log-in"),
    ):
        if not attempt.says(proof):
            return ClientError(FailureKind.NO_ANSWER, message, stage)
    return ClientError(FailureKind.NO_ANSWER, _("the SSH session did not begin"), "ssh session")


def _refusal(attempt: Attempt) -> ClientError:
    for reason in (_not_connected, _host_key, _strange_banner, _not_authenticated, _not_agreed, _cut_off):
        error = reason(attempt)
        if error is not None:
            return error
    own = [line for line in attempt.lines if line and not line.startswith(("debug1:", "OpenSSH_"))]
    said = text(attempt.said).strip().splitlines()
    return ClientError(FailureKind.ERROR, (said or own or [_("no reason was given")])[-1], "ssh session")


def _not_connected(attempt: Attempt) -> ClientError | None:
    unresolved = attempt.find(r"Could not resolve hostname .*?: (.*)")
    if unresolved:
        return ClientError(FailureKind.NAME, f"{attempt.address}: {unresolved[1]}", "name")
    if attempt.says("Connection established"):
        return None
    reasons = re.findall(r"^ssh: connect to host .* port \d+: (.*)$", text(attempt.log), re.MULTILINE)
    if not reasons:
        return None
    kind = FailureKind.REFUSED if "refused" in reasons[-1] else FailureKind.ERROR
    if any(words in reasons[-1] for words in _SILENT):
        kind = FailureKind.SILENT
    return ClientError(kind, reasons[-1].strip(), "connect")


def _strange_banner(attempt: Attempt) -> ClientError | None:
    """Return an error when something else than an SSH server speaks there."""
    if attempt.says("Remote protocol version"):
        return None
    strange = attempt.find(r"banner line \d+: (.*)")
    if strange is None and not attempt.says("invalid characters"):
        return None
    words = strange[1].strip() if strange else _("characters that are no text")
    kind = FailureKind.UNAVAILABLE if words.startswith(_BUSY) else FailureKind.GARBAGE
    return ClientError(kind, _("it says: {words}").format(words=repr(words)), "ssh banner")


def _not_agreed(attempt: Attempt) -> ClientError | None:
    differing = attempt.find(r"Unable to negotiate with .*?: (.*)")
    if differing:
        return ClientError(FailureKind.ERROR, differing[1].strip(), "ssh handshake")
    if attempt.says("SSH2_MSG_NEWKEYS received"):
        return None
    broken = attempt.find(r"(Bad packet length.*|.*dispatch_run_fatal.*|.*Protocol error.*|Corrupted .*)")
    if broken is None or any(words in broken[1] for words in _CUT):
        return None
    return ClientError(FailureKind.GARBAGE, broken[1].strip(), "ssh handshake")


def _cut_off(attempt: Attempt) -> ClientError | None:
    for line in attempt.lines:
        if any(words in line for words in _CUT) and not line.startswith("debug1:"):
            stage = "ssh banner" if "kex_exchange_identification" in line else "ssh handshake"
            stage = "ssh log-in" if attempt.says("SSH2_MSG_NEWKEYS received") else stage
            return ClientError(FailureKind.CLOSED, line.strip(), stage)
    return None


def _not_authenticated(attempt: Attempt) -> ClientError | None:
    denied = attempt.find(r": (Permission denied .*)$") or attempt.find(r"(Too many authentication failures)")
    if denied is None:
        return None
    key_file = attempt.settings.key_file
    unusable = _unusable_key(attempt, key_file) if key_file else None
    if unusable:
        return ClientError(FailureKind.MISSING, unusable, "ssh key")
    refusal = denied[1].strip()
    if not attempt.says("Offering public key"):
        refusal = _("no SSH key to show: set key_file")
    message = _("user {user}: {refusal}").format(user=attempt.settings.user, refusal=refusal)
    return ClientError(FailureKind.AUTHENTICATION, message, "ssh log-in")


def _unusable_key(attempt: Attempt, file: Path) -> str | None:
    if attempt.says("bad permissions"):
        text_ = _("{file} can be read by others, and ssh refuses such a key: chmod 600 {file}")
        return text_.format(file=file)
    try:
        read = commands.run(["ssh-keygen", "-y", "-P", "", "-f", str(file)], _KEYGEN_SECONDS, b"", "ssh key")
    except (TimeoutError, OSError):
        return None
    if read.exit_code == 0:
        return None
    if b"passphrase" in read.stderr:
        text_ = _("{file} needs a passphrase: load it into ssh-agent and leave key_file out")
        return text_.format(file=file)
    return _("{file} is not a private key that can be used").format(file=file)


def _host_key(attempt: Attempt) -> ClientError | None:
    if not attempt.says("Host key verification failed"):
        return None
    shown = attempt.find(r"^debug1: Server host key: (\S+) (SHA256:\S+)")
    kind, fingerprint = shown.groups() if shown else ("", "")
    port, address = attempt.settings.port, attempt.address
    words = {
        "name": address if port == 22 else f"[{address}]:{port}",
        "address": address,
        "port": port,
        "file": attempt.settings.known_hosts.expanduser(),
        "kind": kind,
        "short": kind.removeprefix("ssh-").partition("-")[0],
        "fingerprint": fingerprint,
    }
    return ClientError(FailureKind.HOST_KEY, _host_key_text(attempt).format(**words), "host key")


def _host_key_text(attempt: Attempt) -> str:
    if attempt.says("has changed and you have requested") or attempt.says("IDENTIFICATION HAS CHANGED"):
        return _(
            "the host key of {name} is not the one in {file}: reinstalled, or another machine answers there. It now "
            "shows {kind} {fingerprint}. Ask whoever runs the server before you replace the old key with: "
            "ssh-keygen -R '{name}' -f {file}"
        )
    if attempt.says("REVOKED HOST KEY"):
        return _("the host key of {name} ({kind} {fingerprint}) is marked as revoked in {file}")
    return _(
        "the host key of {name} is not in {file}; it shows {kind} {fingerprint}. Compare that on the server's "
        "own console with: ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub; if it is the same, add it with: "
        "ssh-keyscan -p {port} {address} >> {file}"
    )
