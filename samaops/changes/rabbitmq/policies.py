"""Change of RabbitMQ: take away the policy that makes a queue drop messages."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import Verb
from samaops.config import consistency
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import LIMITS, TEXT_CHARACTERS, BrokerQueue, Policy, RabbitMQFacts
from samaops.i18n import _
from samaops.model.plan import SHELL, Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site.site import Site

_QUEUES = ("rabbitmq.queue",)
CONTROL_SECONDS = 30.0


@reading("rabbitmq_policies.holds", codes=_QUEUES)
def holds(snapshot: Snapshot, queue: str, policy: str) -> Scalar:
    """Return whether a policy is the one that holds for a queue."""
    return _queue(snapshot, queue).policy == policy


def _queue(snapshot: Snapshot, name: str) -> BrokerQueue:
    found = facts_in(snapshot, RabbitMQFacts).queue(name)
    if found is None:
        raise UnreadableError(_("the broker shows no queue {queue}").format(queue=name))
    return found


def _codes(site: Site, arguments: Sequence[str]) -> tuple[str, ...]:
    (queue,), broker = arguments, _broker(site)
    if queue not in broker.queues:
        text = _("The configuration knows no queue {queue!r}")
        raise UsageError(text.format(queue=queue), hint=consistency.not_one_of(queue, broker.queues))
    if broker.container is None:
        raise RefusedError(_("[rabbitmq] names no container: rabbitmqctl cannot be called"))
    return _QUEUES


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None:
        raise UsageError(_("[rabbitmq] is not configured"), hint="samaops config show")
    return site.settings.rabbitmq


def plan_clear(snapshot: Snapshot, site: Site, arguments: Sequence[str]) -> Plan:
    """Plan that the policy which limits a queue is cleared.

    Guards: it can be put back exactly as it is, it sets nothing but limits, and the queue's own arguments do not
    limit it as well.
    """
    name = arguments[0]
    try:
        queue = _queue(snapshot, name)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the queue: {reason}").format(reason=error)) from error
    title = _("Clear the policy {policy} that limits the queue {queue}").format(
        policy=queue.policy, queue=name
    )
    cures = (f"rabbitmq.queue.arguments@rabbitmq/{name}",)
    plan = Plan("queue clear-policy", (name,), title, target=queue.policy or name, cures=cures)
    if not queue.limits:
        return replace(plan, nothing_to_do=_("no policy limits the queue {queue}").format(queue=name))
    policy = _guarded(queue)
    notes = tuple(_notes(snapshot, queue))
    return replace(plan, steps=(_step(_broker(site), queue, policy, title),), notes=notes)


def _guarded(queue: BrokerQueue) -> Policy:
    """Return the policy to clear. Raises RefusedError where that would not help, or could not be undone."""
    words = {"queue": queue.name, "policy": queue.policy, "names": ", ".join(queue.own_limits)}
    if queue.own_limits:
        text = _("The arguments of {queue} itself limit it ({names}): they go only with the queue made anew")
        raise RefusedError(text.format(**words))
    if queue.operator_policy:
        text = _("The operator policy {policy} holds for {queue}: its owner set it for everybody")
        raise RefusedError(text.format(policy=queue.operator_policy, queue=queue.name))
    policy = queue.limiting_policy
    if policy is None:
        text = _(
            "Our user may not see the policy {policy} (it needs the tag policymaker): it could not be put back"
        )
        raise RefusedError(text.format(**words))
    others = sorted(set(policy.definition) - set(LIMITS))
    if others:
        text = _("The policy {policy} also sets {names}: change it by hand, without its limits")
        raise RefusedError(text.format(policy=policy.name, names=", ".join(others)))
    texts = (policy.name, policy.pattern, *map(str, policy.definition.values()))
    if any(len(text) >= TEXT_CHARACTERS for text in texts):
        text = _("The policy {policy} is too long to be put back as it is: change it by hand")
        raise RefusedError(text.format(**words))
    return policy


def _notes(snapshot: Snapshot, queue: BrokerQueue) -> Iterator[str]:
    yield _("What was dropped does not come back: have it sent again by the application")
    same = [
        one.name
        for one in facts_in(snapshot, RabbitMQFacts).queues or ()
        if one.policy == queue.policy and one.name != queue.name
    ]
    if same:
        yield _("The policy also holds for: {queues}").format(queues=", ".join(same))


def _step(broker: RabbitMQ, queue: BrokerQueue, policy: Policy, title: str) -> Step:
    of = (queue.name, policy.name)
    words = {"policy": policy.name, "queue": queue.name}
    definition = json.dumps(dict(policy.definition), sort_keys=True)
    again = (
        "--priority",
        str(policy.priority),
        "--apply-to",
        policy.apply_to,
        policy.name,
        policy.pattern,
        definition,
    )
    return Step(
        id="queue.clear_policy",
        title=title,
        risk=Risk.SAFE,
        operation=_rabbitmqctl(broker, "clear_policy", policy.name),
        undo=_rabbitmqctl(broker, "set_policy", *again),
        before=(
            Condition(
                "rabbitmq_policies.holds",
                of,
                True,
                _("the policy {policy} holds for {queue}").format(**words),
            ),
        ),
        after=(
            Condition(
                "rabbitmq_policies.holds",
                of,
                False,
                _("the policy {policy} holds for {queue} no more").format(**words),
            ),
        ),
    )


def _rabbitmqctl(broker: RabbitMQ, verb: str, *arguments: str) -> Operation:
    words = ["docker", "exec", str(broker.container), "rabbitmqctl", "-q", verb, "-p", broker.vhost]
    return Operation(SHELL, shlex.join([*words, *arguments]), broker.server, CONTROL_SECONDS)


CLEAR = Verb("queue clear-policy", _codes, plan_clear)
