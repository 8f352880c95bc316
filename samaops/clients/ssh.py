"""Log in to a server over SSH with OpenSSH's own client: one connection, many sessions (ControlMaster).

The host key is always verified; nothing is ever added to known_hosts, and no ssh_config is read. OpenSSH instead of
an SSH library: it costs this process no import and no arithmetic, it uses agents, certificates and hardware keys as
the engineer's own ``ssh`` does, and a hint such as ``ssh root@...`` behaves as samaops does.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from samaops.clients import commands, footprint, ssh_dial, ssh_refusals
from samaops.clients.errors import ClientError
from samaops.clients.ssh_refusals import Attempt
from samaops.clients.ssh_session import SshShell, close, remove
from samaops.config.settings import Ssh
from samaops.i18n import _
from samaops.model.failure import FailureKind

# The session that holds the connection: it ends when our end of its pipe does, with this process.
_STAY = "exec cat >/dev/null"
# ssh opens its control socket as soon as we are in; nothing tells of it but the file.
_LOOK_EVERY_MS = 3
# A user's start-up file may print something first.
_MOST_BYTES_BEFORE_READY = 64 * 1024
# Where the control socket goes: in memory first, for the disk of this machine may be the trouble.
_PLACES = ("XDG_RUNTIME_DIR", "/dev/shm", "TMPDIR", "/tmp")  # noqa: S108 - a directory of our own in it
_SOCKET = "s"
# A Unix socket's address holds 108 bytes with its end (unix(7)); ssh first listens on "<path>.<16 random characters>".
_LONGEST_SOCKET = 107 - 17
# The cheapest in CPU first; the others stay allowed for servers that do not have these.
_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "UpdateHostKeys=no",
    "PreferredAuthentications=publickey",
    "KexAlgorithms=^curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256",
    "Ciphers=^aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr",
    "TCPKeepAlive=yes",
    "ServerAliveInterval=10",
    "ControlMaster=yes",
    "ProxyUseFdpass=yes",
)
# No connection of its own when the shared one is gone.
_SHARED = ("BatchMode=yes", "LogLevel=ERROR", "ProxyCommand=false")
# A directory of a samaops that was killed: empty, for ssh has taken its socket away, and older than any log-in.
_STALE_SECONDS = 3600.0
_logging_in: dict[subprocess.Popen[bytes], Path] = {}
_lock = threading.Lock()


def connect(address: str, settings: Ssh) -> SshShell:
    """Log in within ``settings.timeout`` in all. Raises ClientError."""
    ends_at = time.monotonic() + settings.timeout
    program = shutil.which("ssh")
    if program is None:
        message = _("ssh is not installed on this machine: apt-get install openssh-client")
        raise ClientError(FailureKind.MISSING, message, "ssh")
    _refuse_unreadable(settings)
    directory = _private_directory()
    socket = directory / _SOCKET
    log = os.memfd_create("samaops-ssh")
    master = commands.start([program, *_words(address, settings, str(socket))], stderr=log)
    with _lock:
        _logging_in[master] = directory
    try:
        said = _wait_until_in(master, socket, ends_at)
        if said is not None:
            words = os.pread(log, _MOST_BYTES_BEFORE_READY, 0)
            ssh_refusals.refuse(Attempt(address, settings, words, said), is_over=master.poll() is not None)
    except BaseException:
        close(master, directory)
        raise
    finally:
        os.close(log)
        with _lock:
            _logging_in.pop(master, None)
    footprint.count(connections=1)
    return SshShell(
        master, directory, (program, "-F", "none", "-S", str(socket), *_options(_SHARED), "samaops")
    )


def give_up() -> None:
    """End every log-in that is still under way, and what it has here: nobody waits for it any more."""
    with _lock:
        under_way = dict(_logging_in)
    for master, directory in under_way.items():
        master.kill()  # its pipes stay open: their numbers belong to the thread that still reads there
        master.wait()
        remove(directory)


def _words(address: str, settings: Ssh, socket: str) -> list[str]:
    more = [
        f"UserKnownHostsFile={_quoted(settings.known_hosts.expanduser())}",
        f"ConnectTimeout={math.ceil(settings.timeout) + 1}",  # for the banner; the dialler has its own
        f"ProxyCommand={_dialler(address, settings)}",
    ]
    if settings.key_file:
        more += ["IdentitiesOnly=yes", f"IdentityFile={_quoted(settings.key_file)}"]
    options = _options((*_OPTIONS, *more))
    return [
        *("-F", "none", "-v", "-T", "-S", socket, *options, "-p", str(settings.port), "-l", settings.user),
        *("--", address, _STAY),
    ]


def _dialler(address: str, settings: Ssh) -> str:
    words = (sys.executable, "-I", "-S", ssh_dial.__file__, address, settings.port, settings.timeout + 1)
    return shlex.join(map(str, words)).replace("%", "%%")


def _options(options: tuple[str, ...]) -> list[str]:
    return [word for option in options for word in ("-o", option)]


def _quoted(path: Path) -> str:
    """Return a path as ssh's options take it: in quotes, with nothing to expand."""
    return '"' + str(path).replace("%", "%%") + '"'


def _refuse_unreadable(settings: Ssh) -> None:
    """Name a key or known_hosts that cannot be read: ssh itself would go on without it."""
    for file, stage in ((settings.key_file, "ssh key"), (settings.known_hosts.expanduser(), "known_hosts")):
        if file is None:
            continue
        try:
            file.open("rb").close()
        except FileNotFoundError as error:
            if stage == "ssh key":  # without a known_hosts the host key is unknown, and that is said
                raise ClientError(FailureKind.MISSING, f"{file}: {error.strerror}", stage) from error
        except OSError as error:
            raise ClientError(FailureKind.MISSING, f"{file}: {error.strerror}", stage) from error


def _private_directory() -> Path:
    refusal = ""
    for place in _PLACES:
        base = place if place.startswith("/") else os.environ.get(place, "")
        if not base:
            continue
        directory = Path(base) / f"samaops-{os.urandom(6).hex()}"
        if len(os.fsencode(directory / _SOCKET)) > _LONGEST_SOCKET:
            refusal = f"{base}: {os.strerror(errno.ENAMETOOLONG)}"
            continue
        _sweep(Path(base))
        try:
            directory.mkdir(mode=0o700)
        except OSError as error:
            refusal = f"{base}: {error.strerror}"
        else:
            return directory
    raise ClientError(FailureKind.MISSING, refusal, "ssh")


def _sweep(base: Path) -> None:
    """Remove what killed runs have left here; rmdir takes nothing that is in use, and nothing of another user."""
    for left in base.glob("samaops-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.rmdir()


def _wait_until_in(master: subprocess.Popen[bytes], socket: Path, ends_at: float) -> bytes | None:
    """Return None when we are in, and otherwise what the server's shell said instead, often nothing."""
    assert master.stdout is not None
    poll, said = select.poll(), b""
    poll.register(master.stdout, select.POLLIN)
    while not socket.exists():
        if time.monotonic() > ends_at or len(said) > _MOST_BYTES_BEFORE_READY:
            return said
        if poll.poll(_LOOK_EVERY_MS):
            block = os.read(master.stdout.fileno(), 4096)
            said += block
            if not block:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    master.wait(max(0.1, ends_at - time.monotonic()))
                return said
    return None
