"""Look at everything, judge it, explain it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import engine as checks
from samaops.checks.registry import rules
from samaops.collect import engine, registry, store
from samaops.collect.store import Saved
from samaops.config import consistency
from samaops.errors import UNAVAILABLE, ConfigurationError, UnavailableError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.selection import EVERYTHING, Selection
from samaops.facts.servers import ReachFacts
from samaops.facts.systems import SYSTEMS
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.report import Report, ReportError
from samaops.model.status import NAGIOS_CODE, Status
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows import since_well

DEFAULT_DEADLINE_SECONDS = 15.0
FactsT = TypeVar("FactsT")


def observe(
    site: Site,
    selection: Selection = EVERYTHING,
    deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
) -> Snapshot:
    """Look at every selected system side by side, within the deadline.

    Raises ConfigurationError when nothing of what was asked for is configured.
    """
    require_possible(site, selection)
    collectors = registry.collectors(site, selection)
    if not collectors:
        _refuse_to_skip_all(site, selection)
        raise ConfigurationError(_nothing_to_look_at(selection), hint="samaops config show")
    snapshot: Snapshot = redaction.redacted(
        engine.observe(collectors, site, selection, deadline_seconds), site
    )
    return snapshot


def facts_of(site: Site, code: str, facts_type: type[FactsT], message: str) -> FactsT:
    """Look at what one check needs, and return its facts. Raises UnavailableError: ``message`` with ``{reason}``."""
    snapshot = observe(site, Selection(only=(code,), counts=True))
    for _observation, facts in snapshot.facts_of(facts_type):
        return facts
    failures = [
        observation.failure for observation in snapshot.observations if observation.failure is not None
    ]
    raise UnavailableError(message.format(reason=failures[0].message if failures else "?"))


def require_possible(site: Site, selection: Selection) -> None:
    """Raise UsageError when something is asked for that cannot be looked at, here or in this way."""
    _refuse_unknown_servers(site, selection)
    _refuse_to_probe_unasked(selection)


def _refuse_unknown_servers(site: Site, selection: Selection) -> None:
    for server in selection.servers():
        if server not in site.settings.servers:
            raise UsageError(consistency.not_a_server(server, site.settings), hint="samaops config show")


def _refuse_to_probe_unasked(selection: Selection) -> None:
    names = [name for name in selection.only if name.partition("@")[0].endswith(".probe")]
    if names and not selection.probe:
        text = _("{names}: this is looked at with --probe alone, which writes and removes a marked value")
        raise UsageError(text.format(names=", ".join(names)), hint="samaops diagnose --probe")


def _refuse_to_skip_all(site: Site, selection: Selection) -> None:
    if selection.skip and registry.collectors(site, replace(selection, skip=())):
        text = _("--skip {names} leaves nothing to look at")
        raise UsageError(text.format(names=",".join(selection.skip)), hint="samaops diagnose --list-checks")


def _nothing_to_look_at(selection: Selection) -> str:
    if selection.only:
        return _("Nothing of {names} is configured").format(names=", ".join(selection.only))
    return _("The configuration names no system to look at")


def judge(snapshot: Snapshot, site: Site, selection: Selection = EVERYTHING) -> Report:
    """Turn what was observed into a report. Pure: the same snapshot gives the same report."""
    _refuse_unknown_thresholds(site, {observation.system for observation in snapshot.observations})
    findings = checks.judge(snapshot, site, selection)
    findings, causes = graph.explain(findings, site, snapshot.own_load)
    report = Report(
        command="diagnose",
        started_at=snapshot.taken_at,
        duration_ms=snapshot.duration_ms,
        deadline_hit=snapshot.deadline_hit,
        findings=findings,
        causes=causes,
        footprint=snapshot.footprint,
        deep=selection.deep,
        timings_ms=_timings(snapshot),
    )
    if not findings:
        return replace(report, errors=(_nothing_seen(),))
    return replace(report, errors=(_unreachable(),)) if _nothing_was_reached(snapshot, findings) else report


def keep_well_look(site: Site, deadline_seconds: float = DEFAULT_DEADLINE_SECONDS) -> None:
    """Look at everything, and keep the look where all is well."""
    snapshot = observe(site, EVERYTHING, deadline_seconds)
    since_well.keep_if_well(judge(snapshot, site), snapshot, site, EVERYTHING)


def judge_saved(
    path: Path, selection: Selection = EVERYTHING, site: Site | None = None, *, is_since_well: bool = False
) -> Report:
    """Judge a saved look, with the settings that travel in it unless others are given.

    ``selection`` narrows what was looked at then. It is compared with the well look that was kept at that time.
    """
    saved = store.load(path)
    wanted = narrowed(saved, selection)
    site = site or saved.site
    _refuse_unknown_servers(site, wanted)
    report = judge(saved.snapshot, site, wanted)
    return since_well.compared(report, saved.snapshot, site, saved.well, is_asked=is_since_well)


def narrowed(saved: Saved, selection: Selection) -> Selection:
    """Return what is to be judged of a saved look: what was looked at then, narrowed to what is asked for now."""
    return replace(
        selection if selection.only else saved.selection,
        skip=saved.selection.skip + selection.skip,
        deep=saved.selection.deep,
        probe=saved.selection.probe,
    )


def _timings(snapshot: Snapshot) -> dict[str, int]:
    timings: dict[str, int] = {}
    for observation in snapshot.observations:
        timings[observation.system] = max(observation.duration_ms, timings.get(observation.system, 0))
    return timings


def _nothing_was_reached(snapshot: Snapshot, findings: tuple[Finding, ...]) -> bool:
    """Return whether every look failed before anybody could say anything; what this site has not is no look."""
    if any(finding.status in (Status.OK, Status.WARNING) for finding in findings):
        return False
    looks = [
        observation
        for observation in snapshot.observations
        if observation.failure is None or observation.failure.kind is not FailureKind.ABSENT
    ]
    # That a server does not answer is a fact too, the only one that nobody has answered for.
    is_answered = any(look.failure is None and not isinstance(look.facts, ReachFacts) for look in looks)
    failures = [look.failure for look in looks if look.failure is not None]
    return bool(failures) and not is_answered and all(failure.is_unreached for failure in failures)


def _unreachable() -> ReportError:
    return ReportError(
        _("Nothing could be reached"),
        hint=_("check this machine's own network first: ip route; then try from another machine"),
        exit_code=UNAVAILABLE,
    )


def _nothing_seen() -> ReportError:
    """A check of what is not configured, or was not in the saved look: unknown, for nothing was seen to be well."""
    return ReportError(
        _("Nothing was looked at"), hint="samaops config show", exit_code=NAGIOS_CODE[Status.UNKNOWN]
    )


def _refuse_unknown_thresholds(site: Site, looked_at: Collection[str]) -> None:
    # The rules of a system that nobody looked at are not imported for this; `config check` looks at all.
    problems = [text for _code, text in unknown_thresholds(site, looked_at)]
    if problems:
        raise ConfigurationError("\n".join(problems))


def unknown_thresholds(site: Site, of_systems: Collection[str] = SYSTEMS) -> Iterator[tuple[str, str]]:
    """Yield each code in ``[thresholds]`` that is no check, with a sentence that names the nearest one.

    Codes of systems that are not among ``of_systems`` are believed.
    """
    for code in site.settings.thresholds:
        system = code.partition(".")[0]
        if system in SYSTEMS and system not in of_systems:
            continue
        known = tuple(rule.code for rule in rules((system,))) if system in SYSTEMS else ()
        if code not in known:
            yield code, f"thresholds.{code!r}: " + consistency.not_one_of(code, known or SYSTEMS)
