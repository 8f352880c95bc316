"""Take over a crontab: its lines that do what a job of the scheduler does are commented out, so that nothing runs twice.

No line is deleted. One that does more than a job, or something else, stays; one that cron could not follow is refused by its number.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import PurePosixPath

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import facts_in
from samaops.changes.schedule import files, units
from samaops.changes.verbs import verb
from samaops.config import cron
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.schedule import FilesFacts, ScheduleFacts
from samaops.i18n import _, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.site import jobs
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site

COMMENT = "schedule.comment"
PREFIX = "# samaops schedule: "
_NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_A_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_VARIABLE = re.compile(r"\s*[\"']?[A-Za-z_]\w*[\"']?\s*=")
# The scripts of the guide, and what samaops does in their place.
_SCRIPTS = {
    "backup_samaconso.sh": "backup", "daily_maintenance.sh": "daily", "weekly_maintenance.sh": "weekly",
    "monthly_maintenance.sh": "monthly",
}  # fmt: skip
_WORDS = {
    "backup create": "backup",
    "maintain daily": "daily",
    "maintain weekly": "weekly",
    "maintain monthly": "monthly",
}
_MORE_THAN_ONE = re.compile(r"[;|`]|&&|\$\(|&\s*$")
# Whose lines name a user after the time.
_SYSTEM = re.compile(r"/etc/(crontab|cron\.d/.+)")
# What cron looks at by itself; of a user's crontab anybody has a copy, and gives it back with crontab.
_READ_BY_CRON = re.compile(r"/etc/(crontab|cron\.d/.+)|/var/spool/cron/(crontabs/)?[^/]+")
# What people write on command lines and should not: no note of a plan keeps it.
_SECRET = re.compile(r"(?i)((?:pass|pwd|secret|token)\w*['\"]?[=: ]\s*)\S+|(://[^/:@\s]*:)[^@\s]+(?=@)")
# So many moments are compared to see whether two lines mean the same.
_COMPARED = 60


class Commenting(Struct, frozen=True):
    """Which lines of a file are commented out, by their numbers from 1; or not any more."""

    path: str
    lines: tuple[int, ...]
    is_back: bool = False


class Line(Struct, frozen=True):
    """A line of a crontab that runs something. ``problem`` says why cron could not follow it."""

    number: int
    text: str
    at: str = ""
    command: str = ""
    problem: str = ""

    @property
    def job(self) -> str:
        """The job that does the same; "" where none does, or the line does more."""
        if _MORE_THAN_ONE.search(self.command) or self.at.lower() == "@reboot":  # no job is run by a start
            return ""
        try:
            words = shlex.split(self.command)
        except ValueError:
            return ""
        for word in words:
            if PurePosixPath(word).name in _SCRIPTS:
                return _SCRIPTS[PurePosixPath(word).name]
        line = " ".join(words)
        is_samaops = any(PurePosixPath(word).name == "samaops" for word in words)
        return next((job for text, job in _WORDS.items() if is_samaops and text in line), "")


def lines_of(content: str, *, has_user: bool) -> Iterator[Line]:
    """Yield the lines of a crontab that run something, as Debian's cron reads them."""
    for number, text in enumerate(_split(content), start=1):
        if not text.strip() or text.lstrip().startswith("#") or _VARIABLE.match(text):
            continue
        yield _line(number, text, has_user=has_user)


def _split(content: str) -> list[str]:
    """Return the lines with their ends, as cron and sed count them: Python's own ends one at a form feed too."""
    return _A_LINE.findall(content)


def _line(number: int, text: str, *, has_user: bool) -> Line:
    is_named = text.lstrip().startswith("@")
    count = (1 if is_named else 5) + (1 if has_user else 0)
    fields = text.split(None, count)
    if len(fields) <= count:
        return Line(number, text, problem=_("the line has no command"))
    at, command = " ".join(fields[: 1 if is_named else 5]), _before_percent(fields[-1])
    if at.lower() == "@reboot":
        return Line(number, text, at, command)
    if is_named:
        at = _NICKNAMES.get(at.lower(), at)
    return Line(number, text, at, command, problem=cron.fault_of(at) or "")


def _before_percent(command: str) -> str:
    """Return what is run: what follows a ``%`` is given to it as input, ``\\%`` is one."""
    return re.split(r"(?<!\\)%", command)[0].replace("\\%", "%").strip()


def _looks(_site: Site, path: str) -> tuple[str, ...]:
    if not PurePosixPath(path).is_absolute():
        raise UsageError(_("{path}: a whole path, from the root").format(path=path))
    return (*files.asked(path), "schedule.leader")


