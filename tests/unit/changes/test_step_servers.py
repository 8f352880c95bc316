"""Every step names the servers that it touches: what its conditions are read from is locked with the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from samaops.changes import canary, readings, verbs
from samaops.changes.celery.revoke import TERMINATE
from samaops.changes.rabbitmq.parking import ALL
from samaops.changes.schedule.units import MARK
from samaops.collect import registry
from samaops.collect.engine import Collector
from samaops.config.settings import Settings
from samaops.facts.checklist import BookFacts, Entry
from samaops.facts.docker import DockerFacts
from samaops.facts.maintenance import Image, ImagesFacts
from samaops.facts.observation import Observation
from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.facts.schedule import FilesFacts, FoundFile
from samaops.facts.selection import Selection
from samaops.facts.telling import Silence, SilencesFacts
from samaops.model.plan import Condition, Risk
from samaops.site.site import Site
from samaops.workflows import change, exclusion
from tests.unit.changes import test_backup_plans as backups
from tests.unit.changes import test_balancer_plans as balancers
from tests.unit.changes import test_disk_plans as disks
from tests.unit.changes import test_limit_plans as limits
from tests.unit.changes import test_notification_plans as notifications
from tests.unit.changes import test_object_plans as objects
from tests.unit.changes import test_objects_plans as storage
from tests.unit.changes import test_parking_plans as parking
from tests.unit.changes import test_policy_plans as policies
from tests.unit.changes import test_pool_plans as pools
from tests.unit.changes import test_redis_plans as of_redis
from tests.unit.changes import test_release_plans as releases
from tests.unit.changes import test_restore_broker as brokers
from tests.unit.changes import test_restore_config as configs
from tests.unit.changes import test_restore_plans as restores
from tests.unit.changes import test_revoke_plans as revoking
from tests.unit.changes import test_rollback_database_plans as going_back
from tests.unit.changes import test_rotation_plans as rotating
from tests.unit.changes import test_session_plans as sessions
from tests.unit.changes import test_upkeep_plans as upkeep
from tests.unit.changes import test_upload_plans as uploads
from tests.unit.changes.test_plans import (
    CONTAINER,
    NODE,
    QUEUE,
    SETTINGS,
    broker,
    engine,
    member,
    snapshot,
    workers,
)
from tests.unit.checks import test_backup_objects as copied_objects
from tests.unit.checks.judging import seen
from tests.unit.schedule import files as runs

# The API's members, the broker and Flower each on a server of their own.
SPREAD = Settings.model_validate(
    {
        **SETTINGS.model_dump(),
        "servers": {name: {"address": "10.0.0.9"} for name in ("workers", "api", "api2", "flower", "db")},
        "flower": {"server": "flower"},
        "redis": {"server": "flower"},
        "postgresql": {"server": "flower"},
        "backup": {
            "server": "flower",
            "objects": {},
            "copies": [{"name": "api", "server": "api", "directory": "/copies"}],
        },
        "minio": {"server": "flower"},
        "pgbouncer": {"server": "db"},
        "safety": {"is_test_site": True},
        "loadbalancer": {"url": "http://10.0.0.8", "bigip": {"url": "https://10.0.0.9"}},
        "celery": {**SETTINGS.model_dump()["celery"], "canary_task": "app.canary"},
        "api": {
            "instances": [
                {"name": "api_1", "url": "http://10.0.0.2:8001", "container": "a1", "server": "api"},
                {"name": "api_2", "url": "http://10.0.0.3:8001", "container": "a2", "server": "api2"},
            ]
        },
    }
)
SITE = Site(SPREAD)


IMAGES = ImagesFacts(
    epoch=10.0**9,
    images=tuple(
        Image(f"sha{day}", (f"app:{day}",), ("app",), float(day), None, 10, False) for day in range(3)
    ),
    disk_bytes=None,
)
NODES = RabbitMQFacts("3", "", "/", (), False, None, 0, 0, 0, 1, (notifications.BROKER_NODE,), (), None, None)
HOST = notifications.server("api", 4000 * notifications.MB)
ENDED = replace(CONTAINER, name="c2", state="exited")
LIMITED = limits.engine(replace(CONTAINER, memory_limit=limits.GB))
RABBITMQ = replace(CONTAINER, name="samaconso_rabbitmq", memory_limit=1000 * notifications.MB)
BROKER_ENGINE = seen(
    "docker/api", DockerFacts(1.0, 8000 * notifications.MB, (), (RABBITMQ,), None, None), "api"
)
SILENCED_AT = datetime(2026, 6, 1, 8, tzinfo=timezone.utc)
SILENCE = Silence(
    1, "redis.memory.high", "", SILENCED_AT + timedelta(hours=4), "a migration", "awa", SILENCED_AT
)
POOL = balancers.balancer(
    balancers.facts("api_1"), replace(balancers.facts("api_2"), address="10.0.0.3:8001")
)
PLANS: list[tuple[str, tuple[str, ...], tuple[Observation, ...]]] = [
    (
        "schedule pause",
        ("daily", "2026-06-01T12:00:00+00:00", "a migration"),
        (seen("schedule/ledger", runs.schedule()),),
    ),
    (
        "silence",
        ("redis.memory.high", "", "2026-06-01T12:00:00+00:00", "a migration"),
        (seen("silences/history", SilencesFacts(SILENCED_AT)),),
    ),
    (
        "silence end",
        ("1",),
        (seen("silences/history", SilencesFacts(SILENCED_AT, (SILENCE,), 2)),),
    ),
    ("checklist measure", ("load",), ()),
    ("checklist measure", ("member",), (engine("api", CONTAINER),)),
    ("checklist sign", ("tests", "push", "awa", "seen"), (seen("checklist_book/book", BookFacts(())),)),
    (
        "checklist unsign",
        ("tests", "push"),
        (seen("checklist_book/book", BookFacts((Entry("", "tests", "push", "signed", by="awa"),))),),
    ),
    (
        "config upgrade",
        ("/etc/samaops/config.toml",),
        (
            seen(
                "schedule_files/files",
                FilesFacts((FoundFile("/etc/samaops/config.toml", '# Ours\n\nsite = "x"\n'),)),
            ),
        ),
    ),
    ("schedule resume", ("daily",), (seen("schedule/ledger", runs.schedule(runs.paused("daily"))),)),
    (
        "schedule install",
        ("systemd", "/units"),
        (
            seen("schedule_files/files", FilesFacts(directories=("/units",))),
            seen("schedule/ledger", runs.schedule()),
        ),
    ),
    (
        "schedule uninstall",
        ("/units",),
        (seen("schedule_files/files", runs.holding("/units/a.service", f"{MARK} for samaconso; x")),),
    ),
    (
        "schedule import",
        ("/crontab",),
        (seen("schedule_files/files", runs.holding("/crontab", runs.CRONTAB)),),
    ),
    ("backup objects", (), (copied_objects.observed(storage.NEWEST),)),
    ("restore objects", ("", "", ""), (copied_objects.observed(storage.NEWEST), storage.compared())),
    ("backup copy", ("latest",), (backups.observed(backups.OLD),)),
    ("backup create", (), (backups.observed(), upkeep.observed())),
    ("backup verify", ("latest",), (backups.observed(backups.OLD), copied_objects.observed(storage.NEWEST))),
    ("backup prune", (), (backups.observed(*backups.MANY), copied_objects.observed(storage.NEWEST))),
    ("backup pin", ("latest", "before the audit"), (backups.observed(backups.OLD),)),
    ("backup unpin", ("latest",), (backups.observed(replace(backups.OLD, pinned="an audit")),)),
    ("backup drill", ("latest",), (restores.observed(),)),
    ("restore db", ("latest",), (restores.observed(), pools.observed())),
    (
        "restore undo",
        (),
        (restores.observed(databases=(restores.LIVE, restores.replaced("1", 1.0))), pools.observed()),
    ),
    (
        "restore forget",
        (restores.replaced("1", 1.0).name,),
        (restores.observed(databases=(restores.replaced("1", 1.0),)),),
    ),
    ("restore table", ("orders", "orders_then", "latest"), (restores.observed(),)),
    ("restore config", ("latest", "", configs.INI.path), (configs.observed(),)),
    ("restore broker", ("latest",), (brokers.observed(),)),
    ("workers add-queue", ("worker2", "low_priority"), (workers(NODE), broker(QUEUE))),
    ("docker restart", ("a1",), (engine("api", CONTAINER), member("api_1", 200), member("api_2", 200))),
    ("docker restart", ("c2",), (engine("workers", ENDED),)),
    ("docker restart", ("a1",), (*releases.SPREAD, *releases.WELL, POOL)),
    (
        "docker roll",
        ("api",),
        (*releases.SPREAD, *map(releases.server, releases.PLACES), *releases.WELL, POOL, sessions.observed()),
    ),
    ("docker set-limit", ("a1", "2g"), (LIMITED,)),
    ("workers restart", ("worker2",), (engine("workers", replace(CONTAINER, name="c2")),)),
    ("workers scale", ("worker2", "-1"), (workers(NODE),)),
    ("queue purge", ("low_priority", "/tmp/samaops-never-written"), (broker(replace(QUEUE, ready=7)),)),
    ("queue set-watermark", ("0.5",), (seen("rabbitmq/api", NODES), BROKER_ENGINE, HOST)),
    ("queue clear-policy", ("low_priority",), (broker(policies.LIMITED),)),
    ("queue park", ("low_priority", "id-7"), (broker(QUEUE, parking.HOLDING),)),
    ("queue unpark", ("low_priority", ALL), (broker(QUEUE, parking.HOLDING),)),
    ("workers revoke", ("id-1", TERMINATE), (revoking.workers(revoking.STUCK),)),
    (
        "maintain run",
        ("rotation",),
        (rotating.observed("api", rotating.OPEN), rotating.observed("workers", rotating.OLD)),
    ),
    ("disk clean", ("workers", "rotated,logs,container-logs,journal,packages"), (disks.observed(),)),
    ("disk clean", ("workers", "deleted,cache"), (disks.holding(), disks.caching())),
    ("disk abort-uploads", ("", "24"), (uploads.observed(),)),
    ("disk reserve", ("workers", "/data", "100M"), (disks.observed(),)),
    ("disk reserve", ("workers", "/data", "--give-up"), (disks.observed(reserve=10**8),)),
    ("docker cleanup", ("workers",), (seen("images/workers", IMAGES, "workers"),)),
    ("release record", (), (*releases.SPREAD, *map(releases.unkept, releases.PLACES))),
    (
        "rollback app",
        ("",),
        (
            *releases.SPREAD,
            *map(releases.server, releases.PLACES),
            releases.database("aaa"),
            *releases.WELL,
            balancers.balancer(
                balancers.facts("api_1"), replace(balancers.facts("api_2"), address="10.0.0.3:8001")
            ),
        ),
    ),
    (
        "rollback db",
        (releases.OLD,),
        (
            *releases.SPREAD,
            *map(releases.server, releases.PLACES),
            going_back.database("bbb"),
            backups.observed(),
            restores.observed(source=None, live=None),
            pools.observed(),
            seen("release/api", going_back.WANTED, "api"),
        ),
    ),
    ("db cancel", ("41",), (sessions.observed(sessions.BACKEND),)),
    ("redis set-maxmemory", ("3200mb",), of_redis.with_room()),
    ("redis set-policy", ("noeviction",), (of_redis.observed(),)),
    ("redis expire", ("cache:",), (of_redis.observed(chosen=of_redis.chosen("cache:*")),)),
    ("redis unlink", ("cache:1",), (of_redis.observed(chosen=of_redis.chosen("cache:1", 1)),)),
    ("redis flush", (), (of_redis.observed(chosen=of_redis.chosen("*")),)),
    ("redis kill-client", ("42",), (of_redis.observed(clients=(of_redis.CLIENT,)),)),
    ("redis purge-memory", (), (of_redis.observed(),)),
    ("redis save", (), (of_redis.observed(),)),
    ("pool pause", ("samaconso", "30"), (pools.observed(),)),
    ("pool kill", ("samaconso", "10"), (pools.observed(),)),
    ("pool resume", ("samaconso",), (pools.observed(**pools.offered(is_paused=True)),)),
    ("pool resume", ("",), (pools.observed(is_held=True),)),
    ("pool disable", ("samaconso",), (pools.observed(),)),
    ("pool enable", ("samaconso",), (pools.observed(**pools.offered(is_disabled=True)),)),
    ("pool reconnect", ("",), (pools.observed(),)),
    ("pool reload", (), (pools.observed(pools.with_file(pools.FILE.replace("= 20", "= 30"))),)),
    (
        "pool set-size",
        ("samaconso", "30"),
        (pools.observed(), seen("postgresql/flower", pools.BEHIND, "flower")),
    ),
    ("db slot drop", ("old_replica",), (objects.observed(),)),
    ("db checkpoint", (), (objects.observed(),)),
    ("db set", ("work_mem", "16MB"), (objects.observed(),)),
    ("db index drop", ("public.by_mail", "60"), (objects.observed(),)),
    ("db index create", ("customers", "", "60", "email"), (objects.observed(),)),
    ("db terminate", ("41",), (sessions.observed(sessions.BACKEND),)),
    ("db terminate", ("--idle-in-transaction", "60"), (sessions.observed(sessions.IDLE),)),
    ("db terminate", ("--prepared", "batch-7"), (sessions.observed(prepared=(sessions.PREPARED,)),)),
    ("db vacuum", ("orders",), (upkeep.observed(),)),
    ("db analyze", ("orders",), (upkeep.observed(),)),
    ("db reindex", ("orders_note",), (upkeep.observed(),)),
    ("db optimize", (), (upkeep.observed(upkeep_relations=(upkeep.DIRTY,)),)),
    ("balancer drain", ("api_1", "30"), (balancers.THREE, *balancers.SERVING)),
    (
        "balancer enable",
        ("api_1",),
        (
            balancers.balancer(balancers.facts("api_1", "offline"), balancers.facts("api_2")),
            *balancers.SERVING,
        ),
    ),
    (canary.NAME, ("normal", "id-1", "30"), (broker(replace(QUEUE, name="normal", consumers=1)),)),
]


def read_from(condition: Condition) -> Iterator[str]:
    """Yield the servers that a condition's reading looks at: those it names, by itself or by a member, else all."""
    by_system: dict[str, list[Collector]] = {}
    for collector in registry.collectors(SITE, Selection(only=readings.codes_of((condition,)))):
        by_system.setdefault(collector.system, []).append(collector)
    for collectors in by_system.values():
        names = set(condition.of)
        named = [one for one in collectors if {one.server, one.subject.partition("/")[2]} & names]
        yield from (one.server for one in named or collectors if one.server is not None)


