"""Plans as the journal keeps them, those of the version included whose operations were words for a shell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from samaops.changes.run import operations
from samaops.config.settings import Settings
from samaops.journal.plans import plan_from, to_plain
from samaops.model.encoding import MisfitError
from samaops.model.plan import Condition, Operation, Plan, Risk, Step, shell
from samaops.site.site import Site

SITE = Site(
    Settings.model_validate({"servers": {"api": {"address": "10.0.0.2"}}, "rabbitmq": {"server": "api"}})
)


def old_step(operation: Mapping[str, Any], undo: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a plan of one step as the version before wrote it: no ``servers``, numbers as strings."""
    step = {
        "id": "x", "title": "X", "risk": "safe", "operation": operation, "undo": undo, "no_undo": "", "needs": [],
        "before": [{"reading": "rabbitmq.has_at_least", "of": ["low_priority", "8"], "value": True, "text": "t"}],
        "after": [], "is_undone_only_if_seen": False, "is_undo_final": False,
    }  # fmt: skip
    return {
        "verb": "v", "arguments": [], "title": "T", "target": "t", "steps": [step], "cures": [], "nothing_to_do": "",
        "undoes": None, "notes": [],
    }  # fmt: skip


def old(kind: str, text: str, server: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "text": text, "server": server, "timeout_seconds": 30.0}


@pytest.mark.parametrize(
    ("kind", "text", "arguments"),
    [
        ("shell", "docker exec 'a b' true", {"command": "docker exec 'a b' true"}),
        ("rabbitmq.take", "low_priority 8 '/tmp/a b'", {"queue": "low_priority", "most": 8, "file": "/tmp/a b"}),
        ("rabbitmq.restore", "low_priority /tmp/f", {"queue": "low_priority", "file": "/tmp/f"}),
        (
            "rabbitmq.park",
            "normal samaops.parked.normal 2026Z 7.5 --redelivered",
            {
                "queue": "normal", "holding": "samaops.parked.normal", "label": "2026Z", "seconds": 7.5,
                "which": "--redelivered",
            },
        ),
        (
            "rabbitmq.unpark",
            "normal samaops.parked.normal 2026Z 'id; rm'",
            {"queue": "normal", "holding": "samaops.parked.normal", "label": "2026Z", "which": "id; rm"},
        ),
        (
            "canary.publish",
            "normal app.canary id-1 30000",
            {"queue": "normal", "task": "app.canary", "task_id": "id-1", "lifetime_ms": 30000},
        ),
    ],
)  # fmt: skip
def test_an_old_operation_means_the_same(kind: str, text: str, arguments: Mapping[str, Any]) -> None:
    operation = old(kind, text, "api" if kind == "shell" else None)
    (step,) = plan_from(old_step(operation, operation)).steps
    assert step.operation == step.undo
    assert (step.operation.kind, step.operation.arguments) == (kind, arguments)
    assert step.operation.timeout_seconds == 30.0
    assert operations.lines(step.operation, SITE), "it can still be shown"


def test_an_old_step_says_nothing_of_servers_and_keeps_its_numbers_as_strings() -> None:
    (step,) = plan_from(old_step(old("shell", "true", "api"))).steps
    assert step.servers is None
    assert step.before[0].of == ("low_priority", "8")


def test_what_is_written_now_comes_back_as_it_was() -> None:
    condition = Condition("rabbitmq.has_at_least", ("q", 8), True, "eight")
    operation = Operation("rabbitmq.restore", {"queue": "q", "file": "/tmp/f"}, timeout_seconds=600.0)
    step = Step("x", "X", Risk.SAFE, operation, (condition,), (), undo=shell("true", "api"), servers=("api",))
    plan = Plan("v", ("a",), "T", "t", (step,))
    assert plan_from(json.loads(json.dumps(to_plain(plan)))) == plan


@pytest.mark.parametrize(
    "operation", [old("rabbitmq.take", "too few"), old("rabbitmq.take", "q x f"), old("new", "x")]
)
def test_what_is_no_operation_is_refused(operation: Mapping[str, Any]) -> None:
    with pytest.raises(MisfitError):
        plan_from(old_step(operation))
