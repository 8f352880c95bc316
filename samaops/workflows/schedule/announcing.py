"""Tell somebody of a job whose run failed, as findings are told: once until it changes, and when it goes well again.

The ledger says which these are, so that what a scheduler that crashed did not tell the next one tells. What a routine of
maintenance found, and why it failed, it tells by itself; here only that something ended it before it could.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone

from msgspec import Struct, field
from msgspec.structs import replace

from samaops.checks import engine as checks
from samaops.collect import schedule
from samaops.errors import SamaopsError
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.schedule import (
    BY_HAND,
    DONE,
    FAILED,
    INTERRUPTED,
    KILLED,
    OPEN,
    TIMED_OUT,
    JobFacts,
    Run,
    ScheduleFacts,
)
from samaops.facts.selection import Selection
from samaops.facts.telling import BAD
from samaops.i18n import _, joined
from samaops.journal.database import HistoryError
from samaops.model.bulletin import Bulletin
from samaops.model.finding import Finding
from samaops.model.news import News
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site import jobs, redaction
from samaops.site.site import Site
from samaops.workflows.maintenance import announce
from samaops.workflows.maintenance.limit import Limit, OverdueError
from samaops.workflows.notify import telling
from samaops.workflows.notify.deciding import JOB_FAILED

Compose = Callable[[Report, str], Bulletin]
COMMAND = "schedule run"
# How long telling may take in all: the history's part, and that of the channels.
MOST_SECONDS = 60.0
_DAY_HOURS = 24.0
# What samaops answers by itself: it takes back what it was changing, and tells that it was interrupted.
_POLITE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a shell says of a program that it could not begin.
_NOT_BEGUN = (126, 127)
logger = logging.getLogger(__name__)


class Remembered(Struct):
    """What this process has told while the history could not be read: by job, how its run ended."""

    ends: dict[str, str] = field(default_factory=dict)


def tell(site: Site, compose: Compose, ended: Sequence[Run], remembered: Remembered) -> tuple[str, ...]:
    """Tell of the jobs whose last run failed, or went well again; return a sentence for each channel that failed.

    ``ended`` are runs whose rows may not be written yet. Raises ConfigurationError.
    """
    if not _is_anybody_told(site):
        return ()
    facts, is_read = _facts(site, ended)
    report: Report = redaction.redacted(
        Report(COMMAND, facts.taken_at, findings=_findings(site, facts)), site
    )
    settled = (
        telling.settle(site, report, facts.taken_at) if is_read else telling.Settled(report, failure="-")
    )
    if settled.decision is None:
        settled = _without_history(settled.report, ended, remembered)
    else:
        remembered.ends.clear()
    report = settled.report

    def worded(some: Report, name: str) -> Bulletin:
        return compose(replace(some, answer=_answer(some)), name)

    bulletin: Bulletin = redaction.redacted(worded(report, site.name), site)
    news = announce.prepare(site, report, bulletin, _fired(site, report), _hours(facts))
    used, failures = announce.use(site, announce.with_messages(site, news, worded))
    reason = telling.keep(site, settled, used, tuple(failures)) if settled.decision is not None else ""
    return announce.sentences(failures) + ((telling.unkept(reason),) if reason and used else ())


def attempt(
    site: Site, compose: Compose, ended: Sequence[Run], remembered: Remembered | None = None
) -> tuple[str, ...]:
    """Tell as ``tell`` does, within its time; return a sentence for each thing that failed, and raise nothing."""
    known = remembered or Remembered()
    try:
        return Limit(MOST_SECONDS).run(lambda: tell(site, compose, ended, known))
    except OverdueError:
        return (_unannounced(_("no answer within {seconds:g} s").format(seconds=MOST_SECONDS)),)
    except SamaopsError as error:
        return (_unannounced(error.message),)
    except Exception as error:  # telling goes on with the next run
        logger.warning("telling failed", exc_info=error)
        return (_unannounced(type(error).__name__),)


def _unannounced(reason: str) -> str:
    return _("Nobody could be told: {reason}").format(reason=reason)


def _is_anybody_told(site: Site) -> bool:
    notify = site.settings.notify
    return any((notify.mail, notify.slack, notify.alertmanager, notify.webhooks))


def _answer(report: Report) -> str:
    """Return what is told now in one sentence: why a run failed stands below, no cause was searched for."""
    keys = report.news.announced if report.news else ()
    titles = [finding.title for finding in report.findings if finding.key in keys]
    if len(titles) > 1:
        return _("{title} (and {count} more)").format(title=titles[0], count=len(titles) - 1)
    return "".join(titles)


def _facts(site: Site, ended: Sequence[Run]) -> tuple[ScheduleFacts, bool]:
    """Return the last runs of each job, and whether the ledger could be read: else those alone that have just ended."""
    try:
        facts, is_read = schedule.observe(site), True
    except (HistoryError, ValueError, KeyError, TypeError) as error:
        logger.warning("the ledger: %s", error)
        named = (JobFacts(job.name, job.line, None, 0.0) for job in jobs.all_of(site))
        facts, is_read = ScheduleFacts(datetime.now(timezone.utc), None, tuple(named)), False
    return replace(facts, jobs=tuple(_with(job, ended) for job in facts.jobs)), is_read


def _with(job: JobFacts, ended: Sequence[Run]) -> JobFacts:
    """Return a job with the runs that have just ended, whether their rows say so yet or not."""
    runs = {run.planned_at: run for run in (*job.runs, *(run for run in ended if run.job == job.name))}
    return replace(job, runs=tuple(runs[planned] for planned in sorted(runs, reverse=True)))


def _findings(site: Site, facts: ScheduleFacts) -> tuple[Finding, ...]:
    """Return of each job whose last run is told here how that ended."""
    words = {job.name: job.words for job in jobs.all_of(site)}
    seen = Observation("schedule", "schedule/ledger", None, ScheduleFacts.__name__, facts)
    last = {
        f"schedule/{job.name}": run
        for job in facts.jobs
        for run in job.runs[::-1]
        if run.started_at and run.state not in OPEN
    }
    judged = checks.judge(Snapshot(facts.taken_at, (seen,)), site, Selection(only=(JOB_FAILED,)))
    return tuple(
        announced
        for finding in judged
        if (run := last.get(finding.subject)) is not None
        for announced in _told(finding, run, words.get(run.job, ()))
    )


def _told(finding: Finding, run: Run, words: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding with all that there is to say of a run; nothing of one that says neither good nor bad."""
    if run.state in DONE or (run.state == FAILED and _tells_by_itself(run, words)):
        yield replace(finding, status=Status.OK, detail="", hint=None)
    elif _is_bad(run) and not _tells_by_itself(run, words):
        yield replace(finding, detail=joined(_details(run)))


