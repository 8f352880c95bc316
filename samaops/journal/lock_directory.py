"""Where the locks of this machine are: a directory of our own, in which nobody else can hold one.

``/run/samaops`` belongs to root and to the group ``samaops`` (``packaging/tmpfiles.d/samaops.conf``). Root makes it where
it is missing. Anybody else then locks under his own state directory: that keeps out his own changes alone, and those of
others on the servers.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from samaops.config import places
from samaops.errors import ConfigurationError
from samaops.i18n import _

SHARED = Path("/run/samaops")
GROUP = "samaops"


def choose(configured: Path | None) -> Path:
    """Return where the lock files are: as configured, else where all users of the group have them."""
    if configured is not None:
        return configured
    return SHARED if SHARED.exists() or os.geteuid() == 0 else own()


def own() -> Path:
    """Return where a user locks who shares no directory with others: the same whatever his session's variables say."""
    directory = places.home()
    if directory is None:
        raise ConfigurationError(
            _("There is no place for locks: this user has no home"), hint="[safety] lock_directory"
        )
    return directory / ".local/state/samaops/locks"


def make(directory: Path) -> None:
    """Make a directory that is missing: for us alone, or the shared one for its group. Raises OSError."""
    if directory.is_dir():
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory == SHARED:
        with suppress(KeyError):  # without such a group it is root's alone
            os.chown(directory, 0, grp.getgrnam(GROUP).gr_gid)
            directory.chmod(0o2770)


def require_safe(directory: Path) -> None:
    """Raise OSError, with a reason for people, where others than root, we and our group could hold a lock.

    Raises FileNotFoundError when it is not there.
    """
    seen = directory.lstat()
    mode = stat.S_IMODE(seen.st_mode)
    if not stat.S_ISDIR(seen.st_mode):
        raise _unsafe(_("{path} is no directory").format(path=directory))
    if seen.st_uid not in (0, os.geteuid()):
        raise _unsafe(_("{path} belongs to {user}").format(path=directory, user=_user(seen.st_uid)))
    if mode & stat.S_IWOTH:
        text = _("everybody may write to {path}, and so hold its locks: take a directory of its own")
        raise _unsafe(text.format(path=directory))
    if mode & stat.S_IWGRP and not _is_ours(seen.st_gid):
        text = _("the group {group}, which is not ours, may write to {path}")
        raise _unsafe(text.format(group=_group(seen.st_gid), path=directory))
    if not os.access(directory, os.W_OK | os.X_OK):
        text = _(
            "only the group {group} may write to {path}: sudo usermod -aG {group} {user}, then log in again"
        )
        words = {"group": _group(seen.st_gid), "path": directory, "user": _user(os.geteuid())}
        raise PermissionError(errno.EACCES, text.format(**words))


def _is_ours(group: int) -> bool:
    return group in (0, os.getegid(), *os.getgroups()) or _group(group) == GROUP


def _unsafe(reason: str) -> PermissionError:
    return PermissionError(errno.EPERM, reason)


def _user(number: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return str(number)


def _group(number: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(number).gr_name
    return str(number)
