"""Judge an answer of a health path; the rules of api and loadbalancer say who answered."""

from __future__ import annotations

from samaops.checks.registry import Context, Evidence
from samaops.facts.health import HealthAnswer
from samaops.i18n import _
from samaops.model.finding import Finding

# The guide's table of expected latencies of GET /health.
GUIDE_P50_MS, GUIDE_P95_MS, GUIDE_P99_MS = 10, 20, 30
# The guide's KPI for the API's response time: target under 500 ms, critical from 1 s.
KPI_WARNING_MS, KPI_CRITICAL_MS = 500, 1000


def evidence_of(answer: HealthAnswer) -> Evidence:
    """Return what an answer was, as evidence."""
    return {
        "url": answer.url,
        "status": answer.status,
        "server_header": answer.server_header,
        "written_by": writer_of(answer),
        "body_status": answer.body_status,
        "body": answer.excerpt,
        "connect_ms": answer.connect_ms,
        "first_byte_ms": answer.first_byte_ms,
    }


def writer_of(answer: HealthAnswer) -> str:
    """Return who wrote an answer: "member" or "balancer".

    uvicorn adds its name to every answer (uvicorn's "server behavior" page), the application writes JSON; what
    a balancer says by itself has neither.
    """
    is_member = "uvicorn" in answer.server_header.lower() or "json" in answer.content_type.lower()
    return "member" if is_member else "balancer"


def judge_status(answer: HealthAnswer, context: Context, who: str, hint: str | None = None) -> Finding:
    """Judge the status code."""
    if answer.status == 200:
        return context.ok(_("{who} answers with status 200").format(who=who), value=200)
    title = _("{who} answers its health check with status {status}").format(who=who, status=answer.status)
    return context.crit(title, value=answer.status, evidence=evidence_of(answer), hint=hint)


def judge_body(answer: HealthAnswer, context: Context, who: str) -> Finding:
    """Judge the body of an answer with status 200."""
    expected = context.site.healthy_status()
    if answer.status != 200:
        return context.skipped(_("the answer has status {status}").format(status=answer.status))
    if answer.body_status == expected:
        return context.ok(_("{who} says that it is {status}").format(who=who, status=expected))
    title = _('{who} answers 200 but without "status":"{status}": the balancer takes it for down')
    evidence = {**evidence_of(answer), "expected_status": expected}
    return context.crit(title.format(who=who, status=expected), evidence=evidence)


def judge_latency(answer: HealthAnswer, context: Context, who: str) -> Finding:
    """Judge the median of the samples against the KPI; the guide's table stands in the evidence."""
    title = _("{who} answers its health check in {median} ms").format(who=who, median=answer.median_ms)
    return context.above(answer.median_ms, title, evidence=latency_evidence(answer))


def latency_evidence(answer: HealthAnswer) -> Evidence:
    """Return the times of an answer and what the guide expects."""
    return {
        "samples_ms": list(answer.samples_ms),
        "connect_ms": answer.connect_ms,
        "first_byte_ms": answer.first_byte_ms,
        "guide_p50_ms": GUIDE_P50_MS,
        "guide_p95_ms": GUIDE_P95_MS,
        "guide_p99_ms": GUIDE_P99_MS,
    }
