"""The plan that clears the policy which makes a queue drop messages, and where it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.rabbitmq import BrokerQueue, Policy, RabbitMQFacts
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import QUEUE, SETTINGS, broker, snapshot
from tests.unit.checks.judging import REFUSED, failed

POLICY = Policy("limite'; reboot", "^low_priority$", "queues", 3, {"max-length": 5, "overflow": "drop-head"})
LIMITED = replace(QUEUE, limits={"max-length": 5}, policy=POLICY.name, limiting_policy=POLICY)


def clear(queue: BrokerQueue) -> Plan:
    return verbs.find("queue clear-policy").plan(snapshot(broker(queue)), Site(SETTINGS), ("low_priority",))


def test_the_policy_is_cleared_by_its_name_and_the_undo_puts_all_of_it_back() -> None:
    plan = clear(LIMITED)
    (step,) = plan.steps
    assert step.risk is Risk.SAFE
    assert step.operation.command.endswith("""rabbitmqctl -q clear_policy -p / 'limite'"'"'; reboot'""")
    assert step.undo is not None
    assert "--priority 3 --apply-to queues" in step.undo.command
    assert step.undo.command.endswith("""'^low_priority$' '{"max-length": 5, "overflow": "drop-head"}'""")
    assert plan.cures == ("rabbitmq.queue.arguments@rabbitmq/low_priority",)
    assert readings.hold(step.before, snapshot(broker(LIMITED)))
    assert not readings.hold(step.after, snapshot(broker(LIMITED)))
    assert readings.hold(step.after, snapshot(broker(QUEUE)))


def test_a_queue_without_limits_has_nothing_to_clear() -> None:
    assert clear(QUEUE).nothing_to_do


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"own_limits": ("max-length",)}, "made anew"),
        ({"operator_policy": "all queues"}, "operator policy"),
        ({"limiting_policy": None}, "policymaker"),
        ({"limiting_policy": replace(POLICY, definition={"max-length": 5, "ha-mode": "all"})}, "ha-mode"),
        ({"limiting_policy": replace(POLICY, pattern="x" * 200)}, "too long"),
    ],
)
def test_what_would_not_help_or_could_not_be_put_back_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        clear(replace(LIMITED, **changes))


def test_other_queues_of_the_same_policy_are_named() -> None:
    facts = broker(LIMITED).facts
    assert isinstance(facts, RabbitMQFacts)
    both = replace(facts, queues=(LIMITED, replace(LIMITED, name="normal")))
    seen = replace(broker(LIMITED), facts=both)
    plan = verbs.find("queue clear-policy").plan(snapshot(seen), Site(SETTINGS), ("low_priority",))
    assert "The policy also holds for: normal" in plan.notes


def test_a_broker_that_cannot_be_seen_and_a_queue_that_nobody_knows_are_said() -> None:
    verb = verbs.find("queue clear-policy")
    with pytest.raises(UnavailableError):
        verb.plan(snapshot(failed("rabbitmq/api", RabbitMQFacts, REFUSED)), Site(SETTINGS), ("low_priority",))
    with pytest.raises(UsageError):
        verb.codes(Site(SETTINGS), ("low_priorty",))
