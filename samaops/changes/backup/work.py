"""What all verbs of the backups share: what was seen of them, which one is meant, and what they are kept apart by."""

from __future__ import annotations

from samaops.changes.readings import UnreadableError, facts_in, known, reading
from samaops.config.backup_settings import Backup
from samaops.errors import RefusedError, UsageError
from samaops.facts.backup import CatalogueFacts
from samaops.facts.backup_run import RUNNING, UNLISTED, WHOLE, Run, Survey
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Plan, Scalar
from samaops.site.site import Site

CATALOGUE = ("backup.catalogue",)
# The lock of what makes, proves and removes backups. Work on the database beside it is kept apart by beside.py.
LOCK = "backup"
LATEST = "latest"
IS_THERE, AS_SEEN, PINNED = "backup.is_there", "backup.is_as_seen", "backup.pinned"


def section(site: Site) -> Backup:
    """Return the section of the backups. Raises UsageError."""
    if site.settings.backup is None:
        raise UsageError(_("[backup] is not configured"), hint="samaops config show")
    return site.settings.backup


def survey_in(snapshot: Snapshot) -> Survey:
    """Return what was seen of the backups. Raises UnreadableError."""
    facts = facts_in(snapshot, CatalogueFacts)
    if facts.survey is None:
        raise UnreadableError(f"{facts.directory}: {facts.reason}")
    return facts.survey


def named(survey: Survey, word: str) -> Run:
    """Return the backup that a word means: an id or its beginning, or ``latest``, the newest whole one.

    Raises UsageError where it means none or several.
    """
    runs = survey.runs
    if word == LATEST:
        # A recovery to a moment is the beginning of a restore, and named by its id.
        whole = next((run for run in runs if run.state == WHOLE and not run.recovered_to), None)
        if whole is None:
            raise UsageError(_("There is no whole backup"), hint="samaops backup create")
        return whole
    found = [run for run in runs if run.id == word] or [
        run for run in runs if word and run.id.startswith(word)
    ]
    if len(found) != 1:
        text = _("{word!r} means several backups") if found else _("There is no backup {word!r}")
        raise UsageError(text.format(word=word), hint="samaops backup list")
    return found[0]


def mark(run: Run) -> str:
    """Return by what it is seen that nobody has changed a backup meanwhile."""
    return f"{run.state} {run.bytes} {run.pinned}"


def _run_in(snapshot: Snapshot, identifier: str) -> Run | None:
    return next((run for run in survey_in(snapshot).runs if run.id == identifier), None)


@reading(IS_THERE, codes=CATALOGUE)
def is_there(snapshot: Snapshot, identifier: str) -> Scalar:
    """Return whether the catalogue or the disk has a backup."""
    return _run_in(snapshot, identifier) is not None


@reading(AS_SEEN, codes=CATALOGUE)
def is_as_seen(snapshot: Snapshot, identifier: str, seen: str) -> Scalar:
    """Return whether a backup is as it was when the change was planned."""
    run = _run_in(snapshot, identifier)
    return run is not None and mark(run) == seen


@reading(PINNED, codes=CATALOGUE)
def pinned(snapshot: Snapshot, identifier: str) -> Scalar:
    """Return why a backup is kept for ever; empty where it is not."""
    run = _run_in(snapshot, identifier)
    return known(run, _("whether there is {id}").format(id=identifier)).pinned


def require_provable(run: Run) -> None:
    """Raise RefusedError for what lies nowhere as a whole: there is nothing to prove."""
    if run.state != UNLISTED:
        require_whole(run)


def require_whole(run: Run) -> None:
    """Raise RefusedError for what is no whole backup."""
    if run.state != WHOLE:
        text = _("{id} is no whole backup: its state is {state}")
        hint = "samaops backup list" if run.state == RUNNING else f"samaops backup show {run.id}"
        raise RefusedError(text.format(id=run.id, state=run.state), hint=hint)


def plan(verb: str, arguments: tuple[str, ...], title: str, site: Site) -> Plan:
    """Return an empty plan of such a verb; the site's name is typed where something is lost."""
    return Plan(verb, arguments, title, site.name, lock=LOCK)