@verb("schedule import", looks=_looks)
def plan_import(snapshot: Snapshot, site: Site, path: str) -> Plan:
    """Plan that the lines of a crontab that samaops does from now on are commented out."""
    found = facts_in(snapshot, FilesFacts).at(path)
    if found is None or found.content is None:
        reason = found.problem if found and found.problem else _("No such file or directory")
        raise RefusedError(f"{path}: {reason}; " + _("nothing was changed"))
    content = found.content
    if content.startswith(units.MARK):
        raise RefusedError(
            _("{path} was written by samaops schedule install; nothing was changed").format(path=path)
        )
    lines = list(lines_of(content, has_user=_SYSTEM.fullmatch(path) is not None))
    bad = [line for line in lines if line.problem]
    if bad:
        text = _("{path}, line {number}: {problem}; nothing was changed")
        raise RefusedError(text.format(path=path, number=bad[0].number, problem=bad[0].problem))
    planned = {job.name: job for job in jobs.all_of(site)}
    taken = [line for line in lines if line.job in planned]
    title = _("Comment out of {path} what the scheduler does").format(path=path)
    plan = Plan("schedule import", (path,), title, target=path)
    stays = tuple(_stays(line, planned) for line in lines if line not in taken)
    if not taken:
        nothing = _("no line of {path} does what a job of the scheduler does").format(path=path)
        return replace(plan, nothing_to_do=nothing, notes=stays)
    numbers = tuple(line.number for line in taken)
    after = commented(content, numbers)
    step = Step(
        "schedule.import",
        title,
        Risk.SAFE,
        Operation(COMMENT, to_builtins(Commenting(path, numbers))),
        before=(_holds(path, content),),
        after=(_holds(path, after),),
        undo=Operation(COMMENT, to_builtins(Commenting(path, numbers, is_back=True))),
        servers=(),
    )
    times = tuple(_time(line, planned[line.job], snapshot.taken_at) for line in taken)
    changed = tuple(_difference(path, content, after))
    after_it = (*_unconfirmed(site, planned), *_not_yet(snapshot, site, path))
    return replace(plan, steps=(step,), notes=(*changed, *times, *stays, *after_it))


def commented(content: str, numbers: Sequence[int], *, is_back: bool = False) -> str:
    """Return a crontab with these lines commented out, or as they were before."""
    lines = _split(content)
    for number in numbers:
        line = lines[number - 1]
        lines[number - 1] = line.removeprefix(PREFIX) if is_back else PREFIX + line
    return "".join(lines)


def _difference(path: str, before: str, after: str) -> Iterator[str]:
    old, new = ([line.rstrip("\n") for line in _split(content)] for content in (before, after))
    lines = difflib.unified_diff(old, new, path, path, lineterm="", n=1)
    return (_SECRET.sub(lambda match: f"{match[1] or match[2]}…", line) for line in lines)


def _time(line: Line, job: jobs.Job, now: datetime) -> str:
    theirs = islice(cron.following(line.at, now, job.zone), _COMPARED)
    ours = islice(job.after(now), _COMPARED)
    if list(theirs) == list(ours):
        return _("line {number}: {job}, at the same time as in [schedule]").format(
            number=line.number, job=job.name
        )
    text = _('line {number}: {job} is run at {ours}; to keep its time: [schedule] {job} = "{theirs}"')
    return text.format(number=line.number, job=job.name, ours=job.line, theirs=line.at)


def _unconfirmed(site: Site, planned: dict[str, jobs.Job]) -> Iterator[str]:
    """Yield that nobody removes old backups any more, as the scripts of the guide do: that needs a word."""
    weekly = planned.get(cron.CONFIRMED)
    if weekly is not None and site.settings.backup is not None and "--confirm" not in weekly.words:
        text = _('Backups that have expired go only with: [schedule.jobs.{job}] confirm = "{site}"')
        yield text.format(job=cron.CONFIRMED, site=site.name)


def _not_yet(snapshot: Snapshot, site: Site, path: str) -> Iterator[str]:
    """Yield what is left to do: cron does not read a copy of a user's crontab, and somebody has to begin the jobs from now on."""
    if not _READ_BY_CRON.fullmatch(path):
        text = _("cron does not read this file; then: {command}")
        yield text.format(command=f"crontab {operands(path)}")
    leads = next((facts.leader for _seen, facts in snapshot.facts_of(ScheduleFacts)), None)
    if leads is None or leads.until <= snapshot.taken_at:
        command = typed(site, "schedule install systemd")
        text = _("No scheduler runs yet, so nothing begins these jobs; then: {command}")
        yield text.format(command=command)


def _stays(line: Line, planned: dict[str, jobs.Job]) -> str:
    if line.job and line.job not in planned:
        text = _("line {number} stays: {job} is not planned in [schedule]")
        return text.format(number=line.number, job=line.job)
    if line.at.lower() == "@reboot":
        return _("line {number} stays: it is run when the machine starts").format(number=line.number)
    return _("line {number} stays: it is no job of the scheduler").format(number=line.number)


def _holds(path: str, content: str) -> Condition:
    count = sum(1 for line in _split(content) if line.startswith(PREFIX))
    text = ngettext(
        "{count} line of {path} is commented out by samaops",
        "{count} lines of {path} are commented out by samaops",
        count,
    ).format(count=count, path=path)
    return Condition(files.SUM, (path,), files.sum_of(content), text)
