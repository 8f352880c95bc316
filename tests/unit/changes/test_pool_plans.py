"""What is planned for the connection pool, and what is refused with its numbers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.collect.pgbouncer_file import parsed
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.observation import Observation
from samaops.facts.pgbouncer import PgBouncerFacts, PooledServer, is_same
from samaops.facts.postgresql import Setting
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import NOT_ALLOWED, seen
from tests.unit.checks.test_pgbouncer import CONSOLE as QUIET
from tests.unit.checks.test_pgbouncer import DATABASE, POOL
from tests.unit.checks.test_postgresql import HEALTHY as POSTGRESQL

SITE = Site(
    Settings.model_validate({"postgresql": {}, "pgbouncer": {}, "servers": {"db": {"address": "10.0.0.1"}}})
)
IN_FORCE = {
    "admin_users": "postgres", "default_pool_size": "20", "pool_mode": "transaction", "query_wait_timeout": "120",
    "conffile": "/etc/pgbouncer/pgbouncer.ini", "listen_port": "6432", "log_connections": "1",
}  # fmt: skip
FILE = """; comment
[databases]
samaconso = host=127.0.0.1 port=5432 password='it''s secret' dbname=samaconso

[pgbouncer]
admin_users = postgres
default_pool_size = 20
pool_mode = transaction
log_connections = yes
"""
DEFAULTS = {"default_pool_size": "20", "pool_mode": "session", "query_wait_timeout": "120"}
CONSOLE = replace(
    QUIET,
    settings=IN_FORCE,
    is_held=False,
    changeable=tuple(set(IN_FORCE) - {"listen_port"}),
    defaults=DEFAULTS,
)
SERVER = PooledServer("samaconso", "samaconso_user", "active", 41, False)
FACTS = PgBouncerFacts(
    "console",
    "1.19.0",
    CONSOLE,
    servers=(SERVER,),
    file=parsed("/etc/pgbouncer.ini", FILE, IN_FORCE),
    guard="",
)
BEHIND = replace(
    POSTGRESQL,
    settings={
        "max_connections": Setting("100", "100", None, "default", False),
        "superuser_reserved_connections": Setting("3", "3", None, "default", False),
    },
)


def observed(facts: PgBouncerFacts = FACTS, **changes: Any) -> Observation:
    """Return the pool as it is seen; what changes is of its console."""
    assert facts.console is not None
    return seen("pgbouncer/db", replace(facts, console=replace(facts.console, **changes)), "db")


def planned(verb: str, *arguments: str, facts: PgBouncerFacts = FACTS, **changes: Any) -> Plan:
    server = seen("postgresql/db", BEHIND, "db")
    return verbs.find(verb).plan(snapshot(observed(facts, **changes), server), SITE, arguments)


def offered(**changes: Any) -> dict[str, Any]:
    return {"databases": (replace(DATABASE, **changes),)}


def test_a_pause_says_when_it_ends_and_what_ends_it() -> None:
    plan = planned("pool pause", "samaconso", "30")
    (step,) = plan.steps
    assert step.risk is Risk.DISRUPTIVE
    assert dict(step.operation.arguments) == {
        "file": "pause",
        "database": "samaconso",
        "seconds": 30.0,
        "kept_open": 0,
    }
    assert "at most 15 s" in plan.notes[0]
    assert "A watchdog on db ends it 30 s after it began" in plan.notes[1]
    assert verbs.find("pool pause").typed("", "30") == ("--for", "30")


@pytest.mark.parametrize(
    ("arguments", "facts", "changes", "reason"),
    [
        (("samaconso", "61"), FACTS, {}, "cuts off who waits 120 s .* at most 60 s"),
        (("samaconso", "30"), replace(FACTS, guard="psql: not found"), {}, "work on db: psql: not found"),
        (("other", "30"), FACTS, {}, "no database other; it has samaconso"),
        (("samaconso", "30"), FACTS, {"pools": (replace(POOL, pool_mode="session"),)}, "its 5 clients"),
        (('x"', "30"), FACTS, offered(name='x"'), "takes no command"),
    ],
)
def test_a_pause_that_could_not_end_is_refused(
    arguments: tuple[str, ...], facts: PgBouncerFacts, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        planned("pool pause", *arguments, facts=facts, **changes)


def test_without_a_limit_on_waiting_a_pause_may_last_longer() -> None:
    assert planned("pool pause", "samaconso", "300", settings={**IN_FORCE, "query_wait_timeout": "0"}).steps


def test_a_pause_keeps_nothing_open_and_knows_what_was() -> None:
    def kept(plan: Plan) -> tuple[int, int]:
        step = plan.steps[0]
        assert step.undo
        return step.operation.arguments["kept_open"], step.undo.arguments["kept_open"]

    having = {**IN_FORCE, "min_pool_size": "7"}
    for verb in ("pool pause", "pool kill"):
        plan = planned(verb, "samaconso", "30", settings=having)
        assert kept(plan) == (7, 7)
        assert any("min_pool_size is 0 meanwhile and 7 again" in note for note in plan.notes)
        assert not any("server_login_retry" in note for note in plan.notes)
        shown = planned(verb, "samaconso", "30", settings=having, **offered(min_pool_size=7))
        assert not any("server_login_retry" in note for note in shown.notes)
        unread = replace(FACTS, file=None)
        own = planned(verb, "samaconso", "30", facts=unread, settings=having, **offered(min_pool_size=3))
        assert any("clients of samaconso may wait up to 15 s more" in note for note in own.notes)
        line = FILE.replace("dbname=samaconso", "dbname=samaconso min_pool_size=7")
        written = replace(FACTS, file=parsed("/etc/pgbouncer.ini", line, IN_FORCE))
        own = planned(verb, "samaconso", "30", facts=written, settings=having, **offered(min_pool_size=7))
        assert any("clients of samaconso may wait up to 15 s more" in note for note in own.notes)


def test_a_second_pause_knows_what_was_kept_open_from_the_file() -> None:
    file = parsed("/etc/pgbouncer.ini", FILE + "min_pool_size = 7\n", IN_FORCE)
    other = replace(DATABASE, name="other", is_paused=True)
    plan = planned(
        "pool pause", "samaconso", "30", facts=replace(FACTS, file=file),
        settings={**IN_FORCE, "min_pool_size": "0"}, databases=(DATABASE, other),
    )  # fmt: skip
    assert plan.steps[0].operation.arguments["kept_open"] == 7


@pytest.mark.parametrize("seconds", ["1", "301"])
def test_a_pause_has_a_least_and_a_longest_time(seconds: str) -> None:
    with pytest.raises(UsageError):
        verbs.find("pool pause").codes(SITE, ("samaconso", seconds))


def test_what_could_not_be_looked_at_is_no_pool_without_pauses() -> None:
    blind = seen("pgbouncer/db", PgBouncerFacts("pool", None), "db", {"console": NOT_ALLOWED})
    with pytest.raises(UnavailableError, match="a password is required"):
        verbs.find("pool resume").plan(snapshot(blind), SITE, ("",))
    with pytest.raises(UnavailableError):
        planned("pool pause", "samaconso", "30", facts=replace(FACTS, guard=None))


def test_resume_is_for_what_is_paused() -> None:
    assert planned("pool resume", "").nothing_to_do == "no database of the pool is paused"
    one = planned("pool resume", "", **offered(is_paused=True))
    assert (len(one.steps), one.cures) == (1, ("pgbouncer.pool.paused@pgbouncer/db",))
    both = planned(
        "pool resume", "samaconso",
        databases=(replace(DATABASE, is_paused=True), replace(DATABASE, name="other", is_paused=True)),
    )  # fmt: skip
    assert (len(both.steps), both.cures) == (1, ())  # the other one stays paused
    held = planned("pool resume", "", is_held=True)
    assert dict(held.steps[0].operation.arguments) == {"database": "", "kept_open": 0}
    with pytest.raises(RefusedError, match="as a whole"):
        planned("pool resume", "samaconso", is_held=True)


def test_before_1_19_a_pause_of_all_is_known_by_what_waits() -> None:
    stuck = replace(POOL, servers_busy=0, servers_free=0, clients_waiting=3, maxwait_seconds=4.0)
    assert planned("pool resume", "", is_held=None, pools=(stuck,)).steps
    assert not planned("pool resume", "", is_held=None).steps


def test_a_size_has_to_fit_beside_all_other_connections() -> None:
    """PostgreSQL has 97 for users; 9 of its 10 sessions are not the pool's; the reserve of 5 counts too."""
    (step,) = planned("pool set-size", "", "83").steps
    assert (dict(step.operation.arguments)["size"], step.risk) == (83, Risk.SAFE)
    with pytest.raises(
        RefusedError, match=r"84 does not fit: .* 89 connections \(samaconso 89\), 9 .* for 97; at most 83"
    ):
        planned("pool set-size", "", "84")
    two = replace(CONSOLE, databases=(DATABASE, replace(DATABASE, name="other", pool_size=30)))
    assert (
        "A size of their own keep: other" in planned("pool set-size", "", "40", databases=two.databases).notes
    )
    with pytest.raises(RefusedError, match="other 35"):
        planned("pool set-size", "samaconso", "60", databases=two.databases)
    with pytest.raises(RefusedError, match="other has a pool_size of its own, 30"):
        planned("pool set-size", "other", "40", databases=two.databases)


