"""Which sessions of the database are ended, and which never."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Observation
from samaops.facts.postgresql import Backend
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
    query="SELECT 1",
)  # fmt: skip


def observed(*backends: Backend) -> Observation:
    return seen("postgresql/db", replace(HEALTHY, backends=backends), "db")


def planned(verb: str, *arguments: str, backend: Backend = BACKEND) -> Plan:
    return verbs.find(verb).plan(snapshot(observed(backend)), SITE, arguments)


def test_a_clients_statement_is_cancelled() -> None:
    plan = planned("db cancel", "41")
    (step,) = plan.steps
    assert step.risk is Risk.DISRUPTIVE
    assert dict(step.operation.arguments["values"]) == {"pid": 41, "started": BACKEND.started}
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
        ({"is_superuser": True, "user": "postgres"}, "the superuser postgres"),
        ({"may_signal": False}, "pg_signal_backend"),
        ({"may_signal": None}, "pg_signal_backend"),
    ],
)
def test_what_must_not_be_ended_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        planned("db cancel", "41", backend=replace(BACKEND, **changes))


def test_who_works_on_nothing_has_nothing_to_cancel() -> None:
    idle = planned("db cancel", "41", backend=replace(BACKEND, state="idle in transaction"))
    assert "samaops db terminate 41" in idle.nothing_to_do
    assert "no session has the pid 7" in planned("db cancel", "7").nothing_to_do


def test_a_word_that_is_no_number_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        verbs.find("db cancel").codes(SITE, ("all",))
