"""Judge the saved looks of several sites, a file a site, and say as one report what was found. Nothing is connected to."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from samaops.collect import sites as looks
from samaops.collect import store
from samaops.errors import SamaopsError, UsageError, reason_of
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import EVERYTHING, Selection
from samaops.facts.sites import SiteFacts
from samaops.i18n import _
from samaops.model.failure import Failure, FailureKind
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import diagnose
from samaops.workflows.sites import together

# More is no directory of the looks of sites.
MOST_FILES = 500
_NO_NAME = re.compile("[^a-z0-9_-]+")


def judge(directory: Path, selection: Selection = EVERYTHING) -> Report:
    """Judge each look of a directory, with the settings that travel in it. One that cannot be read is an unknown site.

    Raises UsageError where there is no such directory, or no look in it.
    """
    started = time.monotonic()
    observations: list[Observation] = []
    taken: list[datetime] = []
    for path in files_in(directory):
        observation = _judged(path, selection, {seen.subject for seen in observations})
        observations.append(observation)
        if isinstance(observation.facts, SiteFacts):
            taken.append(observation.facts.report.started_at)
    if not taken:
        message = observations[0].failure.message if observations and observations[0].failure else "?"
        raise UsageError(message, hint="samaops diagnose --sites all --save DIR")
    duration_ms = round((time.monotonic() - started) * 1000)
    return together.judge(Snapshot(max(taken), tuple(observations), duration_ms), {}, is_kept=False)


def files_in(directory: Path) -> list[Path]:
    """Return the files of a directory that may be looks. Raises UsageError."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".json" and path.name[0] != ".")
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {reason}").format(path=directory, reason=reason_of(error))
        ) from error
    if not paths or len(paths) > MOST_FILES:
        text = _("{path} holds no saved looks: 1 to {most} files NAME.json")
        raise UsageError(
            text.format(path=directory, most=MOST_FILES), hint="samaops diagnose --sites all --save DIR"
        )
    return paths


def _judged(path: Path, selection: Selection, taken: set[str]) -> Observation:
    """Return a site as its look shows it, called as it calls itself; as its file, where that name is taken."""
    try:
        saved = store.load(path)
        report = diagnose.judge(saved.snapshot, saved.site, diagnose.narrowed(saved, selection))
    except SamaopsError as error:
        failure = Failure(FailureKind.ERROR, error.message)
        return Observation("sites", f"{looks.SUBJECT}/{path.stem}", None, SiteFacts.__name__, failure=failure)
    name = _name(saved.site, path, taken)
    if report.errors:
        failure = Failure(FailureKind.DEPENDENCY, report.errors[0].message)
        return Observation("sites", f"{looks.SUBJECT}/{name}", None, SiteFacts.__name__, failure=failure)
    facts = SiteFacts(name, path.name, replace(report, duration_ms=saved.snapshot.duration_ms), is_saved=True)
    return Observation("sites", f"{looks.SUBJECT}/{name}", None, SiteFacts.__name__, facts=facts)


def _name(site: Site, path: Path, taken: set[str]) -> str:
    name = site.name if f"{looks.SUBJECT}/{site.name}" not in taken else path.stem
    return _NO_NAME.sub("-", name.lower()).strip("-") or "-"
