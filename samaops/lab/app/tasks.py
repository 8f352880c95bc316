"""The four tasks of the guide: find the customers' push tokens, send, and store what came of it; and the canary."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from . import canary, push, queries, switches
from .celery_app import app
from .environment import Environment

BROADCAST_LIMIT = 20

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment.read()


@lru_cache(maxsize=1)
def _sender() -> push.Sender:
    return push.Sender(_environment().credentials_file)


@app.task(name="send_urgent_notification")  # type: ignore[untyped-decorator]
def send_urgent_notification(user_id: int, message: str, validate_only: bool = False) -> dict[str, Any]:
    """Send one message that cannot wait to one customer."""
    return _send_to_users([user_id], message, validate_only)


@app.task(name="send_single_notification")  # type: ignore[untyped-decorator]
def send_single_notification(user_id: int, message: str, validate_only: bool = False) -> dict[str, Any]:
    """Send one ordinary message to one customer."""
    return _send_to_users([user_id], message, validate_only)


@app.task(name="send_batch_notifications")  # type: ignore[untyped-decorator]
def send_batch_notifications(
    user_ids: list[int], message: str, validate_only: bool = False
) -> dict[str, Any]:
    """Send the same message to some customers."""
    return _send_to_users(user_ids, message, validate_only)


@app.task(name="send_broadcast_notifications")  # type: ignore[untyped-decorator]
def send_broadcast_notifications(
    message: str,
    user_ids: list[int] | None = None,
    limit: int = BROADCAST_LIMIT,
    validate_only: bool = False,
) -> dict[str, Any]:
    """Send the same message to everybody (the first ``limit`` customers), or to ``user_ids``."""
    switches.obey_message(message)
    if user_ids is not None:
        return _send_to_users(user_ids, message, validate_only)
    tokens = queries.push_tokens_of_all(_environment().database_url, limit)
    return _send_to_tokens(tokens, message, validate_only)


@app.task(name="samaops_canary", ignore_result=False)  # type: ignore[untyped-decorator]
def samaops_canary(marker: str) -> dict[str, Any]:
    """Send one message that FCM only validates, for `samaops troubleshoot notifications --canary`."""
    return canary.send(marker, _environment().credentials_file)


def _send_to_users(user_ids: list[int], message: str, validate_only: bool) -> dict[str, Any]:
    switches.obey_message(message)
    tokens = queries.push_tokens_of(_environment().database_url, user_ids)
    if not tokens:
        raise push.PushError("NO_TOKEN", f"none of the customers {user_ids} has a push token")
    return _send_to_tokens(tokens, message, validate_only)


def _send_to_tokens(tokens: dict[int, str], message: str, validate_only: bool) -> dict[str, Any]:
    """Send to each token; the task fails with the first error when nothing at all was accepted."""
    names: list[str] = []
    errors: dict[int, push.PushError] = {}
    for user_id, token in tokens.items():
        try:
            names.append(_sender().send(token, message, validate_only))
        except push.PushError as error:
            logger.error("push to user %s failed: %s", user_id, error)  # noqa: TRY400 - no traceback for a known refusal
            errors[user_id] = error
    if errors and not names:
        raise next(iter(errors.values()))
    logger.info("push accepted by FCM: %d of %d", len(names), len(tokens))
    return {
        "sent": len(names),
        "failed": {str(user_id): error.code for user_id, error in errors.items()},
        "names": names,
        "validate_only": validate_only,
    }
