"""A cause says the reason that the failing part has written, and what can be done on what it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from samaops.causes import graph
from samaops.causes.reasons import _ADVICE
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.causes.test_roots import findings_of, settings

CASES = Path(__file__).parents[2] / "data" / "causes"
WORDS = "its user or password is refused: «FATAL: …»"


def cause_of(*findings: Finding) -> Cause:
    _findings, (cause,) = graph.explain(findings, Site(settings()))
    return cause


def ended(code: str = "docker.container.restarting", **evidence: object) -> Finding:
    return Finding(
        code, Status.CRITICAL, "docker/samaconso_api_2", "it ends", server="api", evidence=evidence
    )


@pytest.mark.parametrize("code", ["docker.container.restarting", "docker.container.stopped"])
def test_a_container_that_ends_is_named_with_its_reason_and_the_next_command_fits_it(code: str) -> None:
    cause = cause_of(ended(code, exit_code=1, reason="login", words=WORDS))
    assert cause.title.endswith(WORDS)
    assert cause.verdict is Verdict.CONFIRMED
    assert "docker inspect" in cause.fixes[0].commands[0]


@pytest.mark.parametrize("evidence", [{}, {"reason": "", "words": "its last words: «bye»"}])
def test_without_a_known_reason_why_it_ends_is_open(evidence: dict[str, str]) -> None:
    cause = cause_of(ended(exit_code=1, **evidence))
    assert cause.verdict is Verdict.INCONCLUSIVE
    assert evidence.get("words", "keeps crashing") in cause.title


def test_on_a_container_that_does_not_run_nothing_is_executed() -> None:
    for kind, (_text, look) in _ADVICE.items():
        assert "docker exec" not in look, kind


def test_the_member_s_reason_and_its_difference_stand_with_it() -> None:
    case = json.loads((CASES / "environment_of_one_member_differs.json").read_text(encoding="utf-8"))
    cause = cause_of(*findings_of(case))
    assert cause.verdict is Verdict.CONFIRMED
    assert any("password is refused" in words for words in cause.speaks_for)


def test_a_worker_that_is_refused_says_by_what() -> None:
    case = json.loads((CASES / "worker_is_refused_by_the_broker.json").read_text(encoding="utf-8"))
    assert cause_of(*findings_of(case)).title.endswith("«ACCESS_REFUSED»")


@pytest.mark.parametrize(
    ("kind", "age", "is_told"), [("space", 10, True), ("space", 900, False), ("absent", 10, False)]
)
def test_a_service_is_down_for_what_ended_it_and_not_for_what_a_client_was_refused(
    kind: str, age: int, is_told: bool
) -> None:
    down = Finding(
        "postgresql.service.unreachable",
        Status.CRITICAL,
        "postgresql/db",
        "",
        "db",
        evidence={"kind": "refused"},
    )
    evidence = {"reason": kind, "words": "why: «PANIC»", "age_seconds": age}
    log = Finding("servers.log.trouble", Status.OK, "postgresql/db", "", "db", evidence=evidence)
    assert cause_of(down, log).title.endswith("why: «PANIC»") is is_told


def test_what_ended_again_and_again_and_serves_since_is_not_said_to_crash() -> None:
    lately: dict[str, Any] = {
        "state": "running",
        "restart_count": 6,
        "reason": "",
        "words": "its last words: «Uvicorn running»",
    }
    up = ended(up_seconds=48.0, **lately)
    cause = cause_of(up)
    assert "has run again for 48 s, after 6 restarts" in cause.title
    assert cause.verdict is Verdict.INCONCLUSIVE
    assert "Uvicorn" not in " ".join((cause.title, *cause.speaks_for))
    silent = Finding(
        "api.member.unreachable", Status.CRITICAL, "api/api_2", "", "api", evidence={"kind": "refused"}
    )
    assert "keeps crashing" in cause_of(up, silent).title, "what is in it does not answer"
    assert "keeps crashing" in cause_of(ended(up_seconds=9.0, **lately)).title, "it may end at once"


def test_who_has_the_port_of_a_member_is_looked_for_on_that_port() -> None:
    cause = cause_of(ended(exit_code=1, reason="port", words=WORDS))
    assert cause.id == "container-port-taken"
    assert "ss -ltnp 'sport = :8002'" in cause.fixes[0].commands[0]


@pytest.mark.parametrize(("purgeable", "restarts"), [(4_000_000, True), (80_000_000, False), (None, False)])
def test_where_the_allocator_has_little_to_give_back_the_restart_stands_beside_it(
    purgeable: int | None, restarts: bool
) -> None:
    held = {"ratio": 19.8, "used_memory": 4_500_000, "resident": 89_000_000, "purgeable": purgeable}
    wide = Finding("redis.fragmentation.high", Status.WARNING, "redis/workers", "", "workers", evidence=held)
    commands = [command for fix in cause_of(wide).fixes for command in fix.commands]
    assert commands[0].endswith("redis purge-memory")
    assert any("docker restart samaconso_redis" in command for command in commands) is restarts
