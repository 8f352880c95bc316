"""Write into the ledger that a job is paused, or is not any more; write the files that begin the scheduler."""

from __future__ import annotations

import stat
from datetime import datetime, timezone
from pathlib import Path

from msgspec import convert, to_builtins

from samaops.changes.run.operations import runs
from samaops.changes.schedule.crontab import COMMENT, PREFIX, Commenting, commented
from samaops.changes.schedule.files import WRITE, Writing
from samaops.changes.schedule.pause import PAUSE, Pausing
from samaops.clients.errors import ClientError
from samaops.config import files
from samaops.errors import reason_of
from samaops.facts.schedule import Pause
from samaops.i18n import _
from samaops.journal import history
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.ledger import Ledger
from samaops.journal.lock import this_process_now
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site import shell_words
from samaops.site.site import Site

_LARGEST_BYTES = 256 * 1024


def _lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Pausing)
    if not of.until:
        return (f"samaops schedule resume {shell_words.quoted(of.job)}",)
    words = ("samaops", "schedule", "pause", of.job, "--until", of.until, "--reason", of.reason)
    return (shell_words.joined(words),)


@runs(PAUSE, lines=_lines)
def pause(operation: Operation, site: Site) -> Outcome:
    """Write it. Raises ClientError."""
    of = convert(operation.arguments, Pausing)
    journal = Journal(history.database_of(site.settings), site.name)
    ledger = Ledger(journal, site.name)
    try:
        if not of.until:
            ledger.resume(of.job)
            return Outcome(True)
        now = datetime.now(timezone.utc)
        ends = datetime.fromisoformat(of.until)
        ledger.pause(Pause(of.job, ends, of.reason, this_process_now().user, now))
    except HistoryError as error:
        raise ClientError(FailureKind.DEPENDENCY, error.message, "history") from error
    finally:
        journal.close()
    return Outcome(True)


def _file_lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Writing)
    if of.content is None:
        return (shell_words.joined(("rm", of.path)),)
    lines = of.content.removesuffix("\n").split("\n")
    # No here-document: on a screen its lines are moved to the right, and the long ones broken.
    return (f"printf '%s\\n' {shell_words.joined(lines)} > {shell_words.quoted(of.path)}",)


@runs(WRITE, lines=_file_lines)
def write(operation: Operation, _site: Site) -> Outcome:
    """Let a file hold what it is to hold, whole or not at all, with the rights that it has. Raises ClientError."""
    of = convert(operation.arguments, Writing)
    path = Path(of.path)
    try:
        if of.content is None:
            path.unlink(missing_ok=True)
            return Outcome(True)
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else of.mode
        files.write_whole(path, of.content.encode(), mode)
    except OSError as error:
        raise ClientError(FailureKind.PERMISSION, f"{path}: {reason_of(error)}", "write") from error
    return Outcome(True)


def _comment_lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Commenting)
    change = f"s/^{PREFIX}//" if of.is_back else f"s/^/{PREFIX}/"
    expressions = "; ".join(f"{number}{change}" for number in of.lines)
    return (f"sed -i {shell_words.quoted(expressions)} {shell_words.quoted(of.path)}",)


@runs(COMMENT, lines=_comment_lines)
def comment(operation: Operation, site: Site) -> Outcome:
    """Comment lines of a file out, or back. Raises ClientError."""
    of = convert(operation.arguments, Commenting)
    try:
        content = files.read(Path(of.path), _LARGEST_BYTES).decode("utf-8")
        changed = commented(content, of.lines, is_back=of.is_back)
    except (OSError, UnicodeDecodeError, IndexError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else _("it was changed meanwhile")
        raise ClientError(FailureKind.ERROR, f"{of.path}: {reason}", "read") from error
    return write(Operation(WRITE, to_builtins(Writing(of.path, changed))), site)
