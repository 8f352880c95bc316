"""Reports to be rendered: a usual one, and one whose every text from outside is hostile."""

from __future__ import annotations

from datetime import datetime, timezone

from msgspec.structs import replace

from samaops.model.cause import Cause, Fix, Verdict
from samaops.model.difference import Comparison, Difference
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.model.report import Footprint, Report
from samaops.model.status import Status

MOMENT = datetime(2026, 1, 31, 3, 12, 0, 123_000, tzinfo=timezone.utc)
LONG_COMMAND = (
    "docker exec samaconso_celery_worker_2 celery -A app.celery_app control add_consumer low_priority "
    "-d 'worker2@host with spaces'"
)
HOSTILE = {
    "ansi": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "c1": "\x9b31mred",
    "markup": "[red]markup[/red] [link=http://x]y[/link] [/]",
    "bidi": "abc\u202egnp.exe\u2066x\u2069",
    "hidden": "a\u200bb\u2060c\ufeff",
    "lines": "one\ntwo\r\nthree\u2028four\x00",
    "surrogate": "bad\udcff\udc80",
    "long": "x" * 10_000,
    "quotes": "'\"`|;$(reboot)&<script>]]>{}=,\\",
    "wide": "漢字" * 100,
    "combining": "e" + "\u0301" * 200,
    "noncharacter": "a\uffff\ufffe",
}


def finding(code: str, status: Status, subject: str, title: str = "A title", **fields: object) -> Finding:
    return Finding(code=code, status=status, subject=subject, title=title, **fields)  # type: ignore[arg-type]


def usual() -> Report:
    """Return a report with a confirmed cause, a symptom folded under it, and one finding besides."""
    decisive = finding(
        "rabbitmq.queue.no_consumer",
        Status.CRITICAL,
        "rabbitmq/low_priority",
        "No worker consumes the queue low_priority",
        server="api",
        value=86,
        unit="messages",
        evidence={"messages": 86, "consumers": 0},
        hint="samaops explain rabbitmq.queue.no_consumer",
        cause="queue-without-consumer",
    )
    symptom = finding(
        "celery.queues.uncovered", Status.CRITICAL, "celery/all", cause="queue-without-consumer"
    )
    besides = finding(
        "redis.memory.high",
        Status.WARNING,
        "redis/workers",
        "Redis uses 85 % of its maxmemory",
        value=85.5,
        unit="%",
        warning=80,
        critical=95,
        hint="samaops explain redis.memory.high",
    )
    fine = [finding(f"{system}.service.unreachable", Status.OK, f"{system}/x") for system in SYSTEMS]
    skipped = finding("redis.keys.no_expiry", Status.SKIPPED, "redis/workers", detail="not looked at")
    return Report(
        command="diagnose",
        started_at=MOMENT,
        duration_ms=812,
        findings=(decisive, symptom, besides, *fine, skipped),
        causes=(cause(decisive, symptom),),
        footprint=Footprint(9, 48_211, 7, 0),
        timings_ms=dict.fromkeys(SYSTEMS, 34),
    )


SYSTEMS = ("servers", "postgresql", "pgbouncer", "minio", "api", "rabbitmq", "docker", "redis")


def cause(*findings: Finding) -> Cause:
    return Cause(
        id="queue-without-consumer",
        runbook="notifications",
        verdict=Verdict.CONFIRMED,
        subject="rabbitmq/low_priority",
        title="No worker consumes the queue low_priority",
        speaks_for=("86 messages wait, 0 consumers", "worker2 is up and consumes only: normal"),
        speaks_against=("Flower shows worker2 online",),
        explains=tuple(one.key for one in findings),
        fixes=(
            Fix("workers.add_queue", Risk.SAFE, "Let worker2 consume it", (LONG_COMMAND,), ("celery undo",)),
            Fix(
                "workers.restart",
                Risk.DISRUPTIVE,
                "Restart worker2",
                ("docker restart samaconso_celery_worker_2",),
            ),
        ),
    )


def healthy() -> Report:
    """Return a report of which every finding is ok."""
    findings = tuple(finding(f"{system}.service.unreachable", Status.OK, f"{system}/x") for system in SYSTEMS)
    return Report("diagnose", MOMENT, 640, findings=findings, timings_ms=dict.fromkeys(SYSTEMS, 34))


def hostile(text: str) -> Report:
    """Return a report in which every text that can come from outside is this one."""
    bad = finding(
        "rabbitmq.queue.no_consumer",
        Status.CRITICAL,
        f"rabbitmq/{text}",
        f"Queue {text} has no consumer",
        server=text,
        detail=text,
        value=1,
        unit="messages",
        evidence={"name": text, text: [text]},
        hint=f"samaops queue peek {text}",
    )
    loose = finding("redis.keys.big", Status.UNKNOWN, f"redis/{text}", text, detail=text, value=text)
    found = Cause(
        id="queue-without-consumer",
        runbook=None,
        verdict=Verdict.PROBABLE,
        subject=bad.subject,
        title=text,
        speaks_for=(text,),
        speaks_against=(text,),
        explains=(bad.key,),
        fixes=(Fix("x", Risk.SAFE, text, (f"echo {text}",), (text,)),),
    )
    return Report("diagnose", MOMENT, 5, findings=(bad, loose), causes=(found,))


def compared(report: Report, *, is_asked: bool = False, count: int = 2) -> Report:
    """Return a report of a look that was compared with the last one that was all well."""
    well_at = MOMENT.replace(hour=2)
    differences = (
        Difference(
            "docker/file//c.yml", "api", "file /c.yml was changed", "********", "********",
            at=MOMENT.replace(minute=5),
        ),
        *(Difference(f"redis/setting/{n}", "w", f"Redis setting {n} is 2, it was 1", "1", "2") for n in range(1, count)),
    )[:count]  # fmt: skip
    comparison = Comparison(well_at, differences, ("rabbitmq@api",), is_asked)
    return replace(report, since_well=comparison)
