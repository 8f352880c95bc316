"""How a health path answers, asked of one API member or of the virtual address: the same look at both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection
from samaops.collect.engine import Probe
from samaops.collect.latency import is_steady
from samaops.facts.health import HealthAnswer

# A few quick answers say more than one. Where none of them was quick they may only have met a busy moment, of
# this machine too, so a few more are taken; one that is slow is believed after as many as of a quick one.
SAMPLES = 3
MOST_SAMPLES = 10
QUICK_MS = 30.0  # the guide's P99 of GET /health
SLOW_MS = 500.0
EXCERPT_CHARACTERS = 200
MAX_BODY_BYTES = 64 * 1024


def url_of(base: str, path: str) -> str:
    """Return a base URL with a path, without doubling the slash."""
    return base.rstrip("/") + "/" + path.lstrip("/")


def ask(url: str, timeout: float, probe: Probe, ca_file: Path | None = None) -> HealthAnswer:
    """Ask a health path a few times over one connection. Raises ClientError when the first answer fails."""
    probe.stage(f"GET {urlsplit(url).path}")
    with HttpConnection(url, timeout=timeout, ca_file=ca_file) as connection:
        first = connection.get(max_bytes=MAX_BODY_BYTES)
        samples = _samples(connection, first, probe)
    return _answer(url, first, tuple(round(sample, 2) for sample in samples))


def _samples(connection: HttpConnection, first: HttpAnswer, probe: Probe) -> list[float]:
    samples = [first.total_ms - first.connect_ms]
    while len(samples) < (SAMPLES if _is_decided(samples) else MOST_SAMPLES):
        if probe.remaining() * 1000 < 2 * samples[-1]:
            break  # a slow one more would end this look without an answer
        try:
            samples.append(connection.get(max_bytes=MAX_BODY_BYTES).total_ms)
        except ClientError:
            break  # a server may end an idle connection whenever it likes: the first answer stands
    return samples


def _is_decided(samples: list[float]) -> bool:
    return min(samples) < QUICK_MS or max(samples) >= SLOW_MS or is_steady(samples)


def _answer(url: str, first: HttpAnswer, samples_ms: tuple[float, ...]) -> HealthAnswer:
    body = _object(first.body)
    return HealthAnswer(
        url=url,
        status=first.status,
        server_header=first.headers.get("server", ""),
        content_type=first.headers.get("content-type", ""),
        body_status=_text(body.get("status")),
        version=_text(body.get("version")),
        excerpt=first.text[:EXCERPT_CHARACTERS],
        connect_ms=first.connect_ms,
        first_byte_ms=first.first_byte_ms,
        samples_ms=samples_ms,
    )


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:EXCERPT_CHARACTERS]
