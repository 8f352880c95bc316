"""What of RabbitMQ's definitions is made again, in which order, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert, to_builtins
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.restoring.broker import Undefining
from samaops.changes.run.restoring_broker import undefine
from samaops.changes.undo import MADE, of_what_was_made
from samaops.errors import UsageError
from samaops.facts.broker_definitions import BrokerFacts, Definition, defined
from samaops.facts.observation import Observation
from samaops.model.plan import Plan, Risk
from tests.unit.changes.test_plans import snapshot
from tests.unit.changes.test_restore_plans import ID, NOW, SITE
from tests.unit.checks.judging import seen

USER, QUEUE = Definition("users", ("app",)), Definition("queues", ("/", "normal"))
BINDING = Definition("bindings", ("/", "events", "queue", "normal", "key", "{}"))
POLICY = Definition("policies", ("other", "ttl"))
FACTS = BrokerFacts(
    ID, NOW - 7200, NOW, "rabbitmq/definitions.json.age", "a" * 64, (USER, QUEUE, BINDING), (POLICY,), 9
)


def observed(**changes: Any) -> Observation:
    return seen("restore/db", replace(FACTS, **changes), "db")


def planned(*arguments: str, **changes: Any) -> Plan:
    return verbs.find("restore broker").plan(snapshot(observed(**changes)), SITE, arguments)


def test_each_kind_is_a_step_after_those_that_it_needs_and_holds_no_value() -> None:
    plan = planned("latest")
    assert [step.title for step in plan.steps] == [
        "Make users again: app",
        "Make queues again: normal",
        "Make bindings again: events -> normal (key)",
    ]
    assert {step.risk for step in plan.steps} == {Risk.DISRUPTIVE}
    assert set(plan.steps[0].operation.arguments) == {"id", "part", "sha256", "missing"}
    assert "Left as they are, and others in the backup: policies ttl in other" in plan.notes
    assert any("come back empty" in note for note in plan.notes)


def test_kinds_are_chosen_and_where_none_lacks_nothing_is_done() -> None:
    assert [step.about for step in planned("latest", "bindings").steps] == ["rabbitmq/bindings"]
    assert "lacks none" in planned("latest", missing=()).nothing_to_do
    with pytest.raises(UsageError, match="have no messages"):
        verbs.find("restore broker").codes(SITE, ("latest", "messages"))


def test_what_comes_and_goes_is_no_definition_to_keep() -> None:
    lasting = {"vhost": "/", "durable": True, "auto_delete": False}
    bound = {"vhost": "/", "source": "x", "destination_type": "queue", "routing_key": "", "arguments": {}}
    found = defined({
        "queues": [{**lasting, "name": "q"}, {**lasting, "name": "reply", "auto_delete": True}],
        "bindings": [{**bound, "destination": "q"}, {**bound, "destination": "reply"}],
        "global_parameters": [{"name": "cluster_name", "value": "rabbit@one"}],
        "policies": "odd",
    })  # fmt: skip
    assert [each.name for each in found] == ["q", "x -> q"]


def test_an_undo_knows_what_was_made_or_that_it_does_not() -> None:
    step = planned("latest").steps[1]
    assert step.undo is not None
    assert step.undo.arguments[MADE] is None
    made = of_what_was_made(step.undo, {MADE: [to_builtins(QUEUE)]})
    assert convert(made.arguments, Undefining).made == (QUEUE,)
    outcome = undefine(of_what_was_made(step.undo, {}), SITE)
    assert not outcome.is_ok
    assert "what of queues was made is not known" in outcome.output
    other = replace(step.undo, arguments={"command": "x"})
    assert of_what_was_made(other, {MADE: []}) == other
