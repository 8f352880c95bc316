"""Which sessions of the database are ended, and which never."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Observation
from samaops.facts.postgresql_changes import Backend, PreparedToEnd
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import seen
from tests.unit.checks.test_postgresql import HEALTHY

SITE = Site(Settings.model_validate({"postgresql": {}, "servers": {"db": {"address": "10.0.0.1"}}}))
BACKEND = Backend(
    pid=41, started="2026-11-28 10:00:00.5+00", is_ours=False, type="client backend", user="samaconso_user",
    is_superuser=False, may_signal=True, database="samaconso", application="api", client="10.0.0.2",
    state="active", wait="", blocked_by=(), transaction_seconds=95.0, query_seconds=95.0, state_seconds=95.0,
    query="SELECT 1", query_started="2026-11-28 10:01:00.5+00",
)  # fmt: skip
IDLE = replace(BACKEND, state="idle in transaction")
PREPARED = PreparedToEnd(
    "batch-7", "2026-11-28 09:00:00+00", "samaops", "samaconso", True, True, 3600.0, (42,)
)


def observed(*backends: Backend, prepared: tuple[PreparedToEnd, ...] = ()) -> Observation:
    return seen("postgresql/db", replace(HEALTHY, backends=backends, prepared_to_end=prepared), "db")


def waiting(pid: int, *blockers: int) -> Backend:
    return replace(BACKEND, pid=pid, wait="Lock:transactionid", blocked_by=blockers)


def planned(verb: str, *arguments: str, backend: Backend = BACKEND) -> Plan:
    return verbs.find(verb).plan(snapshot(observed(backend)), SITE, arguments)


def test_a_clients_statement_is_cancelled() -> None:
    plan = planned("db cancel", "41")
    (step,) = plan.steps
    assert step.risk is Risk.DISRUPTIVE
    assert dict(step.operation.arguments["values"]) == {
        "pid": 41,
        "started": BACKEND.started,
        "query_started": BACKEND.query_started,
    }
    assert "api at 10.0.0.2, in this transaction for 95 s" in plan.notes[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_ours": True}, "our own session"),
        ({"type": "autovacuum worker"}, "no client but autovacuum worker"),
        ({"type": "walsender"}, "no client but walsender"),
        ({"application": "pg_dump"}, "pg_dump works in it"),
        ({"application": "samaops db vacuum"}, "samaops db vacuum works in it"),
        ({"application": "pgbackrest [backup]"}, "pgbackrest"),
        ({"application": "Patroni heartbeat"}, "Patroni"),
        ({"is_superuser": True, "user": "postgres"}, "the superuser postgres"),
        ({"may_signal": False}, "pg_signal_backend"),
        ({"may_signal": None}, "pg_signal_backend"),
    ],
)
def test_what_must_not_be_ended_is_refused(changes: dict[str, Any], reason: str) -> None:
    for verb in ("db cancel", "db terminate"):
        with pytest.raises(RefusedError, match=reason):
            planned(verb, "41", backend=replace(BACKEND, **changes))


def test_who_works_on_nothing_has_nothing_to_cancel() -> None:
    idle = planned("db cancel", "41", backend=replace(BACKEND, state="idle in transaction"))
    assert "samaops db terminate 41" in idle.nothing_to_do
    assert "no session has the pid 7" in planned("db cancel", "7").nothing_to_do


def test_a_word_that_is_no_number_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        verbs.find("db cancel").codes(SITE, ("all",))


def test_who_waits_behind_a_session_is_told_before_it_is_cancelled() -> None:
    chain = snapshot(observed(BACKEND, waiting(42, 41), waiting(43, 42), waiting(44, 7)))
    plan = verbs.find("db cancel").plan(chain, SITE, ("41",))
    assert plan.notes[1] == "2 sessions wait behind it: pid 42, 43"


def test_a_statement_is_cancelled_before_its_session_is_ended() -> None:
    (step,) = planned("db terminate", "41").steps
    assert step.operation.arguments["state"] == "active"
    assert "Cancel the statement of pid 41 (samaconso_user / api / 10.0.0.2); end its session" in step.title
    assert [condition.reading for condition in step.after] == ["postgresql.still_does"]


def test_who_idles_in_a_transaction_has_nothing_to_cancel_and_its_session_must_be_gone() -> None:
    (step,) = planned("db terminate", "41", backend=IDLE).steps
    assert (
        step.title
        == "End the session of pid 41 (samaconso_user / api / 10.0.0.2), idle in transaction for 95 s"
    )
    assert [condition.reading for condition in step.after] == ["postgresql.session_lives"]
    assert "rolled back" in step.no_undo
    assert "no session has the pid 7" in planned("db terminate", "7").nothing_to_do


def root_of(*backends: Backend, prepared: tuple[PreparedToEnd, ...] = ()) -> Plan:
    return verbs.find("db terminate").plan(
        snapshot(observed(*backends, prepared=prepared)), SITE, ("--root",)
    )


def test_the_root_is_whoever_does_not_wait_and_blocks_most() -> None:
    other = replace(IDLE, pid=50)
    plan = root_of(waiting(43, 42), waiting(42, 41), IDLE, other, waiting(51, 50))
    assert [step.operation.arguments["pid"] for step in plan.steps] == [41]
    assert "other roots: pid 50" in plan.notes[-1]


def test_without_a_root_nothing_is_ended() -> None:
    assert root_of(BACKEND).nothing_to_do == "no session waits for a lock"
    assert "in a circle" in root_of(waiting(41, 42), waiting(42, 41)).nothing_to_do


def test_a_root_that_must_not_be_ended_is_refused() -> None:
    with pytest.raises(RefusedError, match="no client but autovacuum worker"):
        root_of(replace(IDLE, type="autovacuum worker"), waiting(42, 41))


def test_a_prepared_transaction_as_root_is_rolled_back_by_its_gid() -> None:
    idle = replace(PREPARED, gid="other", blocks=())
    plan = root_of(waiting(42, 0), prepared=(idle, PREPARED))
    (step,) = plan.steps
    assert (plan.target, step.risk) == ("batch-7", Risk.DESTRUCTIVE)
    assert dict(step.operation.arguments["values"]) == {"gid": "batch-7"}
    assert step.operation.arguments["role"] == ""
    of_owner = root_of(waiting(42, 0), prepared=(replace(PREPARED, owner="samaconso_user"),))
    assert of_owner.steps[0].operation.arguments["role"] == "samaconso_user"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_here": False, "database": "billing"}, "in the database billing, and ends only there"),
        ({"may_end": False, "owner": "postgres"}, "only its owner postgres or a superuser may"),
        ({"blocks": ()}, "not plain which one: batch-7"),
    ],
)
def test_a_prepared_transaction_that_we_may_not_end_is_refused_with_who_may(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        root_of(waiting(42, 0), prepared=(replace(PREPARED, **changes),))


def test_all_that_idle_in_a_transaction_are_ended_but_those_that_must_not() -> None:
    backends = (
        IDLE,
        replace(IDLE, pid=42, state="idle in transaction (aborted)", state_seconds=300.0),
        replace(IDLE, pid=43, application="pg_dump"),
        replace(IDLE, pid=44, state_seconds=59.0),
        replace(IDLE, pid=45, state="idle"),
    )
    plan = verbs.find("db terminate").plan(
        snapshot(observed(*backends)), SITE, ("--idle-in-transaction", "60")
    )
    assert [step.operation.arguments["pid"] for step in plan.steps] == [42, 41]
    assert plan.steps_stand_alone
    assert any("pid 43 is not touched: pg_dump works in it" in note for note in plan.notes)


@pytest.mark.parametrize("words", [("--idle-in-transaction", "soon"), ("-1",), ("\u0661",)])
def test_what_is_no_number_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        verbs.find("db terminate").codes(SITE, words)
