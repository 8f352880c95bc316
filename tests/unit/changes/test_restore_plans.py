"""What is planned to restore, to swap back, to drop; and what is refused before anything is run."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.restoring.condition import checked
from samaops.changes.run.restoring import different_properties, parts_of
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UsageError
from samaops.facts.backup_run import DatabaseProperties, Grade, Grades
from samaops.facts.observation import Observation
from samaops.facts.restoring import (
    REPLACED,
    Database,
    LiveTable,
    Mark,
    RestoringFacts,
    Session,
    Source,
    mark_in,
)
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import seen

ID = "20261128T020000Z-3f2a"
MB = 1024**2
NOW = 1_795_900_000.0
SITE = Site(
    Settings.model_validate(
        {
            "site": "samaconso",
            "servers": {"db": {"address": "10.0.0.9"}},
            "postgresql": {"server": "db"},
            "backup": {"server": "db"},
        }
    )
)
LIVE = Database("samaconso", 16_400, 100 * MB, True, None, 3, 0)
SOURCE = Source(
    id=ID,
    path="/b/database",
    directory="/b",
    site="samaconso",
    database="samaconso",
    version="15.18 (Debian 15.18-0+deb12u1)",
    epoch=NOW - 7200,
    bytes=10 * MB,
    state="ok",
    grades=Grades(),
    rows={"public.orders": 10, "public.gone": 4},
    newest={"public.orders": "2026-11-28 02:00:00+00"},
    properties=None,
    indexes=1,
    constraints=1,
    is_ours=True,
)
FACTS = RestoringFacts(
    epoch=NOW,
    major=15,
    free_bytes=1000 * MB,
    processors=4,
    in_recovery=False,
    databases=(LIVE,),
    token="0a1b2c3d",
    source=SOURCE,
    live={"public.orders": LiveTable(14, True, "2026-11-28 04:00:00+00"), "public.new": LiveTable(7, False)},
)


def replaced(name: str, at: float, **changes: Any) -> Database:
    mark = Mark("replaced", ID, "samaconso", at, at + 604_800, "ours")
    return replace(LIVE, name=REPLACED + name, oid=16_300, sessions=0, comment=mark.written(), **changes)


def observed(server: str = "db", **changes: Any) -> Observation:
    return seen(f"restore/{server}", replace(FACTS, **changes), server)


def plan(verb: str, *arguments: str, **changes: Any) -> Plan:
    return verbs.find(verb).plan(snapshot(observed(**changes)), SITE, arguments)


def test_the_plan_says_what_will_be_lost_and_the_name_is_typed() -> None:
    made = plan("restore db", "latest")
    assert made.arguments == (ID,)
    assert (made.target, made.risk) == ("samaconso", Risk.DESTRUCTIVE)
    assert "2.0 h" in made.title
    notes = "\n".join(made.notes)
    assert (
        "public.orders: 14 rows now, 10 in the backup; newest 2026-11-28 04:00:00 now, 2026-11-28 02:00:00 then"
        in notes
    )
    assert "public.new: about 7 rows now; not in the backup" in notes
    assert "public.gone: not there now; in the backup 4 rows" in notes
    assert "11 rows more than in the backup" in made.steps[-1].destroys


def test_until_the_swap_nothing_but_a_new_database_is_touched_and_it_goes_again() -> None:
    made = plan("restore db", ID)
    *filling, swap = made.steps
    assert {step.operation.arguments["into"] for step in filling} == {"samaops_restore_0a1b2c3d"}
    assert {step.risk for step in filling} == {Risk.SAFE}
    assert all(step.undo and step.undo.arguments == {"name": "samaops_restore_0a1b2c3d"} for step in filling)
    assert swap.operation.arguments["live_oid"] == LIVE.oid
    assert swap.undo is not None
    assert swap.undo.arguments["incoming_oid"] == LIVE.oid, "by its oid, whatever it is called by then"


def test_where_there_is_none_nothing_is_lost() -> None:
    made = plan("restore db", ID, databases=(), live=None)
    assert made.risk is Risk.DISRUPTIVE
    assert made.steps[-1].undo is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": replace(SOURCE, site="elsewhere")}, "it is of the site elsewhere"),
        ({"source": replace(SOURCE, database="other")}, "it is of the database other"),
        ({"source": replace(SOURCE, version="16.1")}, "it is of PostgreSQL 16.1, and ours is 15"),
        ({"source": replace(SOURCE, version="")}, "it is of PostgreSQL -"),
        ({"in_recovery": True}, "is a standby"),
        ({"free_bytes": 129 * MB}, "Not enough room"),
        ({"databases": (replace(LIVE, prepared=2),)}, "2 prepared transactions"),
        (
            {"sessions": (Session(7, "u", "alembic", "", "active", "ALTER TABLE x", "client backend"),)},
            "migration: pid 7",
        ),
        (
            {"source": replace(SOURCE, grades=Grades(stored=Grade("2026", is_good=False, reason="x.gz")))},
            "its checksums are wrong",
        ),
    ],
)
def test_what_must_not_come_in_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        plan("restore db", ID, **changes)


def test_a_backup_on_another_server_than_the_database_is_refused_at_once() -> None:
    settings = {**SITE.settings.model_dump(), "backup": {"server": "workers"}}
    elsewhere = Site(Settings.model_validate(settings))
    with pytest.raises(RefusedError, match="copy the backup there"):
        verbs.find("restore db").codes(elsewhere, (ID,))


def test_the_newest_that_was_replaced_goes_back() -> None:
    old, older = replaced("2", NOW - 60), replaced("1", NOW - 6000)
    made = plan("restore undo", databases=(LIVE, older, old))
    assert made.steps[0].operation.arguments["incoming"] == old.name
    assert made.risk is Risk.DESTRUCTIVE
    made = plan("restore undo", older.name, databases=(LIVE, older, old))
    assert made.steps[0].operation.arguments["incoming"] == older.name
    with pytest.raises(RefusedError, match="no database was replaced"):
        plan("restore undo")


@pytest.mark.parametrize("name", ["samaconso", "postgres", "samaops_replaced_forged", "samaops_drill_x"])
def test_only_what_has_our_mark_is_dropped(name: str) -> None:
    other = replace(LIVE, name=name, comment='{"samaops": 1}' if "forged" in name else None)
    with pytest.raises(RefusedError, match="not a database that samaops made"):
        plan("restore forget", name, databases=(other,))


def test_one_that_was_replaced_is_dropped_and_what_is_lost_is_said() -> None:
    old = replaced("1", NOW - 60)
    made = plan("restore forget", old.name, databases=(LIVE, old))
    assert made.risk is Risk.DESTRUCTIVE
    assert "was to be kept until" in made.notes[0]
    with pytest.raises(RefusedError, match="3 sessions are in"):
        plan("restore forget", old.name, databases=(replace(old, sessions=3),))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.b.c", "x", ID), "no ordinary name"),
        (("orders; drop", "x", ID), "no ordinary name"),
        (("orders", "y.x", ID), "without its schema"),
        (("orders", 'x"', ID), "without its schema"),
    ],
)
def test_a_name_that_is_none_is_refused(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        verbs.find("restore table").codes(SITE, arguments)


def test_a_list_of_names_is_taken_apart_as_postgresql_does() -> None:
    assert parts_of('"$user", public') == ["$user", "public"]
    assert parts_of('"a, b", "c""d",e') == ["a, b", 'c"d', "e"]
    assert parts_of("") == []


def test_each_property_that_is_different_is_told() -> None:
    then = DatabaseProperties(
        "o", "UTF8", "C", "C", 20, ("=T/o", "o=CTc/o"), "c", {"": ("a=1", "b=2")}, {"x": "1"}
    )
    same = replace(then, acl=("o=CTc/o", "=T/o"), settings={"": ("b=2", "a=1")}, comment="another")
    assert list(different_properties(then, same)) == []
    for field, value in {
        "owner": "p", "encoding": "LATIN1", "collate": "fr_FR", "connection_limit": -1, "acl": None, "settings": {},
        "extensions": {"x": "2"},
    }.items():  # fmt: skip
        assert len(list(different_properties(then, replace(then, **{field: value})))) == 1, field


def test_a_comment_is_a_mark_only_where_it_is_ours() -> None:
    mark = Mark("drill", ID, "samaconso", NOW)
    assert mark_in(mark.written()) == mark
    for comment in (None, "", "text", "{}", '{"samaops": 1}', '{"samaops": 1, "does": 3}', "[1]", "7"):
        assert mark_in(comment) is None


def test_only_some_rows_are_brought_back_where_a_condition_says_which() -> None:
    made = plan("restore table", "orders", "orders_7", ID, "id < 7")
    assert made.steps[0].operation.arguments["where"] == "id < 7"
    assert "those with id < 7" in made.title
    assert made.arguments == ("orders", "orders_7", ID, "id < 7")


@pytest.mark.parametrize(
    "condition", ["id < 7", "name = 'a;b) --' AND (x::int = 1 OR y > now() - interval '1 day')", 'a ->> \'b\' = E\'\\\'\'']
)  # fmt: skip
def test_one_condition_is_taken(condition: str) -> None:
    assert checked(condition) == condition


@pytest.mark.parametrize(
    "condition",
    ["", " ", "true); DROP TABLE x; --", "true) OR (true", "a = 'x", "(a", "a -- b", "a /* b */", "a\nb", "$$x$$ = a",
     "a = :'password'", "\\! id"],
)  # fmt: skip
def test_what_is_more_than_one_condition_is_refused(condition: str) -> None:
    with pytest.raises(UsageError, match="--where"):
        checked(condition)