def _details(run: Run) -> Iterator[str]:
    if run.reason:
        yield run.reason
    if run.exit_code is not None:
        yield _("exit code {code}").format(code=run.exit_code)
    if run.log:
        yield _("its output is on {host}: {path}").format(host=run.host, path=run.log)


def _is_bad(run: Run) -> bool:
    """Return whether a run failed, or was ended by nobody's will: a scheduler that is stopped knows how its runs end."""
    is_lost = run.state == INTERRUPTED and run.exit_code is None and run.trigger != BY_HAND
    return is_lost or run.state in (FAILED, TIMED_OUT, KILLED)


def _tells_by_itself(run: Run, words: Sequence[str]) -> bool:
    """Return whether the run has told what is to be told: a routine of maintenance that came to an end of its own."""
    if tuple(words[:1]) != ("maintain",) or tuple(words[1:2]) == ("sample",):
        return False
    code = run.exit_code
    if code is None or code in _NOT_BEGUN:
        return False
    number = -code if code < 0 else code - 128
    return number <= 0 or number in _POLITE


def _without_history(report: Report, ended: Sequence[Run], remembered: Remembered) -> telling.Settled:
    """Return what is told where nobody knows what was told before: what has just ended, once for each way in which it did."""
    names = {run.job for run in ended}
    announced = []
    for finding in report.findings:
        job, how = (
            finding.subject.partition("/")[2],
            f"{finding.status.value} {finding.evidence.get('state')}",
        )
        if job in names and finding.status in BAD and remembered.ends.get(job) != how:
            announced.append(finding.key)
        if job in names:
            remembered.ends[job] = how
    return telling.Settled(replace(report, news=News(tuple(announced))))


def _fired(site: Site, report: Report) -> Iterator[dict[str, str]]:
    """Yield the alerts that were raised of what is over."""
    for recovery in report.news.recovered if report.news else ():
        code, _at, subject = recovery.key.partition("@")
        yield {
            "alertname": code, "subject": subject, "severity": recovery.status,
            "site": site.settings.site, "job": "samaops",
        }  # fmt: skip


def _hours(facts: ScheduleFacts) -> float:
    """Return how long an alert stays where nobody says it again: until the next run of the rarest job."""
    return max((_DAY_HOURS, *(job.interval_seconds / 3600 for job in facts.jobs)))


class Announcer:
    """Tells from a thread of its own, so that whoever begins runs never waits for a mail server. ``say`` says what failed."""

    def __init__(self, site: Site, compose: Compose, say: Callable[[str], None]) -> None:
        self._site = site
        self._compose = compose
        self._say = say
        self._asked: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._remembered = Remembered()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def ask(self, ended: Run | None = None) -> None:
        """Ask for a look: a run has ended, or it is time to look at what waited. Returns at once."""
        self._asked.put(ended)

    def stop(self, seconds: float) -> None:
        """Tell what is left to tell, and end; wait for that at most so long."""
        self._is_over.set()
        self._asked.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            asked = [self._asked.get()]
            while not self._asked.empty():
                asked.append(self._asked.get())
            ended = [run for run in asked if run is not None]
            if ended or not self._is_over.is_set():
                for note in attempt(self._site, self._compose, ended, self._remembered):
                    self._say(note)
            if self._is_over.is_set() and self._asked.empty():
                return
