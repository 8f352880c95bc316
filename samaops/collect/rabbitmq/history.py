"""What the broker remembers of a queue's last ten minutes, turned into ages.

The management plugin keeps a sample every five seconds. So one look tells how long nothing was acknowledged,
and how long the oldest message has waited, without looking twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samaops.collect.values import decimal, table
from samaops.facts.rabbitmq import QueueHistory

Samples = Sequence[tuple[int, int]]  # (milliseconds since 1970, value), newest first


def rate_of(stats: Mapping[str, Any], name: str) -> float | None:
    """Return a rate of ``message_stats``; None when the broker does not count it."""
    rate = decimal(table(stats, f"{name}_details"), "rate")
    return None if rate is None else round(float(rate), 2)


def history_of(raw: Mapping[str, Any], ready_now: int | None) -> QueueHistory | None:
    """Return the history of one queue, None when the broker keeps no samples."""
    stats = table(raw, "message_stats")
    ready, unacknowledged = _samples(raw, "messages_ready"), _samples(raw, "messages_unacknowledged")
    published, acknowledged = _samples(stats, "publish"), _samples(stats, "ack")
    redelivered = _samples(stats, "redeliver")
    delivered = acknowledged, _samples(stats, "deliver_no_ack"), _samples(stats, "get_no_ack")
    if len(ready) < 2 or len(unacknowledged) < 2:
        return None
    waiting = _lasting(ready)
    unchanged = _unchanged(acknowledged) if acknowledged else _span(ready)
    return QueueHistory(
        window_seconds=_span(ready),
        published=_gain(published),
        acknowledged=_gain(acknowledged),
        waiting_seconds=waiting,
        oldest_ready_seconds=_age_of_head(published, ready_now, waiting),
        stuck_seconds=min(waiting, _lasting(unacknowledged), unchanged),
        # All counters of deliveries are in the answer, or none where nothing was ever delivered.
        redelivered=_gain(redelivered) if redelivered or not any(delivered) else None,
        calm_seconds=_unchanged(redelivered),
        vanished=max(0, _gain(published) - sum(map(_gain, delivered)) - _more(ready) - _more(unacknowledged)),
    )


def _samples(raw: Mapping[str, Any], name: str) -> Samples:
    details = raw.get(f"{name}_details")
    listed = details.get("samples") if isinstance(details, dict) else None
    pairs = [
        (int(sample["timestamp"]), int(sample["sample"]))
        for sample in listed or ()
        if isinstance(sample, dict)
        and isinstance(sample.get("timestamp"), (int, float))
        and isinstance(sample.get("sample"), (int, float))
    ]
    return sorted(pairs, reverse=True)


def _span(samples: Samples) -> int:
    return (samples[0][0] - samples[-1][0]) // 1000 if samples else 0


def _gain(samples: Samples) -> int:
    return max(0, samples[0][1] - samples[-1][1]) if samples else 0


def _more(samples: Samples) -> int:
    """Return by how much a value is higher now than when the window began; negative when it is lower."""
    return samples[0][1] - samples[-1][1] if samples else 0


def _lasting(samples: Samples) -> int:
    """Return for how many seconds the value has been above zero, up to now."""
    oldest = next((index for index, (_at, value) in enumerate(samples) if value <= 0), len(samples))
    return _span(samples[:oldest])


def _unchanged(samples: Samples) -> int:
    """Return for how many seconds a counter has stood still, up to now."""
    oldest = next(
        (index for index, (_at, value) in enumerate(samples) if value != samples[0][1]), len(samples)
    )
    return _span(samples[:oldest])


def _age_of_head(published: Samples, ready_now: int | None, waiting: int) -> int | None:
    """Return how old the oldest ready message is: first in, first out, so as many were published after it.

    Messages of higher priority overtake: with them the real one is older.
    """
    if not published or not ready_now:
        return None
    first = published[0][1] - ready_now
    older = next((index for index, (_at, value) in enumerate(published) if value <= first), len(published))
    return min(waiting, _span(published[:older]))
