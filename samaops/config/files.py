"""The files that users and configurations name: only regular ones, read up to a limit, without waiting for ever.

What root would run or trust is read only where nobody else may write it, nor any directory on the way to it.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from samaops.i18n import _

# A shell's <(command) may need a while; one that never ends is not waited for.
PIPE_SECONDS = 5.0
_BLOCK_BYTES = 1024 * 1024
_MOST_LINKS = 40  # as Linux


def read(path: Path, most_bytes: int, *, seconds: float = PIPE_SECONDS) -> bytes:
    """Return what a file holds. Raises OSError, also for one that is too large, a device, or a named pipe."""
    with suppress(FileNotFoundError):
        _require_readable(path.stat())  # before it is opened: that alone may wait, or wind a tape back
    # Some regular files wait too, such as /proc/kmsg.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _require_readable(status)
        if stat.S_ISFIFO(status.st_mode) and not _is_nameless(descriptor):
            raise OSError(errno.EINVAL, _("it is a named pipe"))
        return _content(descriptor, most_bytes, time.monotonic() + seconds)
    finally:
        os.close(descriptor)


def read_trusted(path: Path, most_bytes: int) -> bytes:
    """Return what a file holds that decides what we do. Raises OSError, also where others than root may write it."""
    content = read(path, most_bytes)
    require_trusted(path)  # after it is known to be a file: nobody is told to take rights from a device
    return content


def require_trusted(path: Path) -> None:
    """Raise OSError when we are root, and others own or may write a file, a link or a directory on the way to it.

    In a directory as /tmp, where everybody may write, nobody can replace what is root's.
    """
    if os.geteuid() != 0:
        return
    for place in _way_to(path):
        status = place.lstat()
        if status.st_uid != 0:
            text = _("root does not trust it: {place} belongs to user {user}; run: chown root {place}")
            raise PermissionError(errno.EPERM, text.format(place=place, user=status.st_uid))
        is_shared = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not (is_shared or place.is_symlink()):
            text = _("root does not trust it: others may write {place}; run: chmod go-w {place}")
            raise PermissionError(errno.EPERM, text.format(place=place))


def open_to_append(path: Path, mode: int) -> int:
    """Open a regular file to write at its end, made if there is none. Raises OSError."""
    with suppress(FileNotFoundError):
        require_regular(path)
    flags = (
        os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    )
    return os.open(path, flags, mode)


def require_regular(path: Path) -> None:
    """Raise OSError when there is no file, or another thing in its place."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, _("it is not a regular file"))


def is_regular(path: Path) -> bool:
    """Return whether there is a regular file that can be seen; pathlib's own question fails where it may not look."""
    try:
        require_regular(path)
    except (OSError, ValueError):
        return False
    return True


def exists(path: Path) -> bool:
    """Return whether there is anything that can be seen; pathlib's own question fails where it may not look."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises OSError."""
    write_whole(path, content, 0o600)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file with exactly this mode, whole or not at all: who reads it has the old one or the new one."""
    with suppress(FileNotFoundError):
        require_regular(path)  # root would put a file in the place of /dev/null
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _require_readable(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        raise OSError(errno.EINVAL, _("it is not a regular file"))


def _is_nameless(descriptor: int) -> bool:
    """Return whether it is a pipe that our caller opened, as a shell's <(command): its writer is there."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("pipe:")


def _content(descriptor: int, most_bytes: int, ends_at: float) -> bytes:
    content = bytearray()
    while len(content) <= most_bytes:
        try:
            block = os.read(descriptor, min(_BLOCK_BYTES, most_bytes + 1 - len(content)))
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(max(0.0, ends_at - time.monotonic()) * 1000):
                raise TimeoutError(errno.ETIMEDOUT, _("its end did not come in time")) from None
            continue
        if not block:
            return bytes(content)
        content += block
    raise OSError(errno.EFBIG, _("it is too large: more than {bytes} bytes").format(bytes=most_bytes))


def _way_to(path: Path) -> Iterator[Path]:
    """Yield each directory and each link that is passed on the way to a file, then the file."""
    place, left, links = Path("/"), list(reversed(path.absolute().parts[1:])), 0
    yield place
    while left:
        part = left.pop()
        if part == "..":
            place = place.parent
            continue
        place /= part
        yield place
        if place.is_symlink():
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = place.readlink()
            if place.parts[1] == "proc" and str(target).startswith("pipe:"):
                return  # whoever called us opened it
            left += reversed([part for part in target.parts if part != "/"])
            place = Path("/") if target.is_absolute() else place.parent
