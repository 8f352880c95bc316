"""A month that has all there is: an outage that was repaired, one in a planned time, days that nobody saw, missed runs."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from samaops.config.settings import Settings
from samaops.facts.availability import (
    API_TIME,
    AVAILABILITY,
    CONNECTIONS,
    CRITICAL,
    DATABASE_TIME,
    HTTP_ERRORS,
    MET,
    MISSED,
    NOTIFICATIONS,
    UNKNOWN,
    Availability,
    Bounds,
    Budget,
    Capacity,
    Day,
    Growth,
    Kpi,
    MonthValue,
    Period,
    Planned,
)
from samaops.facts.backup_run import Grade, Grades
from samaops.facts.backup_run import Run as BackupRun
from samaops.facts.month import (
    AccessChange,
    MonthlyReport,
    RoutineRun,
    SeenCause,
    SeenFinding,
)
from samaops.facts.sample import DOWN, WHOLE, Span
from samaops.facts.schedule import Run
from samaops.model.history import Moment, PastChange
from samaops.site.site import Site
from samaops.workflows.reports import incidents

UTC = timezone.utc
SINCE, UNTIL = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
MINUTES = 31 * 24 * 60
NIGHT = datetime(2026, 10, 12, 3, 10, tzinfo=UTC)
PLANNED = datetime(2026, 10, 20, 22, 0, tzinfo=UTC)
SITE = Site(Settings(site="samaconso"))
PERIOD = Period(SINCE, UNTIL, "2026-10", is_month=True)


def days() -> tuple[Day, ...]:
    found = []
    for number in range(31):
        day = date(2026, 10, 1) + timedelta(days=number)
        parts = {"up": 1440}
        if day.day == 12:
            parts = {"up": 1416, "down": 24}
        elif day.day in (5, 6):
            parts = {"unobserved": 1440}
        elif day.day == 20:
            parts = {"up": 1430, "down": 10, "planned": 30}
        elif day.day == 25:
            parts = {"up": 1400, "degraded": 40}
        found.append(Day(day, **parts))
    return tuple(found)


def availability() -> tuple[Availability, ...]:
    outages = (
        Span(NIGHT, NIGHT + timedelta(minutes=24), DOWN),
        Span(PLANNED + timedelta(minutes=5), PLANNED + timedelta(minutes=15), DOWN),
    )
    planned = (Planned(PLANNED, PLANNED + timedelta(minutes=30), "Migration PostgreSQL", "blackout"),)
    service = Availability(
        WHOLE, SINCE, UNTIL, MINUTES - 2880 - 34 - 40, 40, 34, 2880, 30, 93.548,
        Bounds(93.472, 99.918), Bounds(93.49, 99.94), outages, days(), planned,
    )  # fmt: skip
    redis = Availability(
        "redis/redis", SINCE, UNTIL, MINUTES - 2880 - 30, 0, 30, 2880, 30, 93.548,
        Bounds(93.48, 99.93), Bounds(93.48, 99.93),
        (Span(NIGHT - timedelta(minutes=3), NIGHT + timedelta(minutes=27), DOWN),), days(),
    )  # fmt: skip
    unseen = Availability(
        "disk/db:/data", SINCE, UNTIL, 0, 0, 0, MINUTES, 30, 0.0, Bounds(0.0, 100.0), Bounds(0.0, 100.0)
    )
    return service, redis, unseen


def trend(*values: float | None) -> tuple[MonthValue, ...]:
    months = ("2026-05", "2026-06", "2026-07", "2026-08", "2026-09", "2026-10")
    return tuple(
        MonthValue(month, value, 0.0 if value is None else 99.0)
        for month, value in zip(months, values, strict=True)
    )


def kpis() -> tuple[Kpi, ...]:
    command = "samaops report kpi --month 2026-10"
    return (
        Kpi(AVAILABILITY, "Disponibilité", 99.9, 99.5, "%", True, None, 93.548, MISSED, "samples",
            value_at_least=93.49, value_at_most=99.94, trend=trend(None, 99.95, 99.99, 99.7, 99.92, 99.94),
            command=command),
        Kpi(API_TIME, "Temps de réponse API", 500, 1000, "ms", False, 212.5, 93.5, MET, "samples",
            value_at_least=212.5, value_at_most=212.5, trend=trend(None, 180, 190.5, 240, 620, 212.5), command=command),
        Kpi(DATABASE_TIME, "Temps de réponse DB", 100, 500, "ms", False, 612.0, 93.5, CRITICAL, "samples",
            trend=trend(None, None, 20, None, 90, 612.0), command=command),
        Kpi(NOTIFICATIONS, "Notifications envoyées", 95, 90, "%", True, None, 0.0, UNKNOWN, "",
            reason="no source counts them", trend=trend(*6 * [None]), command=command),
        Kpi(HTTP_ERRORS, "Erreurs HTTP", 0.1, 1, "%", False, 0.04, 80.0, MET, "Prometheus",
            trend=trend(None, 0.02, 0.03, 0.02, 0.05, 0.04), command=command),
        Kpi(CONNECTIONS, "Connexions simultanées", 10000, 5000, "", True, 12400, 93.5, MET, "PgBouncer",
            trend=trend(None, 11000, 11800, 12000, 12100, 12400), command=command),
    )  # fmt: skip


def change(number: int, at: datetime, title: str, status: str, **more: Any) -> PastChange:
    plan = {"plan": {"cures": more.pop("cures", [])}}
    moments = (
        Moment(at.isoformat(), "begun", None, "begun", plan),
        Moment((at + timedelta(seconds=40)).isoformat(), "ended", None, "ended", {"status": status}),
    )
    return PastChange(
        f"20261012-0331{number:02}-abcd", at.isoformat(), "awa", "ops1", "docker restart x", title, status,
        more.pop("reason", ""), "", None, None, moments,
    )  # fmt: skip


def changes() -> tuple[PastChange, ...]:
    return (
        change(1, NIGHT + timedelta(minutes=20), "Redémarrer le conteneur samaconso_redis", "verified",
               cures=["redis.access.refused@redis/workers"]),
        change(2, PLANNED, "Vacuum de public.customers", "failed", reason="lock timeout"),
    )  # fmt: skip


def runs() -> tuple[Run, ...]:
    found = []
    for number in range(31):
        at = SINCE + timedelta(days=number, hours=2)
        state = {3: "missed", 9: "timed_out"}.get(number, "ok")
        reason = {"missed": "the machine was off", "timed_out": "longer than 2 h"}.get(state, "")
        began = None if state == "missed" else at
        ended = None if began is None else at + timedelta(minutes=7 + number)
        found.append(
            Run("backup", at, state, number, started_at=began, ended_at=ended, reason=reason, host="ops1")
        )
    return tuple(found)


def backups() -> tuple[BackupRun, ...]:
    grades = Grades(Grade("2026-10-31T02:20:00+00:00", True), Grade("2026-10-31T02:21:00+00:00", True))
    found = [
        BackupRun(
            f"202610{day:02}T020000Z-aaaa", "samaconso", "ok", "dump", f"2026-10-{day:02}T02:00:00+00:00",
            bytes=40_000_000_000 + day * 300_000_000, grades=grades,
        )
        for day in range(31, 0, -1)
        if day != 4
    ]  # fmt: skip
    drilled = Grades(grades.stored, grades.readable, Grade("2026-11-01T03:30:00+00:00", True, "", 1260.0))
    last = found[0]
    found[0] = BackupRun(
        last.id, last.site, last.state, last.engine, last.started_at, bytes=last.bytes, grades=drilled
    )
    return tuple(found)


def report() -> MonthlyReport:
    """Return the whole month."""
    routine = RoutineRun(
        NIGHT + timedelta(minutes=15), "maintain daily", "critical", False, 12.0,
        (SeenFinding("redis.access.refused", "redis/workers", "critical", None, "Redis refuse la connexion"),),
        (SeenCause("container-stopped", "docker/samaconso_redis", "Le conteneur samaconso_redis est arrêté"),),
    )  # fmt: skip
    servers = RoutineRun(
        UNTIL + timedelta(hours=4), "maintain monthly", "warning", False, 700.0,
        (
            SeenFinding("maintenance.updates.pending", "servers/db", "warning", 12, "12 mises à jour attendent, dont 3 de sécurité"),
            SeenFinding("certificates.expiry.soon", "certificates/api.senelec.sn", "ok", 200, "Le certificat dure encore 200 jours"),
        ),
    )  # fmt: skip
    seen, made = availability(), changes()
    return MonthlyReport(
        PERIOD,
        datetime(2026, 11, 1, 5, 0, tzinfo=UTC),
        availability=seen,
        budget=Budget(99.9, 44.64, 24, 20.64, -2859.4),
        kpis=kpis(),
        incidents=incidents.of(seen, made, (routine,)),
        changes=made,
        runs=runs(),
        routines=(routine,),
        backups=backups(),
        drilled=backups()[0],
        capacity=(
            Capacity("/data", "db", "B", 600e9, 1000e9, 3.2e9, date(2027, 1, 3), date(2026, 12, 20), date(2027, 1, 21), fit=0.97, points=31),
            Capacity("/var", "api", "B", 20e9, 100e9, 0.1e9, reason="les jours ne forment pas une droite", fit=0.2, points=31),
        ),
        growth=(
            Growth("db", "tables", 400_000_000_000, 61_000_000_000, SINCE),
            Growth("db", "wal", 20_000_000_000, 4_000_000_000, SINCE),
            Growth("db", "backups", 90_000_000_000, -3_000_000_000, SINCE),
            Growth("api", "container_log", 9_000_000_000, None, None),
        ),
        servers=servers,
        access=(AccessChange("db", "keys", "awa SHA256:abcd awa@portable", True), AccessChange("db", "logins", "old", False)),
    )  # fmt: skip
