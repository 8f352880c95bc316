"""What makes a queue of RabbitMQ drop messages: its own arguments, and the policy that holds for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.collect.values import table
from samaops.facts.rabbitmq import LIMITS, TEXT_CHARACTERS, Policy
from samaops.model.failure import FailureKind


def limits_of(raw: Mapping[str, Any]) -> dict[str, int | str] | None:
    """Return what limits a queue, from its own arguments (``x-``) and from policies.

    Where both set a number the smaller one holds (https://www.rabbitmq.com/docs/parameters), else the argument.
    None where the broker shows one of them not at all.
    """
    if raw.get("arguments") is None or raw.get("effective_policy_definition") is None:
        return None
    arguments, policy = table(raw, "arguments"), table(raw, "effective_policy_definition")
    limits: dict[str, int | str] = {}
    for name in LIMITS:
        given = [limit for limit in (arguments.get(f"x-{name}"), policy.get(name)) if limit is not None]
        if given:
            numbers = [limit for limit in given if isinstance(limit, int)]
            limits[name] = min(numbers) if len(numbers) == len(given) else _value(given[0])
    return limits


def own_limits_of(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the limits that are arguments of the queue: no policy takes them away."""
    return tuple(name for name in LIMITS if f"x-{name}" in table(raw, "arguments"))


def read_policy(api: ManagementApi, name: str) -> Policy | None:
    """Read a policy; None when it has gone meanwhile, or our user may not see policies. Raises ClientError."""
    try:
        raw = table(api.in_vhost("policies", name))
    except ClientError as error:
        if error.kind in (FailureKind.MISSING, FailureKind.PERMISSION):
            return None
        raise
    return Policy(
        name=_text(raw, "name"),
        pattern=_text(raw, "pattern"),
        apply_to=_text(raw, "apply-to"),
        priority=raw["priority"] if isinstance(raw.get("priority"), int) else 0,
        definition={
            str(key)[:TEXT_CHARACTERS]: _value(value) for key, value in table(raw, "definition").items()
        },
    )


def _value(raw: object) -> int | str:
    return raw if isinstance(raw, int) else str(raw)[:TEXT_CHARACTERS]


def _text(raw: Mapping[str, Any], name: str) -> str:
    return str(raw.get(name) or "")[:TEXT_CHARACTERS]
