"""Judge facts given as data, without observing anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct
from msgspec.structs import replace

from samaops.checks.engine import judge
from samaops.checks.registry import rules
from samaops.config.settings import Settings
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.probing import Written
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site

NOT_ALLOWED = Failure(FailureKind.PERMISSION, "not allowed", "somewhere")


def observed(facts: object, subject: str, missing: tuple[str, ...] = ()) -> Observation:
    """Return a successful observation of these facts."""
    parts = dict.fromkeys(missing, NOT_ALLOWED)
    return Observation(subject.partition("/")[0], subject, None, type(facts).__name__, facts, missing=parts)


def failed(facts_type: type, subject: str, kind: FailureKind) -> Observation:
    """Return an observation that failed."""
    failure = Failure(kind, "the other side's own words", "connect")
    return Observation(subject.partition("/")[0], subject, None, facts_type.__name__, failure=failure)


def findings(settings: Settings, *observations: Observation) -> dict[str, Finding]:
    """Judge observations; return the findings by ``code@subject``."""
    snapshot = Snapshot(datetime.now(timezone.utc), observations)
    judged = judge(snapshot, Site(settings))
    by_key = {finding.key: finding for finding in judged}
    assert len(by_key) == len(judged), "code and subject must be unique in a report"
    return by_key


def with_fields(facts: Any, changes: Mapping[str, Any]) -> Any:
    """Return facts with changed fields; a name with dots reaches into nested facts."""
    for name, value in changes.items():
        first, _dot, rest = name.partition(".")
        inner = getattr(facts, first)
        if rest:
            assert isinstance(inner, Struct), name
            facts = replace(facts, **{first: with_fields(inner, {rest: value})})
        else:
            facts = replace(facts, **{first: value})
    return facts


def of_files(system: str) -> dict[str, set[Status]]:
    """Return which results the cases in ``tests/data/checks`` have for each check of a system."""
    seen: dict[str, set[Status]] = {}
    for file in (Path(__file__).parents[2] / "data" / "checks" / system).glob("*.yaml"):
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        for case in document["cases"]:
            wanted = case["expects"] if isinstance(case["expects"], list) else [case["expects"]]
            seen.setdefault(document["check"], set()).update(Status(each["status"]) for each in wanted)
    return seen


def uncovered(system: str, cases: Mapping[str, set[Status]]) -> list[str]:
    """Return the rules of a system that have a limit, or a case, without a case for it, here or in a file of cases."""
    lacking = []
    in_files = of_files(system)
    for rule in rules((system,)):
        if issubclass(rule.facts, Written):
            continue  # all of them: test_probes
        seen = cases.get(rule.code, set()) | in_files.get(rule.code, set())
        wanted = {Status.OK}
        wanted |= {Status.WARNING} if rule.warning is not None else set()
        wanted |= {Status.CRITICAL} if rule.critical is not None else set()
        lacking += [f"{rule.code}: {status}" for status in wanted - seen]
        if len(seen) < 2 and not rule.access:
            lacking.append(f"{rule.code}: nothing but {seen}")
    return lacking
