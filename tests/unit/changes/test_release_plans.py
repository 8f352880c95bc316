"""Whether there is a way back, and what is planned to go it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.release import begin
from samaops.changes.run.operations import lines
from samaops.clients.shell import Completed
from samaops.collect.release import releases
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.backup import BackupFacts, CatalogueFacts
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.loadbalancer import ENABLED, OFFLINE, BigIpFacts, MemberFacts
from samaops.facts.observation import Observation
from samaops.facts.postgresql import PostgresFacts, SchemaVersion
from samaops.facts.release import Entry, Migration, Recorded, ReleaseFacts, ReleaseImage, keep_tag
from samaops.model.plan import Plan, Risk
from samaops.site.releases import observed
from samaops.site.site import Site
from samaops.site.way_back import Verdict, WayBack, way_back
from tests.unit.changes.test_plans import CONTAINER, member, snapshot, workers
from tests.unit.changes.test_plans import NODE as WORKER
from tests.unit.checks.judging import NOT_ALLOWED, failed, findings, seen

SETTINGS = Settings.model_validate(
    {
        "servers": {
            "workers": {"address": "10.0.0.3"},
            "api": {"address": "10.0.0.2"},
            "db": {"address": "10.0.0.1"},
        },
        "rabbitmq": {"server": "api"},
        "postgresql": {"server": "db"},
        "celery": {"workers": {"worker2": {"server": "workers", "container": "c2", "queues": ["normal"]}}},
        "docker": {"containers": {"api": ["a1", "a2"], "workers": ["c2", "flower"]}},
        "loadbalancer": {
            "url": "http://10.0.0.9",
            "commands": {
                "server": "api",
                "list": "list",
                "offline": "offline {member}",
                "online": "online {member}",
            },
        },
        "api": {
            "instances": [
                {"name": "api_1", "url": "http://10.0.0.2:8001", "container": "a1"},
                {"name": "api_2", "url": "http://10.0.0.2:8002", "container": "a2"},
            ]
        },
    }
)
OLD, NEW, OTHER = (f"sha256:{digit * 64}" for digit in "123")
FIRST = Migration("aaa", (), adds_only=True, has_downgrade=False)
ADDS = Migration("bbb", ("aaa",), adds_only=True, has_downgrade=True)
DROPS = Migration("ccc", ("bbb",), adds_only=False, has_downgrade=False)


def recorded(image: str, version: str, *migrations: Migration) -> Recorded:
    return Recorded(
        image,
        "app",
        version,
        "",
        "",
        "2026-01-01T00:00:00+00:00",
        "",
        ("a1",),
        migrations,
        name="app:production",
    )


def entry(release: Recorded, at: float) -> Entry:
    return Entry(release, at, 1000)


def image(identifier: str, version: str, *more: str) -> ReleaseImage:
    return ReleaseImage(identifier, (keep_tag("app", identifier), *more), version, "", "", 3000, is_held=True)


RECORDED = (entry(recorded(NEW, "2.1.0", FIRST, ADDS), 900.0), entry(recorded(OLD, "2.0.0", FIRST), 500.0))
IMAGES = (image(NEW, "2.1.0", "app:production"), image(OLD, "2.0.0"))
KEPT = ReleaseFacts(1000.0, "28.2.2", "2.26.1", IMAGES, RECORDED, is_replacing=False)


def container(name: str, identifier: str) -> Container:
    return replace(
        CONTAINER,
        name=name,
        id=f"{name}-{identifier}",
        image="app:production",
        image_id=identifier,
        project="samaconso",
        service=f"service_{name}",
        directory="/opt/samaconso",
        files=("/opt/samaconso/docker-compose.yml",),
    )


def engine(server: str, **images: str) -> Observation:
    containers = tuple(container(name, identifier) for name, identifier in images.items())
    names = tuple(images)
    return seen(f"docker/{server}", DockerFacts(2000.0, 0, names, containers, None, None), server)


def server(name: str, facts: ReleaseFacts = KEPT) -> Observation:
    return seen(f"release/{name}", facts, name)


def database(*revisions: str, exists: bool = True) -> Observation:
    facts = PostgresFacts("15", 150000, "samaops", True, False, 1.0, 1.0, 1.0)
    return seen(
        "postgresql/db",
        replace(facts, migration=SchemaVersion("public.alembic_version", exists, revisions)),
        "db",
    )


def running(identifier: str = NEW, **other: str) -> tuple[Observation, ...]:
    names = {
        "a1": identifier,
        "a2": identifier,
        **{name: other[name] for name in ("a1", "a2") if name in other},
    }
    return engine("api", **names), engine("workers", c2=other.get("c2", identifier), flower=identifier)


def site(**release: Any) -> Site:
    return Site(SETTINGS.model_copy(update={"release": SETTINGS.release.model_copy(update=release)}))


def way(*observations: Observation, target: str = "", **release: Any) -> WayBack:
    return way_back(observed(snapshot(*observations), site(**release)), target)


BOTH = (server("api"), server("workers"))
# Where the API's members have a server each.
PLACES = ("api", "api2", "workers")
SPREAD = (engine("api", a1=NEW), engine("api2", a2=NEW), engine("workers", c2=NEW))


def unkept(name: str) -> Observation:
    """Return a server on which nothing is recorded yet."""
    bare = replace(IMAGES[0], tags=("app:production",), is_held=False)
    return server(name, replace(KEPT, entries=(), images=(bare,)))


def test_a_release_that_knows_the_database_needs_the_code_alone() -> None:
    found = way(*running(), *BOTH, database("aaa"))
    assert (found.verdict, found.target, found.live) == (Verdict.CODE_ONLY, OLD, ("aaa",))
    assert found.reason == "the database is at aaa, as 2.0.0 (111111111111) wants it"


def test_a_database_that_went_on_needs_a_downgrade_where_there_is_one() -> None:
    found = way(*running(), *BOTH, database("bbb"))
    assert (found.verdict, found.between) == (Verdict.NEEDS_DOWNGRADE, ("bbb",))
    assert found.reason == "the database is at bbb, which 2.0.0 (111111111111) (at aaa) does not know"
    assert found.loses == ("what was written into what bbb brought",)


@pytest.mark.parametrize("rules", [{"tolerates_additions": True}, {"compatible": ("bbb",)}])
def test_what_the_site_says_old_code_bears_needs_the_code_alone(rules: dict[str, Any]) -> None:
    assert way(*running(), *BOTH, database("bbb"), **rules).verdict is Verdict.CODE_ONLY


def destructive(has_backup: bool) -> tuple[Observation, ...]:
    facts = replace(KEPT, entries=(entry(recorded(NEW, "3.0.0", FIRST, ADDS, DROPS), 900.0), RECORDED[1]))
    backup = BackupFacts("/b", "*", 1.0, True, (), ())
    catalogue = seen("backup/db-catalogue", CatalogueFacts("/b", None), "db")
    seen_backup = () if has_backup else (seen("backup/db", backup, "db"), catalogue)
    return (*running(), server("api", facts), server("workers", facts), database("ccc"), *seen_backup)


def test_without_a_way_down_it_needs_a_restore() -> None:
    found = way(*destructive(has_backup=True), tolerates_additions=True)
    assert (found.verdict, found.between) == (Verdict.NEEDS_RESTORE, ("ccc", "bbb"))
    assert found.reason.endswith("there is no way down from ccc")


def test_without_a_way_down_and_without_a_backup_it_is_impossible() -> None:
    found = way(*destructive(has_backup=False))
    assert (found.verdict, found.reason.endswith("and there is no backup")) == (Verdict.IMPOSSIBLE, True)


def test_a_catalogue_that_could_not_be_looked_at_is_not_empty() -> None:
    unseen = [
        observation
        for observation in destructive(has_backup=False)
        if observation.subject != "backup/db-catalogue"
    ]
    assert way(*unseen).verdict is Verdict.NEEDS_RESTORE


def test_an_image_that_is_gone_with_its_file_makes_it_impossible() -> None:
    gone = replace(KEPT, images=IMAGES[:1], entries=(RECORDED[0], replace(RECORDED[1], archive_bytes=None)))
    found = way(*running(), server("api"), server("workers", gone), database("aaa"))
    assert found.verdict is Verdict.IMPOSSIBLE
    assert found.reason == "the image of 2.0.0 (111111111111) is gone from workers, and so is its file"


def test_an_image_that_is_gone_comes_from_its_file() -> None:
    gone = replace(KEPT, images=IMAGES[:1])
    assert (
        way(*running(), server("api", gone), server("workers"), database("aaa")).verdict is Verdict.CODE_ONLY
    )


@pytest.mark.parametrize(
    ("compose", "engine_version", "verdict"),
    [
        ("1.29.2", "28.2.2", Verdict.IMPOSSIBLE),
        ("1.29.2", "25.0.0", Verdict.IMPOSSIBLE),
        ("1.29.2", "20.10.24+dfsg1", Verdict.CODE_ONLY),
        ("v2.26.1", "28.2.2", Verdict.CODE_ONLY),
        ("", "28.2.2", Verdict.IMPOSSIBLE),
    ],
)
def test_a_compose_that_cannot_replace_a_container_is_refused(
    compose: str, engine_version: str, verdict: Verdict
) -> None:
    facts = replace(KEPT, compose=compose, engine=engine_version)
    assert way(*running(), server("api", facts), server("workers"), database("aaa")).verdict is verdict


def test_what_could_not_be_looked_at_is_not_known() -> None:
    unread = failed("release/workers", ReleaseFacts, NOT_ALLOWED, "workers")
    assert way(*running(), server("api"), unread, database("aaa")).verdict is Verdict.UNKNOWN
    assert way(*running(), *BOTH).verdict is Verdict.UNKNOWN
    assert way(*running(), *BOTH, database(exists=False)).verdict is Verdict.UNKNOWN


def test_a_running_release_that_nobody_recorded_leaves_it_unknown() -> None:
    facts = replace(KEPT, entries=RECORDED[1:])
    found = way(*running(), server("api", facts), server("workers", facts), database("bbb"))
    assert (found.verdict, "release record" in found.reason) == (Verdict.UNKNOWN, True)


def test_nothing_recorded_is_nothing_to_go_back_to() -> None:
    facts = replace(KEPT, entries=())
    assert (
        way(*running(), server("api", facts), server("workers", facts), database("aaa")).verdict
        is Verdict.NONE
    )


def test_a_newer_release_wants_its_migrations_first() -> None:
    found = way(*running(OLD), *BOTH, database("aaa"), target=NEW)
    assert (found.verdict, "migrated first" in found.reason) == (Verdict.IMPOSSIBLE, True)


def test_the_finding_says_what_the_verdict_is() -> None:
    def status(*observations: Observation) -> str:
        (found,) = findings("release.rollback.impossible", *observations, settings=SETTINGS).values()
        return found.status.value

    assert status(*running(), *BOTH, database("aaa")) == "ok"
    assert status(*running(), *BOTH, database("bbb")) == "ok"
    assert status(*destructive(has_backup=True)) == "warning"
    assert status(*destructive(has_backup=False)) == "warning"
    assert status(*running(), *BOTH) == "unknown"


def test_a_worker_of_another_release_is_critical() -> None:
    (found,) = findings("release.running.differs", *running(c2=OLD), *BOTH, settings=SETTINGS).values()
    assert (found.status.value, found.subject) == ("critical", "release/application")
    assert found.title == (
        "Members and workers run different releases: 2.1.0 (222222222222): api_1; api_2; 2.0.0 (111111111111): worker2"
    )


def pool() -> Observation:
    members = tuple(
        MemberFacts(
            name=f"api_{number}", availability="available", enabled="enabled", reason="", monitor_status="up",
            session="user-enabled", current_connections=0, address=f"10.0.0.2:800{number}", setting=ENABLED,
        )
        for number in (1, 2)
    )  # fmt: skip
    return seen("loadbalancer/pool", BigIpFacts("p", "", members, None, None, None, None))


def planned(*observations: Observation, name: str = "", **release: Any) -> Plan:
    return verbs.find("rollback app").plan(snapshot(*observations), site(**release), (name,))


WELL = (member("api_1", 200), member("api_2", 200), workers(WORKER))


def test_another_release_than_one_that_knows_the_database_is_refused_with_both_revisions() -> None:
    with pytest.raises(RefusedError, match=r"needs a downgrade.*at bbb.*\(at aaa\)"):
        planned(*running(), *BOTH, database("bbb"), *WELL)


def test_a_release_that_nobody_recorded_is_not_known() -> None:
    with pytest.raises(UsageError, match="No release '9' is recorded"):
        planned(*running(), *BOTH, database("aaa"), *WELL, name="9")


def test_a_version_of_two_images_is_asked_to_be_named_by_its_image() -> None:
    twice = replace(KEPT, entries=(*RECORDED, entry(recorded(OTHER, "2.0.0", FIRST), 400.0)))
    found = observed(snapshot(*running(), server("api", twice), server("workers")), site())
    with pytest.raises(UsageError, match=r"2\.0\.0 may be any of"):
        found.named("2.0.0")
    assert found.named(OTHER.removeprefix("sha256:")[:6]) == OTHER


def test_a_balancer_that_cannot_be_told_is_refused() -> None:
    without = SETTINGS.model_copy(update={"loadbalancer": None})
    observations = (*running(), *BOTH, database("aaa"), *WELL)
    with pytest.raises(RefusedError, match="cannot be told to spare a member"):
        verbs.find("rollback app").plan(snapshot(*observations), Site(without), ("",))


def test_what_is_not_well_is_replaced_where_it_stands() -> None:
    down = (member("api_1", 500), member("api_2", 500), workers(WORKER))
    plan = planned(*running(), *BOTH, database("aaa"), *down)
    assert [step.id for step in plan.steps] == [
        "release.recreate", "release.bake", "release.recreate", "release.bake", "release.recreate",
        "release.recreate", "release.name", "release.name", "release.seen", "release.seen",
    ]  # fmt: skip
    assert plan.taken_back_by == ("rollback app", NEW), "not step by step: each member is spared again"
    recreate = plan.steps[0]
    assert recreate.risk is Risk.DISRUPTIVE
    assert recreate.operation.arguments["image"] == OLD
    assert recreate.undo is not None
    assert recreate.undo.arguments["image"] == NEW
    command = lines(recreate.operation, site())[1]
    assert "up -d --no-deps --force-recreate -t 30 service_a1" in command


def test_the_parts_that_are_right_already_are_left_alone() -> None:
    down = (member("api_1", 500), member("api_2", 500), workers(WORKER))
    plan = planned(*running(NEW, a1=OLD, c2=OLD), *BOTH, database("aaa"), *down, name="2.0.0")
    replaced = [step.operation.arguments["container"] for step in plan.steps if step.id == "release.recreate"]
    assert replaced == ["a2", "flower"]


def test_what_runs_the_release_already_needs_nothing() -> None:
    plan = planned(*running(OLD), *BOTH, database("aaa"), *WELL, name="2.0.0")
    assert plan.steps == ()


def test_what_runs_is_recorded_on_both_servers_and_once() -> None:
    facts = replace(
        KEPT, entries=(), images=(ReleaseImage(NEW, ("app:production",), "2.1.0", "", "", 1, False),)
    )
    plan = verbs.find("release record").plan(
        snapshot(*running(), server("api", facts), server("workers", facts)), site(), ()
    )
    assert [(step.id, step.operation.server) for step in plan.steps] == [
        ("release.keep", "api"),
        ("release.keep", "workers"),
    ]
    assert plan.steps[0].operation.arguments["containers"] == ("a1", "a2")
    again = verbs.find("release record").plan(snapshot(*running(), *BOTH), site(), ())
    assert again.steps == ()


def test_what_ran_before_the_last_ones_is_let_go() -> None:
    older = entry(recorded(OTHER, "1.9.0", FIRST), 100.0)
    facts = replace(KEPT, entries=(*RECORDED, older), images=(*IMAGES, image(OTHER, "1.9.0")))
    observations = (*running(), server("api", facts), server("workers"))
    plan = verbs.find("release record").plan(snapshot(*observations), site(kept=2), ())
    assert [(step.id, step.operation.arguments["image"]) for step in plan.steps] == [("release.drop", OTHER)]


def test_a_release_is_not_begun_without_a_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "names", lambda: ())
    with pytest.raises(RefusedError, match="not begun without one"):
        begin._looks(site())


def test_nothing_is_planned_where_a_server_is_not_seen() -> None:
    with pytest.raises(UnavailableError):
        planned(*running(), server("api"), database("aaa"), *WELL)


def test_while_another_compose_is_at_work_that_is_why_nothing_is_planned() -> None:
    busy = (server("api", replace(KEPT, is_replacing=True)), server("workers"))
    with pytest.raises(RefusedError, match=r"Another docker compose, begun by .*, still replaces .* on api"):
        planned(*running(), *busy, database("aaa"), *WELL)
    gone = (engine("api", a1=NEW), engine("workers", c2=NEW, flower=NEW))
    found = way(*gone, *busy, database("aaa"))
    assert found.reason == "api: there is no container a2: a docker compose still replaces one there"


@pytest.mark.parametrize(("said", "expected"), [("yes\n", True), ("no\n", False), ("", None)])
def test_whether_a_container_is_replaced_is_known_or_not(said: str, expected: bool | None) -> None:
    sections = {"now": "1000.0\n", "engine": "28.2.2\nexit 0\n", "replacing": said}
    sections.update(dict.fromkeys(("held", "images", "records"), "exit 0\n"))
    output = "".join(f"@@token {name}\n{lines}" for name, lines in sections.items())
    assert releases.read(Completed(0, output, ""), "token").is_replacing is expected


def test_a_member_that_serves_is_spared_while_it_is_replaced() -> None:
    plan = planned(*running(), *BOTH, database("aaa"), *WELL, pool())
    ids = [step.id for step in plan.steps if step.about.endswith(("api_1", "a1"))]
    assert ids == ["balancer.drain", "release.recreate", "balancer.enable", "release.bake"]
    drain, recreate, enable = plan.steps[:3]
    assert drain.operation.arguments["guard_seconds"] == site().settings.release.member_seconds
    assert (drain.after[0].value, enable.before[0].value) == (OFFLINE, OFFLINE)
    assert drain.needs, "another member serves meanwhile"
    assert {condition.reading for condition in recreate.after} == {"release.runs", "docker.api_serves"}
    assert "docker.api_serves" in {condition.reading for condition in recreate.before}, (
        "taken back, it serves first"
    )
