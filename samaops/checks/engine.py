"""Judge a whole snapshot: every rule against every observation it applies to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from samaops.checks import failures
from samaops.checks.registry import Context, Judgement, Rule, rules
from samaops.config.settings import Threshold
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import EVERYTHING, Selection
from samaops.model.finding import Finding
from samaops.model.report import worst_first
from samaops.site.site import Site

logger = logging.getLogger(__name__)


def judge(snapshot: Snapshot, site: Site, selection: Selection = EVERYTHING) -> tuple[Finding, ...]:
    """Return the findings of all selected rules, worst first."""
    site = site.seen_in(snapshot)
    observed = {observation.system for observation in snapshot.observations}
    known = rules(sorted(observed))
    chosen = [rule for rule in known if selection.includes(rule.code)]
    asked = [
        finding
        for rule in chosen
        for finding in _judge_rule(rule, snapshot, site)
        if selection.includes(rule.code, finding.server)
    ]
    unasked = [
        finding
        for rule in _access_rules_of_skipped(known, chosen, snapshot, selection)
        for finding in _judge_rule(rule, snapshot, site)
        if selection.concerns(finding.server)
    ]
    return worst_first(asked + unasked)


def _access_rules_of_skipped(
    known: tuple[Rule, ...], chosen: list[Rule], snapshot: Snapshot, selection: Selection
) -> list[Rule]:
    """Return the access rules that were not asked for, but without which it would stay open why others are skipped."""
    failed = {observation.facts_type for observation in snapshot.observations if observation.failure}
    silent = {rule.facts for rule in chosen if rule.facts.__name__ in failed}
    anything = Selection(skip=selection.skip)
    return [
        rule
        for rule in known
        if rule.access and rule.facts in silent and rule not in chosen and anything.includes(rule.code)
    ]


def _judge_rule(rule: Rule, snapshot: Snapshot, site: Site) -> Iterator[Finding]:
    limits = site.settings.thresholds.get(rule.code, Threshold())
    warning = rule.warning if limits.warning is None else limits.warning
    critical = rule.critical if limits.critical is None else limits.critical
    context = Context(rule, site, snapshot, f"{rule.system}/all", None, warning, critical, rule.unit)
    if rule.facts is Snapshot:
        yield from _answered(rule.judge, snapshot, context)
        return
    for observation in snapshot.observations:
        if observation.facts_type == rule.facts.__name__:
            about = context.about(observation.subject, server=observation.server)
            yield from _judge_observation(observation, about)


def _judge_observation(observation: Observation, context: Context) -> Iterator[Finding]:
    if observation.failure is not None:
        yield failures.of_observation(observation, observation.failure, context)
        return
    blocked = [part for part in context.rule.needs if part in observation.missing]
    if blocked:
        yield failures.of_part(blocked[0], observation.missing[blocked[0]], context)
        return
    absent = [part for part in context.rule.needs if _is_absent(part, observation.facts)]
    if absent:
        yield context.not_given(*absent)
        return
    yield from _answered(context.rule.judge, observation.facts, context)


def _is_absent(part: str, facts: Any) -> bool:
    """Return whether a look has neither a part nor the reason why: that is never nothing, and never well."""
    return part not in getattr(facts, "MAY_BE_UNASKED", ()) and getattr(facts, part, part) is None


def _answered(judge: Judgement[Any], facts: Any, context: Context) -> Iterator[Finding]:
    """Yield what a check finds; one that fails costs itself alone: what it had not yet said is unknown."""
    findings: list[Finding] = []
    try:
        findings.extend(judge(facts, context))  # what was found before it failed is kept
    except Exception as error:
        logger.exception("the check %s of %s failed", context.rule.code, context.subject)
        findings = [finding for finding in findings if finding.subject != context.subject]
        findings.append(failures.of_check(error, context))
    yield from findings
