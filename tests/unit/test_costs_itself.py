"""A check, a cause or a portrait that fails costs itself alone, and never the report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.causes import graph
from samaops.causes.effects import Effect
from samaops.causes.root import Declaration, Rank, Root, each
from samaops.causes.unknown import UNKNOWN_FAULT
from samaops.causes.view import View
from samaops.checks import engine, registry
from samaops.checks.registry import Context, Rule
from samaops.config.settings import Settings
from samaops.facts.observation import Snapshot
from samaops.facts.redis import RedisFacts
from samaops.facts.selection import Selection
from samaops.model.cause import Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.portraits import portrait
from samaops.site.site import Site
from tests.unit.checks.judging import TAKEN_AT, seen
from tests.unit.checks.test_redis import HEALTHY

SITE = Site(Settings())
SNAPSHOT = Snapshot(TAKEN_AT, (seen("redis/workers", HEALTHY, "workers"),))
CODE = "redis.latency.high"


def with_judge(monkeypatch: pytest.MonkeyPatch, judge: Any, **changes: Any) -> tuple[Finding, ...]:
    """Judge all of Redis, one of its checks by another function."""
    (rule,) = (rule for rule in registry.rules(("redis",)) if rule.code == CODE)
    broken: Rule = replace(rule, judge=judge, **changes)
    monkeypatch.setitem(registry._rules, CODE, broken)
    return engine.judge(SNAPSHOT, SITE, Selection())


@pytest.mark.parametrize("facts", [RedisFacts, Snapshot])
def test_a_check_that_fails_is_one_unknown_and_all_others_are_as_they_were(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, facts: type
) -> None:
    honest = engine.judge(SNAPSHOT, SITE, Selection())

    def fails(_facts: object, _context: Context) -> Iterator[Finding]:
        raise KeyError("host")

    findings = with_judge(monkeypatch, fails, facts=facts)
    (broken,) = (finding for finding in findings if finding.code == CODE)
    assert (broken.status, broken.evidence) == (Status.UNKNOWN, {"error": "KeyError"})
    assert "bug in samaops (KeyError)" in broken.detail
    others = [finding for finding in honest if finding.code != CODE]
    assert [finding for finding in findings if finding.code != CODE] == others
    assert any(record.exc_info for record in caplog.records)


def test_what_a_check_found_before_it_failed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_facts: object, context: Context) -> Iterator[Finding]:
        yield context.about("redis/first").crit("found")
        yield context.ok("well so far")
        raise ZeroDivisionError

    found = [finding for finding in with_judge(monkeypatch, fails) if finding.code == CODE]
    assert {finding.subject: finding.status for finding in found} == {
        "redis/first": Status.CRITICAL,
        "redis/workers": Status.UNKNOWN,
    }
    assert len(found) == 2


def test_a_part_that_is_not_there_without_a_reason_is_unknown_and_never_well() -> None:
    absent = Snapshot(TAKEN_AT, (seen("redis/workers", replace(HEALTHY, sample=None), "workers"),))
    (rule,) = (rule for rule in registry.rules(("redis",)) if rule.code == "redis.keys.big")
    context = Context(replace(rule, needs=("sample",)), SITE, absent, "redis/workers")
    (finding,) = engine._judge_observation(absent.observations[0], context)
    assert (finding.status, finding.evidence) == (Status.UNKNOWN, {"absent": ["sample"]})


FULL = Finding("redis.memory.high", Status.CRITICAL, "redis/workers", "Redis is full", server="workers")
SLOW = Finding(CODE, Status.WARNING, "redis/workers", "Redis is slow", server="workers")


def declared(id_: str, on: str, find: Any, *effects: Effect, rank: Rank = Rank.STATE) -> Declaration:
    return Declaration((id_,), each(on), rank, None, effects, find)


def fails(_finding: Finding, _view: View) -> Root:
    raise AttributeError("name")


def explained(monkeypatch: pytest.MonkeyPatch, *declarations: Declaration) -> list[tuple[str, str, Verdict]]:
    monkeypatch.setattr(graph, "DECLARATIONS", declarations)
    _findings, causes = graph.explain((FULL, SLOW), SITE)
    return [(cause.id, cause.explains[0], cause.verdict) for cause in causes]


def test_a_cause_that_fails_is_inconclusive_and_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = declared("slow", SLOW.code, lambda _finding, _view: Root())
    assert explained(monkeypatch, declared("full", FULL.code, fails), slow) == [
        (UNKNOWN_FAULT, FULL.key, Verdict.INCONCLUSIVE),
        ("slow", SLOW.key, Verdict.CONFIRMED),
    ]


def test_a_cause_that_fails_is_not_mentioned_where_another_explains_its_finding(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = declared("slow", SLOW.code, lambda _finding, _view: Root(), Effect(FULL.code), rank=Rank.CONSUMER)
    named = explained(monkeypatch, declared("full", FULL.code, fails), slow)
    assert named == [("slow", SLOW.key, Verdict.CONFIRMED)]
    assert any(record.exc_info for record in caplog.records)


def test_effects_that_fail_explain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_finding: Finding) -> bool:
        raise TypeError

    slow = declared("slow", SLOW.code, lambda _finding, _view: Root(), Effect(FULL.code, when=breaks))
    full = declared("full", FULL.code, lambda _finding, _view: Root(), rank=Rank.WORK)
    assert {id_ for id_, _key, _verdict in explained(monkeypatch, slow, full)} == {"slow", "full"}


def test_a_portrait_that_fails_is_not_compared(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(_facts: object) -> Any:
        raise ValueError

    monkeypatch.setitem(portrait._portrayals, "RedisFacts", breaks)
    with caplog.at_level(logging.ERROR):
        assert portrait.portrait_of(SNAPSHOT) == {}
    assert caplog.records