def test_a_smaller_size_always_fits_and_may_be_felt() -> None:
    assert planned("pool set-size", "", "4").risk is Risk.DISRUPTIVE
    assert planned("pool set-size", "", "20").nothing_to_do == "default_pool_size is 20"


def test_connections_that_close_already_are_not_replaced_again() -> None:
    assert planned("pool reconnect", "").steps[0].before[0].of == ("samaconso", 41)
    closing = replace(FACTS, servers=(replace(SERVER, is_closing=True),))
    assert planned("pool reconnect", "", facts=closing).nothing_to_do
    with pytest.raises(UnavailableError, match="close_needed"):
        planned("pool reconnect", "", facts=replace(FACTS, servers=(replace(SERVER, is_closing=None),)))


def with_file(text: str) -> PgBouncerFacts:
    return replace(FACTS, file=parsed("/etc/pgbouncer.ini", text, IN_FORCE))


def test_reload_says_what_it_changes_and_what_needs_a_restart() -> None:
    text = FILE.replace("= 20", "= 30").replace("pool_mode = transaction\n", "listen_port = 7\n")
    plan = planned("pool reload", facts=with_file(text), **offered(is_paused=True))
    assert plan.notes[:4] == (
        "default_pool_size: 20 -> 30",
        "listen_port stays 6432: 7 needs a restart of PgBouncer",
        "pool_mode: transaction -> session",  # what is left out goes back to its default
        "samaconso.pool_size: 20 -> 30",
    )
    assert plan.notes[-1] == "RELOAD ends no pause: samaops pool resume does"
    assert plan.steps[0].after
    assert not planned("pool reload").steps[0].after  # nothing that could be seen changes