@pytest.mark.parametrize(("verb", "arguments", "observations"), PLANS, ids=lambda value: str(value)[:30])
def test_what_the_conditions_of_a_plan_are_read_from_is_locked(
    verb: str, arguments: tuple[str, ...], observations: tuple[Observation, ...]
) -> None:
    plan = verbs.find(verb).plan(snapshot(*observations), SITE, arguments)
    assert plan.steps
    assert all(step.servers is not None for step in plan.steps), "or all servers of the site are locked"
    touched = exclusion.servers_of(SITE, plan)
    for step in plan.steps:
        for condition in (*step.needs, *step.before, *step.after):
            assert set(read_from(condition)) <= touched.keys(), condition.text
    first = plan.steps[0]
    assert readings.broken((*first.needs, *first.before), snapshot(*observations)) == "", (
        "it was planned by this"
    )


def test_every_verb_is_among_them() -> None:
    # Its steps are those of `release record` and of `backup create`, which are.
    composed = {"release begin"}
    assert {verb for verb, _arguments, _observations in PLANS} == set(verbs.names()) - composed


@pytest.mark.parametrize(("verb", "arguments", "observations"), PLANS, ids=lambda value: str(value)[:30])
def test_a_plan_says_exactly_what_it_destroys_and_what_its_undo_brings_back(
    verb: str, arguments: tuple[str, ...], observations: tuple[Observation, ...]
) -> None:
    plan = verbs.find(verb).plan(snapshot(*observations), SITE, arguments)
    report = change.report_of(SITE, plan)
    assert report.is_plan
    for step, action in zip(plan.steps, report.actions, strict=True):
        assert bool(action.destroys) == (step.risk is Risk.DESTRUCTIVE or verb == "docker cleanup")
        assert bool(action.undo_restores) == (step.undo is not None)
        assert bool(action.no_undo) == (step.undo is None)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("queue purge", ("7 messages leave low_priority", "each message of /tmp/samaops-never-written once")),
        ("workers revoke", ("the message of the task id-1",)),
        ("docker cleanup", ("these images on workers: app:0", "no container and no volume")),
        ("queue clear-policy", ("no message that it dropped",)),
        ("workers add-queue", ("worker2 does not consume low_priority",)),
    ],
)
def test_what_is_lost_is_named(verb: str, words: tuple[str, ...]) -> None:
    arguments, observations = next((given, seen) for name, given, seen in PLANS if name == verb)
    (action,) = change.report_of(
        SITE, verbs.find(verb).plan(snapshot(*observations), SITE, arguments)
    ).actions
    text = " ".join((action.destroys, *action.undo_restores))
    for word in words:
        assert word in text
