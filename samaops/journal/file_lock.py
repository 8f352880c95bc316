"""A lock on a file of this machine: ``flock``, so that the kernel releases it with its owner, however that ends."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from samaops.errors import LockedError, RefusedError
from samaops.i18n import _
from samaops.journal.owner import Owner, read_owner

# A look at who holds the lock takes it for a moment: whoever wants it tries a little longer than that.
_TRY_SECONDS = 0.5
MOST_CHARACTERS = 4000


def file_name(*names: str) -> str:
    """Return the name of the lock file of a site, or of one server of it: readable, and another for other names."""
    slugs = [re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60] for name in names]
    return f"samaops-{'-'.join(slugs)}-{digest(*names).hex()[:6]}.lock"


def digest(*names: str) -> bytes:
    return hashlib.sha256(":".join(("samaops", *names)).encode()).digest()


class FileLock:
    """A lock on a file of this machine, with its owner's name in it while it is held."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self, owner: Owner) -> bool:
        """Take the lock and write who we are; return False when somebody else has it.

        Raises RefusedError when the file cannot be opened.
        """
        self._file = self._open_and_lock()
        if self._file is None:
            return False
        with suppress(OSError):  # a full disk: the lock holds all the same, without a name
            _write(self._file, asdict(owner))
        return True

    def release(self) -> None:
        """Give the lock back, if we have it; the file stays, empty."""
        if self._file is not None:
            file, self._file = self._file, None
            _write(file, {})
            os.close(file)

    def check(self) -> None:
        """Raise LockedError when the file we hold is no longer the one that others would lock."""
        if self._file is None:
            return
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._file), os.lstat(self._path)):
                return
        raise LockedError(_("the lock was lost: {path} was removed").format(path=self._path))

    def is_held(self) -> bool:
        """Return whether somebody holds it now. Takes nothing that lasts."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (
            OSError
        ):  # nobody has ever taken it, or nobody whose lock we may see: then we cannot take it either
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def written(self) -> Owner | None:
        """Return who is named in the file."""
        try:
            return read_owner(self._path.read_text(encoding="utf-8", errors="replace")[:MOST_CHARACTERS])
        except OSError:  # gone between two looks
            return None

    def _open(self) -> int:
        """Open the lock file, made for every user of the machine: all of them change the same system."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
                if os.fstat(file).st_uid == os.getuid():
                    os.fchmod(file, 0o666)
                return file
        except OSError as error:
            text = _("The lock {path} cannot be opened: {reason}; nothing was changed")
            raise RefusedError(
                text.format(path=self._path, reason=error.strerror), hint="[safety] lock_directory"
            ) from error

    def _open_and_lock(self) -> int | None:
        file = self._open()
        ends_at = time.monotonic() + _TRY_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= ends_at:
                    os.close(file)
                    return None
                time.sleep(0.05)
            else:
                return file


def _write(file: int, values: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    if values:
        os.pwrite(file, json.dumps(values).encode("ascii"), 0)
