"""What is observed of what runs by itself: the ledger in the history's database. It is read, and never made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.config import files, places
from samaops.errors import ConfigurationError, reason_of
from samaops.facts.schedule import FILES, PAUSES, FilesFacts, FoundFile, JobFacts, ScheduleFacts
from samaops.i18n import _
from samaops.journal import history
from samaops.journal.database import HistoryError
from samaops.journal.history import Journal
from samaops.journal.ledger import Ledger
from samaops.model.failure import FailureKind
from samaops.site import jobs
from samaops.site.site import Site

# All of the checks; what is asked for by the name of a file is no part of a diagnosis.
CODES = ("schedule.ledger", "schedule.leader", "schedule.run", "schedule.job")
_SECONDS = 8.0
# What the checks compare with; and a month of the daily ones.
RUNS = 31


def ledger(site: Site) -> Iterator[Target]:
    """Yield the ledger, where a scheduler runs from this machine, or another machine writes the same one."""
    try:
        is_used = files.exists(places.state() / "schedule")
    except ConfigurationError:
        is_used = False
    if is_used or site.settings.history.url is not None:
        yield Target("ledger", site.settings.schedule, None, _SECONDS)


@collects("schedule", ScheduleFacts, targets=ledger, feeds=(*CODES, PAUSES))
def look(_section: object, site: Site, probe: Probe) -> ScheduleFacts:
    """Read the last runs of each job, who leads, and what is paused. Raises ClientError."""
    probe.stage("history")
    try:
        return observe(site)
    except HistoryError as error:
        raise ClientError(FailureKind.DEPENDENCY, error.message, "history") from error
    except (ValueError, KeyError, TypeError) as error:
        text = _("not readable: {reason}").format(reason=str(error)[:200])
        raise ClientError(FailureKind.ERROR, text, "history") from error


def observe(site: Site) -> ScheduleFacts:
    """Read the ledger. Raises HistoryError, ConfigurationError."""
    now = datetime.now(timezone.utc)
    journal = Journal(history.database_of(site.settings), site.name)
    book = Ledger(journal, site.name)
    planned = jobs.all_of(site)
    try:
        leader = book.leader()
        known = book.known_since([job.name for job in planned], now)
        facts = tuple(
            JobFacts(
                job.name, job.line, job.next_at(now), job.interval_seconds(now),
                book.last(job.name, RUNS), known.get(job.name),
            )
            for job in planned
        )  # fmt: skip
        return ScheduleFacts(now, leader, facts, book.pauses())
    finally:
        journal.close()


def _ledger_to_be(site: Site) -> Iterator[Target]:
    if not any(ledger(site)):  # else that look has the pauses too
        yield Target("ledger", site.settings.schedule, None, _SECONDS)


@collects(
    "schedule", ScheduleFacts, targets=_ledger_to_be, feeds=(PAUSES,), kind="schedule_pauses", on_request=True
)
def look_before_the_first_run(section: object, site: Site, probe: Probe) -> ScheduleFacts:
    """Read the same where nothing may have been written yet: then nothing is paused. Raises ClientError."""
    return look(section, site, probe)


# A directory of units, or of crontabs, has some dozens; a crontab a few kB.
_MOST_FILES, _LARGEST_BYTES = 500, 256 * 1024


def _here(_site: Site) -> Iterator[Target]:
    yield Target("files", None, None, _SECONDS)


@collects("schedule", FilesFacts, targets=_here, feeds=(FILES,), kind="schedule_files", on_request=True)
def look_at_files(_of: None, _site: Site, probe: Probe) -> FilesFacts:
    """Read the files that are asked for by their own name, and those of the directories that are."""
    probe.stage("read")
    found: list[FoundFile] = []
    directories: list[str] = []
    for name in probe.named(FILES):
        path = Path(name)
        directories += [str(path)] if path.is_dir() else []
        try:
            inside = sorted(path.iterdir())[:_MOST_FILES] if path.is_dir() else [path]
        except OSError as error:
            raise ClientError(FailureKind.PERMISSION, f"{path}: {reason_of(error)}", "read") from error
        found += [_file(each) for each in inside if not each.is_dir()]
    return FilesFacts(tuple(found), tuple(directories))


def _file(path: Path) -> FoundFile:
    try:
        return FoundFile(str(path), files.read(path, _LARGEST_BYTES).decode("utf-8"))
    except FileNotFoundError:
        return FoundFile(str(path))
    except UnicodeDecodeError:
        return FoundFile(str(path), problem=_("it is no text"))
    except OSError as error:
        return FoundFile(str(path), problem=reason_of(error))