def test_a_file_that_could_not_be_read_is_said_so_and_what_it_includes() -> None:
    unread = planned("pool reload", facts=replace(FACTS, file=None))
    assert unread.risk is Risk.DISRUPTIVE
    assert "could not be read" in unread.notes[0]
    included = planned("pool reload", facts=with_file("%include /etc/more.ini\n[databases]\nsamaconso =\n"))
    assert "/etc/pgbouncer.ini includes /etc/more.ini, which were not read here" in included.notes
    assert not any("->" in note for note in included.notes)  # the other file may say it


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("default_pool_size = 4 ; four", "default_pool_size cannot be '4 ; four'"),
        ("default_pool_size = yes", "default_pool_size cannot be 'yes'"),
        ("pool_mode = sessions", "pool_mode cannot be 'sessions'"),
        ("nosuch = 1", "PgBouncer knows no setting nosuch"),
        ("[nosuch]", "there is no section [nosuch]"),
        ("words", "no setting, no section and no comment"),
        ("log_connections = off", ""),
        ("# words", ""),
    ],
)
def test_what_pgbouncer_would_refuse_is_found_in_its_file(line: str, fault: str) -> None:
    faults = parsed("x", f"{FILE}{line}\n", IN_FORCE).faults
    assert faults == ((f"line 10: {fault}",) if fault else ())


def test_a_file_holds_no_password_here() -> None:
    file = parsed("x", FILE, IN_FORCE)
    assert dict(file.databases["samaconso"]) == {"host": "127.0.0.1", "port": "5432", "dbname": "samaconso"}
    assert parsed("x", "[databases]\na = host\n", IN_FORCE).faults


def test_a_file_that_leaves_nobody_to_administer_is_refused() -> None:
    with pytest.raises(RefusedError, match="admin_users = dba"):
        planned("pool reload", facts=with_file(FILE.replace("= postgres", "= dba")))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("15", "15.0", True),
        ("yes", "1", True),
        ("a, b", "a,b", True),
        ("0", "off", True),
        ("20", "30", False),
        ("0777", "511", True),
    ],
)
def test_two_ways_to_write_a_value(one: str, other: str, same: bool) -> None:
    assert is_same(one, other) is same


def test_an_absent_default_size_is_not_zero() -> None:
    without = {name: value for name, value in IN_FORCE.items() if name != "default_pool_size"}
    with pytest.raises(UnavailableError, match="default_pool_size"):
        planned("pool set-size", "", "5", settings=without)
