"""Start one daemon, detached, in a server's namespaces; run as a program with a request on stdin.

It is a program of its own, single-threaded and with the standard library only, because entering namespaces
and forking twice is not safe inside a threaded process. It prints the pid that this machine sees.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import resource
import signal
import socket
import struct
import sys
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
SERVER_NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
ANNOUNCE_SECONDS = 10.0
CREDENTIALS = struct.Struct("3i")
ENTERED = ("ipc", "uts", "pid", "mnt")  # the mount namespace last: /proc changes with it


def call(function: str, *arguments: int) -> None:
    """Call a function of the C library; raise OSError when it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{function}: {os.strerror(error)}")


def enter(pid: int) -> None:
    """Join the namespaces of the process ``pid``; the next child is inside."""
    descriptors = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ENTERED]
    for descriptor in descriptors:
        call("setns", descriptor, 0)


def become(user: str) -> None:
    """Give up root for ``user``."""
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def redirect(log: str) -> None:
    """Detach from the terminal: nothing to read, everything said goes to the log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def execute(request: dict[str, Any]) -> None:
    """Become the daemon; return only by an error, which is in the log."""
    os.setsid()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    os.umask(0o022)
    if request["user"]:
        become(request["user"])
    os.chdir(request["directory"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(request["argv"][0], request["argv"], request["environment"])  # noqa: S606 - that is what it is for


def become_daemon(request: dict[str, Any], announce: socket.socket) -> None:
    """Detach from the parent, say who this is, and become the daemon."""
    try:
        # The daemon's parent ends inside the server, so that it is the server's first process that reaps it.
        if not request["new_server"] and os.fork():
            os._exit(0)
        announce.send(b"x")
        execute(request)
    except (OSError, KeyError) as error:
        sys.stderr.write(f"cannot start {request['argv'][0]}: {error}\n")
        sys.stderr.flush()
    os._exit(127)


def sender_of(receiver: socket.socket) -> int:
    """Wait for a message and return its sender's pid, as it is in this process's namespace."""
    _data, ancillary, _flags, _address = receiver.recvmsg(1, socket.CMSG_SPACE(CREDENTIALS.size))
    pid, _uid, _gid = CREDENTIALS.unpack(ancillary[0][2])
    return int(pid)


def main() -> None:
    """Read the request, fork, print the daemon's pid."""
    request = json.load(sys.stdin)
    answer = os.dup(1)
    redirect(request["log"])
    receiver, announce = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    receiver.settimeout(ANNOUNCE_SECONDS)
    if request["namespace_pid"]:
        enter(request["namespace_pid"])
    if request["new_server"]:
        call("unshare", SERVER_NAMESPACES)
    child = os.fork()
    if child == 0:
        become_daemon(request, announce)
    if not request["new_server"]:
        os.waitpid(child, 0)
    os.write(answer, str(sender_of(receiver)).encode())


if __name__ == "__main__":
    try:
        main()
    except OSError as fault:
        sys.stderr.write(f"{fault.strerror or fault}\n")
        sys.exit(1)
