"""Look at several sites side by side, each by a samaops of its own, and say as one report what was found."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec.structs import replace

from samaops.checks import engine as checks
from samaops.collect import engine
from samaops.collect import sites as looks
from samaops.collect.sites import Asked
from samaops.config import sites as known_sites
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, UsageError
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import EVERYTHING, Selection
from samaops.facts.sites import SiteFacts
from samaops.i18n import _, joined
from samaops.journal import last_look
from samaops.model.difference import clock
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site import chosen
from samaops.site.shell_words import quoted
from samaops.site.site import Site
from samaops.workflows.sites.merged import SiteReport, key_of, merged

LOST = "sites.site.lost"
# What says how this machine works, and may be the same for all sites; another key of a site, set for all, would have
# each of them look at the same thing.
_OF_THIS_MACHINE = frozenset(
    {"history", "notify", "schedule", "maintenance", "playbooks", "thresholds", "safety"}
)
_VARIABLE = re.compile(r"SAMAOPS_([A-Z0-9]+)__.+|SAMAOPS_(SITE)")
# No site: the one that looks at the others.
_HEAD = Site(Settings())


def chosen_sites(names: Iterable[str]) -> tuple[str, ...]:
    """Return the sites that are asked for; "all" stands for each. Raises ConfigurationError, UsageError."""
    known = tuple(known_sites.all_of())
    wanted = [name for asked in names for name in (known if asked == known_sites.ALL else (asked,))]
    if not wanted:
        text = _("There are no sites: no file NAME.toml in {places}")
        places = ", ".join(map(str, known_sites.directories()))
        raise ConfigurationError(text.format(places=places), hint="samaops sites")
    for name in wanted:
        if name not in known:
            known_sites.find(name)  # says which there are
    _refuse_variables_for_all()
    return tuple(dict.fromkeys(wanted))


def _refuse_variables_for_all() -> None:
    found = []
    for variable in sorted(os.environ):
        match = _VARIABLE.fullmatch(variable)
        if match and (match[1] or match[2]).lower() not in _OF_THIS_MACHINE:
            found.append(variable)
    if found:
        text = _(
            "{names}: set for every site alike, they would all be looked at as one; unset, or write it in the files"
        )
        raise UsageError(text.format(names=", ".join(found)), hint="samaops sites")


def look(names: tuple[str, ...], asked: Asked) -> Report:
    """Look at the sites side by side. One that cannot be looked at is unknown, and the others are as they are."""
    configured: dict[str, Settings] = {}
    unusable: list[Observation] = []
    for name in names:
        try:
            configured[name] = known_sites.read(name).settings
        except ConfigurationError as error:
            unusable.append(_unusable(name, error))
    longest = max((looks.seconds_for(settings, asked) for settings in configured.values()), default=0.0)
    rounds = math.ceil(len(configured) / engine.MOST_AT_ONCE)
    collectors = looks.collectors(configured, asked)
    snapshot = engine.observe(collectors, _HEAD, EVERYTHING, rounds * (longest + 2.0))
    observations = (*map(_as_lost, snapshot.observations), *unusable)
    return judge(replace(snapshot, observations=observations), configured, is_kept=_is_whole(asked))


def _is_whole(asked: Asked) -> bool:
    return not (asked.selection.only or asked.selection.skip)


def keep_last(report: Report, site: Site, selection: Selection) -> None:
    """Keep how a look at everything found a site, for the list of the sites."""
    if not (selection.only or selection.skip or report.errors):
        causes = [key_of(cause) for cause in report.causes]
        last_look.keep(site.name, report.started_at, report.status, causes)


def _unusable(name: str, error: ConfigurationError) -> Observation:
    failure = Failure(FailureKind.MISSING, joined(error.message.splitlines()))
    return Observation("sites", f"{looks.SUBJECT}/{name}", None, SiteFacts.__name__, failure=failure)


def _as_lost(observation: Observation) -> Observation:
    """Return a look that failed as one of which nothing is known: that we do not reach a site is no word about it."""
    failure = observation.failure
    if failure is None or not failure.is_outage:
        return observation
    return replace(observation, failure=replace(failure, kind=FailureKind.DEPENDENCY))


def judge(snapshot: Snapshot, configured: dict[str, Settings], *, is_kept: bool) -> Report:
    """Return the report of all sites; ``is_kept`` keeps when each cause was first seen, for the looks that follow."""
    seen = Report("diagnose", snapshot.taken_at, snapshot.duration_ms)
    reports = []
    for _observation, facts in snapshot.facts_of(SiteFacts):
        report = facts.report
        causes = [key_of(cause) for cause in report.causes]
        last = (
            last_look.keep(facts.name, report.started_at, report.status, causes)
            if is_kept
            else last_look.load(facts.name)
        )
        typed = _typed(facts.name, configured.get(facts.name))
        reports.append(SiteReport(facts.name, report, typed, last.since if last else {}, facts.is_far))
    findings = tuple(
        _said(finding, snapshot, configured, is_kept=is_kept) for finding in checks.judge(snapshot, _HEAD)
    )
    return merged(tuple(reports), findings, seen)


def _said(finding: Finding, snapshot: Snapshot, configured: dict[str, Settings], *, is_kept: bool) -> Finding:
    """Return what is said of a look at a site: with the site, and of a lost one since when it has been lost."""
    name = finding.subject.partition("/")[2]
    finding = replace(finding, site=name)
    if finding.status is Status.OK:
        return finding
    title = _("{site} could not be looked at: {reason}").format(site=name, reason=finding.detail)
    hint = _next(name, configured.get(name), finding)
    finding = replace(finding, title=title, detail="", hint=hint)
    last = last_look.load(name)
    if is_kept:  # its causes were not seen to be gone
        last = last_look.keep(name, snapshot.taken_at, Status.UNKNOWN, [LOST, *(last.since if last else ())])
    since = last.since.get(LOST) if last else None
    if since is None or clock(since, snapshot.taken_at) == clock(snapshot.taken_at, snapshot.taken_at):
        return finding
    text = _("{title} (since {time})").format(title=finding.title, time=clock(since, snapshot.taken_at))
    evidence = {**finding.evidence, "since": since.isoformat(timespec="milliseconds")}
    return replace(finding, title=text, evidence=evidence)


def _next(name: str, settings: Settings | None, finding: Finding) -> str:
    """Return what to type about a site that could not be looked at."""
    if settings is None:
        is_unusable = finding.evidence.get("kind") == FailureKind.MISSING.value
        return chosen.of_site("samaops config check", name) if is_unusable else f"samaops explain {LOST}"
    if settings.satellite is None:
        return chosen.of_site("samaops diagnose", name)
    return chosen.of_site(f"samaops ssh {quoted(settings.satellite.server)}", name)


def _typed(name: str, settings: Settings | None) -> Callable[[str], str]:
    """Return how a command of a site is typed here: with its name, or on the control machine that alone reaches it."""
    satellite = settings.satellite if settings else None
    if satellite is None:
        return lambda command: chosen.of_site(command, name)

    def there(command: str) -> str:
        program, space, words = command.partition(" ")
        if program != "samaops":
            return command
        own = words.removeprefix("--lab ") if "--lab" in satellite.command.split() else words
        line = f"{satellite.command}{space}{own}"
        return chosen.of_site(f"samaops ssh {quoted(satellite.server)} -- {quoted(line)}", name)

    return there


def save_directory(path: Path | None) -> Path | None:
    """Return a directory for the looks of several sites, made where it is missing. Raises UsageError."""
    if path is None:
        return None
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        text = _("{path}: with --sites this is a directory, a file a site: {reason}")
        raise UsageError(text.format(path=path, reason=error.strerror)) from error
    return path
