"""Where tracebacks and the libraries' own warnings go: a private file, never the user's screen.

The file is made when there is something to write. Every known secret is masked in it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from samaops.config import files, masking, places
from samaops.errors import ConfigurationError, reason_of
from samaops.i18n import _
from samaops.render import escape

LEVELS = ("debug", "info", "warning", "error")
_LARGEST_BYTES = 1_000_000
_LONGEST_LINE = 1000


def path() -> Path:
    """Return the log file under the XDG state directory. Raises ConfigurationError when there is no such place."""
    return places.state() / "log" / "samaops.log"


def begin() -> None:
    """Send everything that libraries log or warn about to the file instead of the screen."""
    handler = _FileHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


def keep(level: str, *, on_screen: bool) -> None:
    """Keep what samaops itself logs from a level on; ``on_screen`` writes all of it to stderr too."""
    logger = logging.getLogger("samaops")
    logger.setLevel(logging.DEBUG if on_screen else level.upper() or logging.NOTSET)
    if on_screen and not any(isinstance(handler, _ScreenHandler) for handler in logger.handlers):
        logger.addHandler(_ScreenHandler())


def write_traceback(error: BaseException) -> str:
    """Write an error with its traceback and return where, or why nowhere."""
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    moment = datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        _append(f"{moment} {os.getpid()} BUG\n{lines}")
    except ConfigurationError as reason:
        return _("no log, because {reason}").format(reason=reason.message)
    except OSError as reason:
        return _("no log, because {path} cannot be written: {reason}").format(
            path=path(), reason=reason_of(reason)
        )
    return str(path())


class _FileHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            _append(self.format(record) + "\n")
        except (OSError, ConfigurationError):
            return  # a log that cannot be written must not end the work it tells of


class _ScreenHandler(logging.Handler):
    """Lines for people: no traceback, which is in the file."""

    def emit(self, record: logging.LogRecord) -> None:
        moment = (
            datetime.fromtimestamp(record.created, timezone.utc).astimezone().strftime("%H:%M:%S.%f")[:-3]
        )
        name = record.name.removeprefix("samaops.")
        line = masking.mask(f"{moment} {record.levelname.lower()} {name}: {record.getMessage()}")
        with suppress(OSError, ValueError):  # whoever read it has gone
            sys.stderr.write(escape.plain(line, _LONGEST_LINE) + "\n")


def _thread_failed(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        write_traceback(arguments.exc_value)


def _append(text: str) -> None:
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if files.exists(file) and file.stat().st_size > _LARGEST_BYTES:
        file.replace(file.with_suffix(".log.1"))
    with os.fdopen(
        files.open_to_append(file, 0o600), "a", encoding="utf-8", errors="backslashreplace"
    ) as stream:
        stream.write(masking.mask(text))
