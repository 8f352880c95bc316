"""How the database goes back to an earlier release: the SQL that is read, what is planned of it, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.changes.release import migration_sql
from samaops.changes.release.migration_sql import Takes
from samaops.changes.run.operations import lines
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError
from samaops.facts.backup_run import DatabaseProperties, Manifest
from samaops.facts.downgrade import DowngradeFacts, Loss
from samaops.facts.observation import Observation
from samaops.facts.postgresql import DueNotifications, SchemaVersion
from samaops.facts.release import ReleaseFacts
from samaops.facts.restoring import Session
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes import test_backup_plans as backups
from tests.unit.changes import test_release_plans as releases
from tests.unit.changes import test_restore_plans as restores
from tests.unit.changes import test_upkeep_plans as upkeep
from tests.unit.changes.test_plans import QUEUE, broker, snapshot
from tests.unit.checks.judging import seen

SITE = Site(Settings.model_validate({**releases.SETTINGS.model_dump(), "backup": {"server": "db"}}))
DOWN = """BEGIN;
-- Running downgrade bbb -> aaa
ALTER TABLE notifications DROP COLUMN channel;
UPDATE alembic_version SET version_num='aaa' WHERE alembic_version.version_num = 'bbb';
COMMIT;
"""
UP = """BEGIN;
ALTER TABLE notifications ADD COLUMN channel TEXT;
UPDATE alembic_version SET version_num='bbb' WHERE alembic_version.version_num = 'aaa';
COMMIT;
"""
MANIFEST = Manifest(
    restores.ID, "samaconso", "db", "samaconso", "dump", "", "", "", "15", "15", "",
    DatabaseProperties("o", "UTF8", "C", "C", -1, None, None, {}, {}), {}, (), (),
)  # fmt: skip
CHANNEL = Loss("public.notifications", "channel", 3000, 1204)
WANTED = DowngradeFacts(restores.NOW, releases.OLD, releases.NEW, "bbb", "aaa", DOWN, UP, (CHANNEL,))


def database(revision: str, **changes: Any) -> Observation:
    version = SchemaVersion("public.alembic_version", True, (revision,))
    return upkeep.observed(migration=version, **changes)


def observations(*down: DowngradeFacts, **restoring: Any) -> tuple[Observation, ...]:
    """Return all that is looked at where 2.1.0 runs and its database is at bbb."""
    return (
        *releases.running(),
        *releases.BOTH,
        database("bbb"),
        backups.observed(),
        restores.observed(**{"source": None, "live": None, **restoring}),
        *(seen("release/api", facts, "api") for facts in down),
    )


def planned(*given: Observation, target: str = "") -> Plan:
    return verbs.find("rollback db").plan(snapshot(*given), SITE, (target,))


def test_a_downgrade_is_proved_on_a_copy_of_a_new_backup_before_the_live_database() -> None:
    plan = planned(*observations(WANTED))
    assert [step.id for step in plan.steps] == ["backup.create", "rollback.rehearse", "rollback.migrate"]
    rehearsed, live = plan.steps[1].operation.arguments, plan.steps[2].operation.arguments
    assert rehearsed["down"] == live, "the very same statements"
    assert rehearsed["into"] == "samaops_drill_0a1b2c3d"
    assert rehearsed["takes"] == ("public.notifications.channel",)
    assert rehearsed["younger_than"] == restores.NOW
    assert [" ".join(statement.split()) for statement in live["statements"]] == [
        "ALTER TABLE notifications DROP COLUMN channel",
        "UPDATE alembic_version SET version_num='aaa' WHERE alembic_version.version_num = 'bbb'",
    ]
    assert plan.steps[2].undo is not None
    assert plan.steps[2].undo.arguments["to"] == "bbb"


def test_what_would_be_lost_is_counted_and_typed_for() -> None:
    plan = planned(*observations(WANTED))
    assert (plan.risk, plan.target) == (Risk.DESTRUCTIVE, "samaconso")
    assert plan.steps[-1].destroys == "1204 values in channel of public.notifications (3000 rows)"
    assert "SQL: ALTER TABLE notifications DROP COLUMN channel" in plan.notes
    empty = planned(*observations(replace(WANTED, losses=(replace(CHANNEL, values=0),))))
    assert empty.risk is Risk.DISRUPTIVE
    unknown = planned(*observations(replace(WANTED, losses=(replace(CHANNEL, rows=None, values=None),))))
    assert "channel of public.notifications, not counted" in unknown.steps[-1].destroys


def test_statements_that_write_rows_are_named_among_what_is_lost() -> None:
    text = DOWN.replace("-- Running", "UPDATE users SET phone = 'a;b';\n--")
    plan = planned(*observations(replace(WANTED, down=text)))
    assert "what is written over by: UPDATE users SET phone = 'a;b'" in plan.steps[-1].destroys
    assert plan.steps[1].operation.arguments["writes"] is True


def test_it_says_what_to_do_next_and_what_is_in_flight() -> None:
    due = database("bbb", notifications=DueNotifications("notifications", True, True, 5, 2.0, 2.0))
    queue = replace(QUEUE, ready=3, unacknowledged=4)
    given = [each for each in observations(WANTED) if each.subject != "postgresql/db"]
    notes = "\n".join(planned(*given, due, broker(queue)).notes)
    assert "samaops rollback app --to 2.0.0" in notes
    assert "7 notifications are in flight (low_priority: 7), 4 of them in hand" in notes
    assert "5 notifications are due" in notes
    assert "could not be counted" in "\n".join(planned(*observations(WANTED)).notes), "none was looked at"


@pytest.mark.parametrize(
    ("facts", "restoring", "words"),
    [
        (replace(WANTED, down="\\! rm -rf /"), {}, "is not run"),
        (replace(WANTED, down="COPY x FROM stdin"), {}, "is not run"),
        (WANTED, {"free_bytes": 129 * restores.MB}, "Not enough room for a copy"),
        (WANTED, {"in_recovery": True}, "standby"),
        (
            WANTED,
            {"sessions": (Session(7, "u", "alembic", "", "active", "ALTER TABLE x", "client backend"),)},
            "while others work on all of it: migration: pid 7",
        ),
    ],
)
def test_what_must_not_be_is_refused(facts: DowngradeFacts, restoring: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        planned(*observations(facts, **restoring))


def test_sql_of_another_revision_than_the_live_one_is_not_planned_with() -> None:
    with pytest.raises(UnavailableError, match="moved on"):
        planned(*observations(replace(WANTED, came_from="ccc")))


def test_a_release_that_knows_the_database_needs_nothing() -> None:
    given = [each for each in observations() if each.subject != "postgresql/db"]
    plan = planned(*given, database("aaa"))
    assert "samaops rollback app" in plan.nothing_to_do


def restorable(revision: str) -> tuple[Observation, ...]:
    """Return all that is looked at where there is no way down, and a backup of a database at a revision."""
    facts = replace(
        releases.KEPT,
        entries=(
            releases.entry(
                releases.recorded(releases.NEW, "3.0.0", releases.FIRST, releases.ADDS, releases.DROPS), 900.0
            ),
            releases.RECORDED[1],
        ),
    )
    manifest = replace(MANIFEST, revision=revision)
    return (
        *releases.running(),
        releases.server("api", facts),
        releases.server("workers", facts),
        database("ccc"),
        backups.observed(backups.OLD),
        restores.observed(manifest=manifest),
    )


def test_without_a_way_down_a_backup_of_before_is_swapped_in_after_a_fresh_one() -> None:
    plan = planned(*restorable("aaa"))
    kinds = [step.id for step in plan.steps]
    assert (kinds[0], kinds[-1], plan.verb) == ("backup.create", "restore.swap", "rollback db")
    assert plan.risk is Risk.DESTRUCTIVE
    assert any("public.orders: 14 rows now, 10 in the backup" in note for note in plan.notes)


def test_a_backup_that_the_release_does_not_know_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"of a database at ccc, and 2\.0\.0 .* wants it at aaa"):
        planned(*restorable("ccc"))


def test_the_commands_shown_are_those_of_the_plan() -> None:
    plan = planned(*observations(WANTED))
    shown = lines(plan.steps[-1].operation, SITE)
    assert "ALTER TABLE notifications DROP COLUMN channel" in shown[1]


@pytest.mark.parametrize(
    ("text", "takes", "changes"),
    [
        ('ALTER TABLE ONLY "Big".t DROP COLUMN IF EXISTS "Col x";', (Takes("Big.t", "Col x"),), 0),
        ("DROP TABLE a.b", (Takes("a.b"),), 0),
        ("ALTER TABLE t DROP CONSTRAINT c", (), 0),
        ("ALTER TABLE t ALTER COLUMN c DROP NOT NULL", (), 0),
        ("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a, b) REFERENCES u (c) ON DELETE CASCADE", (), 0),
        ("CREATE TABLE t (a numeric(3, 2), b text)", (), 0),
        ("CREATE INDEX i ON t (a); DROP INDEX i", (), 0),
        ("DELETE FROM alembic_version WHERE version_num = 'x'", (), 0),
        ("ALTER TABLE t DROP COLUMN c CASCADE", (), 1),
        ("DROP INDEX i CASCADE", (), 1),
        ("ALTER TABLE t ADD COLUMN a int, DROP COLUMN b", (), 1),
        ("ALTER TABLE t ALTER COLUMN c TYPE int", (), 1),
        ("CREATE TABLE t AS SELECT 1", (), 1),
        ("DELETE FROM alembic_version_of_others", (), 1),
        ("TRUNCATE t; DELETE FROM t; SELECT f(); DO $$ BEGIN; END $$", (), 4),
    ],
)
def test_what_is_not_understood_is_never_taken_for_harmless(
    text: str, takes: tuple[Takes, ...], changes: int
) -> None:
    script = migration_sql.read(text, "public.alembic_version")
    assert (script.takes, len(script.changes)) == (takes, changes)


def test_a_statement_ends_where_postgresql_ends_it() -> None:
    text = "SELECT 'a;''b', E'\\';', $x$;$x$, \"c;\" /* ; */ -- ;\n; COMMIT; BEGIN"
    assert len(migration_sql.read(text, "v").statements) == 1


@pytest.mark.parametrize("given", [observations(WANTED), restorable("aaa")], ids=["downgrade", "restore"])
def test_the_database_stays_while_a_compose_replaces_the_application(given: tuple[Observation, ...]) -> None:
    plan = planned(*given)
    (need,) = [need for need in plan.steps[-1].needs if need.reading == "release.nothing_replaced"]
    assert set(map(str, need.of)) == {"api", "workers"} <= set(plan.steps[-1].servers or ())
    busy = [
        replace(each, facts=replace(each.facts, is_replacing=True))
        if isinstance(each.facts, ReleaseFacts) and each.server == "workers"
        else each
        for each in given
    ]
    with pytest.raises(
        RefusedError, match=r"Another docker compose, .* still replaces a container on workers"
    ):
        planned(*busy)
    assert readings.value_of(need, snapshot(*busy)) is False
