"""Change of RabbitMQ: take away the policy that makes a queue drop messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

from msgspec.structs import replace

from samaops.changes.rabbitmq.broker import (
    QUEUES,
    configured,
    queue_in,
    rabbitmqctl,
    require_container,
    require_queue,
)
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError, UnavailableError
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import LIMITS, TEXT_CHARACTERS, BrokerQueue, Policy, RabbitMQFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.site import Site


@reading("rabbitmq_policies.holds", codes=QUEUES)
def holds(snapshot: Snapshot, queue: str, policy: str) -> Scalar:
    """Return whether a policy is the one that holds for a queue."""
    return queue_in(snapshot, queue).policy == policy


def _looks(site: Site, queue: str) -> tuple[str, ...]:
    require_queue(site, queue)
    require_container(site)
    return (*QUEUES, "docker.container")  # under which name rabbitmqctl is called


@verb("queue clear-policy", looks=_looks)
def plan_clear(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan that the policy which limits a queue is cleared.

    Guards: it can be put back exactly as it is, it sets nothing but limits, and the queue's own arguments do not
    limit it as well.
    """
    try:
        queue = queue_in(snapshot, name)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the queue: {reason}").format(reason=error)) from error
    title = _("Clear the policy {policy} that limits the queue {queue}").format(
        policy=queue.policy, queue=name
    )
    cures = (f"rabbitmq.queue.arguments@rabbitmq/{name}",)
    plan = Plan("queue clear-policy", (name,), title, target=queue.policy or name, cures=cures)
    if queue.limits is None:
        raise UnavailableError(
            _("Could not look at the queue: {reason}").format(reason="effective_policy_definition")
        )
    if not queue.limits:
        return replace(plan, nothing_to_do=_("no policy limits the queue {queue}").format(queue=name))
    policy = _guarded(queue)
    notes = tuple(_notes(snapshot, queue))
    return replace(plan, steps=(_step(configured(site), queue, policy, title),), notes=notes)


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
    others = facts_in(snapshot, RabbitMQFacts).queues or ()
    same = [other.name for other in others if other.policy == queue.policy and other.name != queue.name]
    if same:
        yield _("The policy also holds for: {queues}").format(queues=", ".join(same))


def _step(broker: RabbitMQ, queue: BrokerQueue, policy: Policy, title: str) -> Step:
    of = (queue.name, policy.name)
    words = {"policy": policy.name, "queue": queue.name}
    definition = json.dumps(dict(policy.definition), sort_keys=True)
    limits = ("--priority", str(policy.priority), "--apply-to", policy.apply_to)
    again = (*limits, policy.name, policy.pattern, definition)
    holds_now = _("the policy {policy} holds for {queue}").format(**words)
    holds_no_more = _("the policy {policy} holds for {queue} no more").format(**words)
    return Step(
        id="queue.clear_policy",
        title=title,
        risk=Risk.SAFE,
        operation=rabbitmqctl(broker, "clear_policy", "-p", broker.vhost, policy.name),
        undo=rabbitmqctl(broker, "set_policy", "-p", broker.vhost, *again),
        undo_restores=_(
            "the policy {policy}, with the pattern, definition and priority it has now; no message that it dropped"
        ).format(**words),
        before=(Condition("rabbitmq_policies.holds", of, True, holds_now),),
        after=(Condition("rabbitmq_policies.holds", of, False, holds_no_more),),
        servers=(),  # all of it on the broker's, where the commands run
    )
