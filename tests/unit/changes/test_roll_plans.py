"""Restarts by turns: four members and three workers by configuration alone, each turn spared, none too many, none sick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import readings, undo, verbs
from samaops.changes.docker.roll import Asked
from samaops.changes.run import celery as doing
from samaops.changes.run.operations import lines
from samaops.cli import docker as command
from samaops.clients.shell import Completed
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.celery import OtherConsumer
from samaops.facts.docker import DockerFacts
from samaops.facts.loadbalancer import BigIpFacts
from samaops.facts.observation import Observation
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import Backend
from samaops.facts.release import ReleaseFacts
from samaops.journal import history
from samaops.journal.history import Journal
from samaops.journal.plans import to_plain
from samaops.model.plan import ActionStatus, Outcome, Plan, Risk, Step
from samaops.site.releases import servers
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows import history as past
from tests.unit.changes import scripted
from tests.unit.changes.test_many_members import (
    MEMBERS,
    VALUES,
    WORKERS,
    api,
    engines,
    nodes,
    pool,
    site,
)
from tests.unit.changes.test_plans import NODE, snapshot, workers
from tests.unit.changes.test_release_plans import KEPT, OLD, engine, server
from tests.unit.checks.judging import REFUSED, failed, seen

BACKEND = Backend(
    41, "t", False, "client backend", "samaconso_user", False, True, "samaconso", "", "10.0.0.2", "active", "", (),
    1.0, 1.0, 1.0, "SELECT 1",
)  # fmt: skip
SPARED = ["balancer.drain", "docker.restart", "balancer.enable"]


def database(*applications: str) -> Observation:
    facts = PostgresFacts("15", 150000, "samaops", True, False, 1.0, 1.0, 1.0)
    backends = tuple(replace(BACKEND, application=name) for name in applications)
    return seen("postgresql/db", replace(facts, backends=backends), "db")


def well() -> tuple[Observation, ...]:
    return (*api(), pool(), nodes(*WORKERS), *engines(), database("uvicorn"))


def roll(*words: str, of: tuple[Observation, ...] | None = None, at: Site | None = None) -> Plan:
    """Return the plan of what, limit, serial, healthy, within, started before."""
    verb, place = verbs.find("docker roll"), at or site(1)
    verb.codes(place, words)
    given = well() if of is None else of
    return verb.plan(snapshot(*given, *releases_beside(given, place)), place, words)


def releases_beside(given: tuple[Observation, ...], place: Site) -> Iterator[Observation]:
    """Yield what the servers tell of their releases, where nothing is given: no compose is at work."""
    if not any(each.system == "release" for each in given):
        yield from map(server, servers(place))


def moves(plan: Plan) -> list[str]:
    return [f"{step.id} {step.operation.arguments.get('container', '')}".strip() for step in plan.steps]


def of_step(plan: Plan, step_id: str) -> list[Step]:
    return [step for step in plan.steps if step.id == step_id]


class TestMembers:
    def test_one_after_the_other_leaves_the_pool_restarts_and_comes_back(self) -> None:
        plan = roll("api")
        assert [step.id for step in plan.steps] == SPARED * 4
        assert [step.operation.arguments["container"] for step in of_step(plan, "docker.restart")] == [
            f"c_{name}" for name in MEMBERS
        ]
        assert [step.operation.server for step in of_step(plan, "docker.restart")] == [
            "api",
            "api",
            "api2",
            "api2",
        ]
        assert [step.ends_part for step in plan.steps] == [False, False, True] * 4
        assert plan.notes[0] == "One turn after the other: api_1 > api_2 > api_3 > api_4"

    def test_each_must_serve_itself_and_be_given_connections_before_the_next_one(self) -> None:
        _drain, restart, enable = roll("api").steps[:3]
        assert {each.reading for each in restart.after} == {"docker.runs_anew", "docker.api_serves"}
        assert {each.reading for each in enable.after} == {"balancer.setting", "balancer.gets_connections"}
        assert "balancer.setting" in {each.reading for each in restart.needs}, "it is still out"

    def test_two_at_once_leave_together_and_start_together(self) -> None:
        plan = roll("api", "", "2")
        one = ["balancer.drain"] * 2 + ["docker.restart"] * 2 + ["balancer.enable"] * 2
        assert [step.id for step in plan.steps] == one * 2
        assert [step.ends_part for step in plan.steps] == [*[False] * 5, True] * 2
        first, second = plan.steps[2:4]
        assert first.after == (), "it starts while the other one is stopped"
        served = {each.of[-1] for each in second.after if each.reading == "docker.api_serves"}
        assert served == {"api_1", "api_2"}

    @pytest.mark.parametrize(("healthy", "down", "may"), [
        ("", (), True), ("", ("api_4",), False), ("2", ("api_4",), True), ("2", ("api_3", "api_4"), False),
    ])  # fmt: skip
    def test_before_a_member_leaves_and_before_it_stops_enough_others_serve(
        self, healthy: str, down: tuple[str, ...], may: bool
    ) -> None:
        drain, restart = roll("api", "", "1", healthy).steps[:2]
        (leaves,) = [each for each in drain.needs if each.reading == "balancer.may_leave"]
        (stops,) = [each for each in restart.needs if each.reading == "docker.enough_serve"]
        now = snapshot(*api(*down), pool())
        assert (readings.value_of(leaves, now), readings.value_of(stops, now)) == (may, may)

    def test_those_that_leave_together_do_not_count_for_each_other(self) -> None:
        for step in roll("api", "", "2").steps[:2]:
            (need,) = [each for each in step.needs if each.reading == "balancer.may_leave"]
            assert not {"api_1", "api_2"} & set(need.of[3:])
            assert readings.value_of(need, snapshot(*api("api_3"), pool())) is False

    def test_the_balancers_own_least_is_kept_whatever_is_asked(self) -> None:
        (need,) = [
            each
            for each in roll("api", "", "1", "1", at=site(3)).steps[1].needs
            if each.reading == "docker.enough_serve"
        ]
        assert need.of[1] == 3

    def test_a_watchdog_is_longer_than_all_that_a_turn_may_take(self) -> None:
        for serial in (1, 2, 3):
            drain = roll("api", "", str(serial), "1", "120").steps[0]
            assert drain.operation.arguments["guard_seconds"] > serial * (120 + 60)
            assert drain.operation.arguments["within"] == 120

    def test_only_those_on_the_named_servers(self) -> None:
        plan = roll("api", "api2")
        assert moves(plan)[1::3] == ["docker.restart c_api_3", "docker.restart c_api_4"]
        assert len(roll("api", "api2,api").steps) == 12

    @pytest.mark.parametrize(("limit", "reason", "hint"), [
        ("api9", "knows no server 'api9'", "did you mean api"),
        ("paris", "knows no server 'paris'", "known: api, api2"),
        ("api,db", "none of them is on db", "known: api, api2"),
    ])  # fmt: skip
    def test_a_server_that_is_not_known_is_refused_with_those_that_are(
        self, limit: str, reason: str, hint: str
    ) -> None:
        with pytest.raises(UsageError, match=reason) as refused:
            verbs.find("docker roll").codes(site(1), ("api", limit))
        assert hint in str(refused.value.hint)

    @pytest.mark.parametrize("words", [
        ("flower",), ("api", "", "0"), ("api", "", "1", "0"), ("api", "", "1", "", "0.1"),
    ])  # fmt: skip
    def test_words_that_mean_nothing_are_wrong_usage(self, words: tuple[str, ...]) -> None:
        with pytest.raises(UsageError):
            verbs.find("docker roll").codes(site(1), words)


def with_pool(**changes: Any) -> Observation:
    """Return the pool in which api_3 is otherwise."""
    view = pool().facts
    assert isinstance(view, BigIpFacts)
    members = tuple(replace(each, **changes) if each.name == "api_3" else each for each in view.members)
    return seen("loadbalancer/pool", replace(view, members=members))


def with_container(**changes: Any) -> tuple[Observation, ...]:
    """Return the engines on which the container of api_3 is otherwise."""
    found = []
    for each in engines():
        assert isinstance(each.facts, DockerFacts)
        containers = tuple(
            replace(one, **changes) if one.name == "c_api_3" else one for one in each.facts.containers
        )
        found.append(replace(each, facts=replace(each.facts, containers=containers)))
    return tuple(found)


OUT = with_pool(setting="offline", monitor_status="forced-down", session="user-disabled", enabled="disabled")
SICK: dict[str, tuple[tuple[Observation, ...], str, str]] = {
    "one does not serve": (
        (*api("api_3"), pool(), *engines(), database()), "api_3 does not serve", "diagnose --only api,docker",
    ),
    "its health check fails": (
        (*api(), pool(), *with_container(health="unhealthy"), database()), "api_3 is unhealthy", "docker restart c_api_3",
    ),
    "its container has ended": (
        (*api(), pool(), *with_container(state="exited"), database()), "api_3 is exited", "docker restart c_api_3",
    ),
    "somebody took it out": ((*api(), OUT, *engines(), database()), "out of the balancer's pool", "balancer enable api_3"),
    "its monitor says no": (
        (*api(), with_pool(availability="offline", monitor_status="down"), *engines(), database()),
        "gives api_3 no connections", "balancer list",
    ),
    "a release stands half": (
        (*api(), pool(), engine("api", c_api_1=OLD, c_api_2=OLD), *engines()[1:], database()),
        "run different releases", "release list",
    ),
    "a dump runs": ((*api(), pool(), *engines(), database("pg_dump")), "beside a dump", "db progress"),
    "samaops itself dumps": (
        (*api(), pool(), *engines(), database("samaops backup")), "beside a dump", "db progress",
    ),
    "a restore runs": ((*api(), pool(), *engines(), database("pg_restore")), "beside a restore", "db progress"),
    "the database goes back": (
        (*api(), pool(), *engines(), database("samaops rollback")), "beside a rollback", "db progress",
    ),
    "a migration runs": ((*api(), pool(), *engines(), database("alembic")), "beside a migration", "db progress"),
}  # fmt: skip


@pytest.mark.parametrize(("of", "reason", "hint"), SICK.values(), ids=SICK.keys())
def test_nothing_is_begun_while_something_is_wrong(
    of: tuple[Observation, ...], reason: str, hint: str
) -> None:
    with pytest.raises(RefusedError, match=reason) as refused:
        roll("api", of=of)
    assert str(refused.value.hint).startswith(f"samaops {hint}")


def test_a_dump_that_begins_meanwhile_stops_it_before_the_next_turn() -> None:
    for number, step in enumerate(roll("api").steps):
        needs = [each for each in step.needs if each.reading == "postgresql.nothing_waited_for"]
        assert len(needs) == (number % 3 == 0), "once a turn, before anything of it"
        for need in needs:
            assert readings.value_of(need, snapshot(database())) is True
            assert readings.value_of(need, snapshot(database("pg_dump"))) is False
            assert "db" in (step.servers or ())


@pytest.mark.parametrize(("words", "down", "reason"), [
    (("api", "", "4"), (), "4 of 4 are well: while 4 restart, 0 would be left, and at least 1"),
    (("api", "", "2", "3"), (), "while 2 restart, 2 would be left, and at least 3"),
    (("api", "api"), ("api_4",), "3 of 4 are well: while 1 restart, 2 would be left, and at least 3"),
])  # fmt: skip
def test_never_fewer_than_the_least_and_never_the_last_one(
    words: tuple[str, ...], down: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        roll(*words, of=(*api(*down), pool(), *engines(), database()))


def test_one_that_is_sick_elsewhere_is_borne_where_fewer_must_be_well() -> None:
    plan = roll("api", "api", "1", "2", of=(*api("api_4"), pool(), *engines(), database()))
    assert len(plan.steps) == 6


@pytest.mark.parametrize("missing", ["loadbalancer", "postgresql", "docker"])
def test_what_could_not_be_looked_at_refuses(missing: str) -> None:
    blind = {"loadbalancer": BigIpFacts, "postgresql": PostgresFacts, "docker": DockerFacts}[missing]
    of = tuple(
        failed(each.subject, blind, REFUSED, each.server) if each.system == missing else each
        for each in well()
    )
    with pytest.raises(UnavailableError):
        roll("api", of=of)


def test_without_a_balancer_that_can_be_told_no_member_is_restarted() -> None:
    bare = Site(Settings.model_validate({**VALUES, "loadbalancer": {"url": "http://10.0.0.9"}}))
    with pytest.raises(RefusedError, match="cannot be told to spare a member"):
        roll("api", at=bare)


def test_where_nothing_runs_in_containers_it_is_wrong_usage() -> None:
    without = Site(Settings.model_validate({**VALUES, "docker": {"engine": "none"}}))
    with pytest.raises(UsageError, match="names no container"):
        verbs.find("docker roll").codes(without, ("api",))


class TestGoingOn:
    def test_what_was_restarted_since_is_left(self) -> None:
        """Their servers' clocks are of 1970, and not asked: a container's age is."""
        epoch = 2000.0
        fresh = with_container(started_at=epoch - 5.0)
        before = (datetime.now(timezone.utc) - timedelta(seconds=60)).isoformat()
        of = (*api(), pool(), *fresh, database())
        restarted = of_step(roll("api", "", "1", "", "", before, of=of), "docker.restart")
        assert [step.operation.arguments["container"] for step in restarted] == [
            "c_api_1",
            "c_api_2",
            "c_api_4",
        ]

    def test_where_all_were_there_is_nothing_to_do(self) -> None:
        plan = roll("api", "", "1", "", "", "2000-01-01T00:00:00+00:00")
        assert plan.steps == ()
        assert "2000-01-01T00:00:00+00:00" in plan.nothing_to_do

    def test_the_plan_says_what_goes_on_with_the_rest_and_it_is_the_same_again(self) -> None:
        plan = roll("api", "api", "1", "2", "45")
        words = plan.rest.split()
        assert words[:-1] == [
            "docker",
            "roll",
            "api",
            "--limit",
            "api",
            "--healthy",
            "2",
            "--within",
            "45",
            "--started-before",
        ]
        assert any(plan.rest in note for note in plan.notes)
        again = roll("api", "api", "1", "2", "45", words[-1])
        assert again.rest == plan.rest, "however often it stops"
        assert verbs.find("docker roll").typed(*again.arguments) == tuple(words[2:])


@pytest.mark.parametrize(("typed", "asked"), [
    ((), ("", "1", "", "", "")),
    (
        ("api,api2", 2, 3, 45.0, "2026-11-29T09:25:02+00:00"),
        ("api,api2", "2", "3", "45", "2026-11-29T09:25:02+00:00"),
    ),
])  # fmt: skip
def test_what_is_typed_is_what_is_asked(typed: tuple[Any, ...], asked: tuple[str, ...]) -> None:
    heard: list[tuple[str, ...]] = []
    ctx: Any = SimpleNamespace(obj=SimpleNamespace(change=lambda *words: heard.append(words)))
    command.roll(ctx, "api", *typed)
    verb, what, *words = heard[0]
    assert (verb, what, words[:-1]) == ("docker roll", "api", list(asked[:-1]))
    found, wanted = (Asked.of("api", before=moment).before for moment in (words[-1], asked[-1]))
    assert found == wanted


class TestWorkers:
    def test_each_ends_its_tasks_restarts_and_consumes_again(self) -> None:
        plan = roll("workers")
        assert [step.id for step in plan.steps] == ["celery.drain", "docker.restart", "celery.take_up"] * 3
        assert [step.ends_part for step in plan.steps] == [False, False, True] * 3
        drain, restart, _take_up = plan.steps[:3]
        assert lines(drain.operation, site(1))[1:] == (
            "samaops ssh workers -- docker exec c_worker1 celery -A app.celery_app control --timeout 5"
            " --destination worker1@host cancel_consumer normal",
            "samaops ssh workers -- docker exec c_worker1 celery -A app.celery_app inspect --timeout 5"
            " --destination worker1@host --json active",
        )
        assert drain.undo is not None
        assert "add_consumer normal" in lines(drain.undo, site(1))[0]
        assert {"api", "db"} <= set(drain.servers or ()), "of which its conditions are read"
        assert "api" in (restart.servers or ())
        assert restart.operation.command == "docker restart -t 300 c_worker1", (
            "warm: as long as a task may take"
        )
        assert restart.operation.timeout_seconds > 300
        assert {each.reading for each in restart.after} == {
            "docker.runs_anew", "celery.is_connected", "celery.consumes",
        }  # fmt: skip

    def test_before_each_another_two_consume_their_queues(self) -> None:
        for step in roll("workers").steps[:2]:
            (need,) = [each for each in step.needs if each.reading == "celery.enough_work"]
            assert readings.value_of(need, snapshot(nodes("worker2", "worker3"))) is True
            assert readings.value_of(need, snapshot(nodes("worker1", "worker2"))) is False
            idle = workers(*(replace(NODE, name=f"{name}@host", queues=()) for name in WORKERS))
            assert readings.value_of(need, snapshot(idle)) is False

    def test_what_a_worker_consumes_beyond_its_options_it_consumes_again(self) -> None:
        more = workers(*(replace(NODE, name=f"{name}@host", queues=("normal", "urgent")) for name in WORKERS))
        plan = roll("workers", of=(*api(), pool(), more, *engines(), database()))
        drain, _restart, take_up = plan.steps[:3]
        assert drain.operation.arguments["queues"] == ("normal", "urgent")
        assert take_up.operation.arguments["queues"] == ("urgent",)

    @pytest.mark.parametrize(("there", "reason", "hint"), [
        (nodes("worker1", "worker3"), "worker2 does not consume all", "workers restart worker2"),
        (nodes("worker1", "worker2", "worker3", "worker3"), "2 nodes are connected as worker3", "workers list"),
    ])  # fmt: skip
    def test_one_that_is_sick_is_not_restarted_by_turns(
        self, there: Observation, reason: str, hint: str
    ) -> None:
        with pytest.raises(RefusedError, match=reason) as refused:
            roll("workers", of=(*api(), pool(), there, *engines(), database()))
        assert str(refused.value.hint) == f"samaops {hint}"

    def test_the_only_one_is_not_restarted_by_turns(self) -> None:
        one = {"worker1": VALUES["celery"]["workers"]["worker1"]}
        alone = Site(Settings.model_validate({**VALUES, "celery": {"workers": one}}))
        with pytest.raises(RefusedError, match="1 of 1 are well: while 1 restart, 0 would be left"):
            roll("workers", at=alone, of=(nodes("worker1"), *engines(), database()))

    def test_one_that_hears_nothing_is_stopped_warm_and_that_is_said(self) -> None:
        mute = replace(
            workers(), facts=replace(workers().facts, others=(OtherConsumer("normal", "10.0.0.3:1"),))
        )
        plan = roll("workers", of=(*api(), pool(), mute, *engines(), database()))
        assert [step.id for step in plan.steps] == ["docker.restart"] * 3
        assert all(step.ends_part for step in plan.steps)
        assert any("cannot be told anything" in note for note in plan.notes)

    def test_a_queue_that_nobody_else_consumes_is_named(self) -> None:
        kept = {
            **VALUES["celery"]["workers"],
            "worker3": {**VALUES["celery"]["workers"]["worker3"], "queues": ["urgent"]},
        }
        other = Site(Settings.model_validate({**VALUES, "celery": {"workers": kept}}))
        of = workers(
            *(
                replace(NODE, name=f"{name}@host", queues=("urgent",) if name == "worker3" else ("normal",))
                for name in WORKERS
            )
        )
        plan = roll("workers", at=other, of=(of, *engines(), database()))
        assert "Nobody else consumes urgent: what comes meanwhile waits in the queue" in plan.notes

    def test_by_servers(self) -> None:
        assert moves(roll("workers", "workers2")) == [
            "celery.drain c_worker3", "docker.restart c_worker3", "celery.take_up c_worker3",
        ]  # fmt: skip


@pytest.mark.parametrize(("stdout", "count"), [
    ('{"w@h": []}', 0), ('a warning\n{"w@h": [{"id": "1"}, {"id": "2"}]}\n', 2), ("", None), ("{", None),
    ('{"other@h": []}', None), ('{"w@h": null}', None), ("[]", None),
])  # fmt: skip
def test_what_a_worker_did_not_say_is_not_nothing(stdout: str, count: int | None) -> None:
    assert doing._active(Completed(0, stdout, ""), "w@h") == count


class TestOneRestart:
    """``docker restart`` of a member."""

    def planned(self, *observations: Observation, at: Site | None = None) -> Plan:
        return verbs.find("docker restart").plan(snapshot(*observations), at or site(1), ("c_api_1",))

    def test_a_member_that_serves_is_spared(self) -> None:
        plan = self.planned(*api(), pool(), *engines())
        assert [step.id for step in plan.steps] == SPARED
        assert "loadbalancer.member" in verbs.find("docker restart").codes(site(1), ("c_api_1",))

    def test_one_that_does_not_serve_has_no_requests_to_wait_for(self) -> None:
        assert [step.id for step in self.planned(*api("api_1"), pool(), *engines()).steps] == [
            "docker.restart"
        ]

    def test_where_the_balancer_cannot_be_looked_at_that_is_said(self) -> None:
        plan = self.planned(*api(), failed("loadbalancer/pool", BigIpFacts, REFUSED), *engines())
        assert [step.id for step in plan.steps] == ["docker.restart"]
        assert any(
            "not taken out of the balancer's pool first: loadbalancer/pool" in note for note in plan.notes
        )

    def test_the_last_one_in_the_pool_stays(self) -> None:
        view = pool().facts
        assert isinstance(view, BigIpFacts)
        others_out = tuple(
            each if each.name == "api_1" else replace(each, session="user-disabled") for each in view.members
        )
        with pytest.raises(RefusedError, match="0 of 3 other members would serve"):
            self.planned(*api(), seen("loadbalancer/pool", replace(view, members=others_out)), *engines())


class TestStopped:
    """The engine: what has ended well stays, the step that failed is taken back, the others are not begun."""

    def applied(self, directory: Path, outcomes: dict[str, Outcome]) -> tuple[scripted.ScriptedWorld, Any]:
        world = scripted.world_with(directory, a=0, b=0, c=0, d=0)
        world.outcomes.update(outcomes)
        steps = [scripted.step(name) for name in "abcd"]
        steps[1] = replace(steps[1], ends_part=True)
        plan = scripted.plan(*steps, rest="docker roll api")
        return world, (plan, scripted.engine(world, scripted.journal_in(directory)).apply(plan))

    def test_a_failure_takes_back_its_own_turn_alone(self, tmp_path: Path) -> None:
        world, (plan, applied) = self.applied(tmp_path, {"d=1": Outcome(False, "no")})
        assert world.values == {"a": 1, "b": 1, "c": 0, "d": 0}
        assert world.ran == ["a=1", "b=1", "c=1", "d=1", "d=0", "c=0"]
        verified, reverted = ActionStatus.VERIFIED, ActionStatus.REVERTED
        assert applied.statuses == (verified, verified, reverted, reverted)
        (error,) = change.report_of(site(1), plan, applied).errors
        assert "to go on with the rest" not in error.message, "nothing is left"

    def test_the_rest_is_untouched_and_the_command_for_it_said(self, tmp_path: Path) -> None:
        world, (plan, applied) = self.applied(tmp_path, {"c=1": Outcome(False, "no")})
        assert (world.values, "d=1" in world.ran) == ({"a": 1, "b": 1, "c": 0, "d": 0}, False)
        assert (applied.exit_code, applied.statuses[-1]) == (2, ActionStatus.PLANNED)
        (error,) = change.report_of(site(1), plan, applied).errors
        assert error.message.endswith("to go on with the rest: samaops docker roll api")

    def test_ctrl_c_between_two_turns_leaves_the_first(self, tmp_path: Path) -> None:
        world = scripted.world_with(tmp_path, a=0, b=0)

        def interrupt() -> None:
            raise KeyboardInterrupt

        on: dict[str | int, Callable[[], None]] = {"b=1": interrupt}
        world.on.update(on)
        steps = (replace(scripted.step("a"), ends_part=True), scripted.step("b"))
        applied = scripted.engine(world, scripted.journal_in(tmp_path)).apply(scripted.plan(*steps))
        assert (world.values, applied.exit_code) == ({"a": 1, "b": 0}, 130)


class TestUndone:
    """An ended turn stays; of one that was killed in the middle, the member is put back."""

    def killed(self, directory: Path, steps: int) -> tuple[scripted.ScriptedWorld, Journal, str]:
        """Return the journal of a roll that was killed in so many steps: two are a turn."""
        world = scripted.world_with(directory, a=0, b=0, c=0, d=0)
        journal, plan = scripted.journal_in(directory), self.plan()
        identifier = journal.begin(to_plain(plan))
        for number, step in enumerate(plan.steps[:steps]):
            journal.write(identifier, history.STEP_BEGUN, number, {"before": []})
            world.run(step.operation)
            if number < steps - 1:
                journal.write(identifier, history.STEP_ENDED, number, {"is_ok": True, "output": ""})
                journal.write(identifier, history.STEP_VERIFIED, number, {})
        return world, journal, identifier

    def plan(self) -> Plan:
        steps = [scripted.step(name, can_undo=name in "ac") for name in "abcd"]
        ended = [replace(step, ends_part=step.title in ("Set b", "Set d")) for step in steps]
        return scripted.plan(*ended, rest="docker roll api --started-before X")

    def undone(self, world: scripted.ScriptedWorld, journal: Journal, identifier: str) -> Plan:
        change = journal.change(identifier)
        assert change is not None
        return undo.plan(change, world.look(scripted.CODES), is_done=scripted.never)

    def test_what_a_kill_has_left_is_taken_back_and_the_turn_before_it_stays(self, tmp_path: Path) -> None:
        back = self.undone(*self.killed(tmp_path, 3))
        assert [step.operation.command for step in back.steps] == ["c=0"]

    def test_one_that_ended_well_is_not_taken_back_and_nothing_offers_it(self, tmp_path: Path) -> None:
        world = scripted.world_with(tmp_path, a=0, b=0, c=0, d=0)
        journal = scripted.journal_in(tmp_path)
        safe = tuple(replace(step, risk=Risk.DISRUPTIVE) for step in self.plan().steps)
        plan = replace(self.plan(), steps=safe)
        applied = scripted.engine(world, journal).apply(plan)
        assert applied.exit_code == 0
        with pytest.raises(RefusedError, match="Set b: it cannot be taken back: it is gone"):
            self.undone(world, journal, applied.change)
        assert "To take it back" not in str(change.report_of(site(1), plan, applied).answer)

    def test_the_history_says_what_goes_on_with_the_rest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        here = site(1)
        journal = change.journal_of(here)
        journal.prepare()
        identifier = journal.begin(to_plain(roll("api")))
        journal.write(identifier, history.STEP_BEGUN, 0, {"before": []})
        journal.close()
        found = past.change(here, identifier)
        assert (found.status, found.unfinished_step) == (
            "interrupted",
            "Take api_1 out of the balancer's pool",
        )
        assert "to go on with the rest: samaops docker roll api --started-before" in found.reason


class TestBesideACompose:
    """One that a killed `rollback app` began goes on by itself: nothing is restarted beside it."""

    @pytest.mark.parametrize("what", ["api", "workers"])
    def test_nothing_is_restarted_while_a_container_is_replaced(self, what: str) -> None:
        names = servers(site(1))
        busy = replace(KEPT, is_replacing=True)
        of = (*well(), *map(server, names[:-1]), server(names[-1], busy))
        with pytest.raises(
            RefusedError, match=rf"Another docker compose, .* still replaces .* on {names[-1]}"
        ):
            roll(what, of=of)
        # Its container may be gone in that moment: that is no other reason.
        gone = tuple(each for each in of if (each.system, each.server) != ("docker", names[-1]))
        with pytest.raises(RefusedError, match="Another docker compose"):
            roll(what, of=gone)

    def test_it_is_looked_at_again_before_each_turn_and_those_servers_are_locked(self) -> None:
        names = servers(site(1))
        for what, turns in (("api", len(MEMBERS)), ("workers", len(WORKERS))):
            plan = roll(what)
            found = [(step, need) for step in plan.steps for need in step.needs if need.reading == "release.nothing_replaced"]  # fmt: skip
            assert len(found) == turns
            assert all(need.of == names and set(names) <= set(step.servers or ()) for step, need in found)
        _step, need = found[0]
        for is_replacing, value in ((False, True), (True, False)):
            now = snapshot(
                *map(server, names[:-1]), server(names[-1], replace(KEPT, is_replacing=is_replacing))
            )
            assert readings.value_of(need, now) is value
        with pytest.raises(readings.UnreadableError, match=names[-1]):
            readings.value_of(
                need, snapshot(*map(server, names[:-1]), server(names[-1], replace(KEPT, is_replacing=None)))
            )

    def test_where_a_server_was_not_seen_nothing_is_restarted(self) -> None:
        names = servers(site(1))
        blind = failed(f"release/{names[0]}", ReleaseFacts, REFUSED, names[0])
        with pytest.raises(UnavailableError, match=names[0]):
            roll("api", of=(*well(), blind, *map(server, names[1:])))
