"""Four API members on two servers, three workers, a standby: by configuration alone, and judged and changed right."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.causes import graph
from samaops.changes import readings, verbs
from samaops.checks import engine as checks
from samaops.config.settings import Settings
from samaops.errors import RefusedError
from samaops.facts.loadbalancer import ENABLED, BigIpFacts, MemberFacts
from samaops.facts.observation import Observation
from samaops.facts.postgresql import PostgresFacts, Standby
from samaops.model.plan import Plan
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.changes.test_plans import NODE, member, snapshot, workers
from tests.unit.changes.test_release_plans import NEW, OLD, SETTINGS, database, engine, server
from tests.unit.checks.judging import findings, seen, statuses

MEMBERS = ("api_1", "api_2", "api_3", "api_4")
WORKERS = ("worker1", "worker2", "worker3")
# Two members a server; the containers of a server are told apart by their names.
PLACES = {"api_1": "api", "api_2": "api", "api_3": "api2", "api_4": "api2"}
VALUES: dict[str, Any] = {
    **SETTINGS.model_dump(
        mode="json", exclude_none=True, exclude={"docker", "api", "celery", "loadbalancer"}
    ),
    "servers": {
        "api": {"address": "10.0.0.2"},
        "api2": {"address": "10.0.0.4"},
        "workers": {"address": "10.0.0.3"},
        "workers2": {"address": "10.0.0.5"},
        "db": {"address": "10.0.0.1"},
        "db2": {"address": "10.0.0.6"},
    },
    "docker": {
        "containers": {
            "api": ["c_api_1", "c_api_2"],
            "api2": ["c_api_3", "c_api_4"],
            "workers": ["c_worker1", "c_worker2"],
            "workers2": ["c_worker3"],
        }
    },
    "api": {
        "instances": [
            {
                "name": name,
                "url": f"http://10.0.0.{2 if PLACES[name] == 'api' else 4}:800{name[-1]}",
                "server": PLACES[name],
                "container": f"c_{name}",
            }
            for name in MEMBERS
        ]
    },
    "celery": {
        "workers": {
            name: {
                "server": "workers2" if name == "worker3" else "workers",
                "container": f"c_{name}",
                "queues": ["normal"],
            }
            for name in WORKERS
        }
    },
}
COMMANDS = {"server": "api", "list": "list", "offline": "offline {member}", "online": "online {member}"}


def site(least: int = 2) -> Site:
    balancer = {"url": "http://10.0.0.9", "least_serving": least, "commands": COMMANDS}
    return Site(Settings.model_validate({**VALUES, "loadbalancer": balancer}))


def api(*down: str) -> tuple[Observation, ...]:
    return tuple(member(name, 500 if name in down else 200) for name in MEMBERS)


def pool() -> Observation:
    members = tuple(
        MemberFacts(
            name=name, availability="available", enabled="enabled", reason="", monitor_status="up",
            session="user-enabled", current_connections=0,
            address=f"10.0.0.{2 if PLACES[name] == 'api' else 4}:800{name[-1]}", setting=ENABLED,
        )
        for name in MEMBERS
    )  # fmt: skip
    return seen("loadbalancer/pool", BigIpFacts("p", "", members, None, None, None, None))


def engines(image: str = NEW) -> tuple[Observation, ...]:
    return (
        engine("api", c_api_1=image, c_api_2=image),
        engine("api2", c_api_3=image, c_api_4=image),
        engine("workers", c_worker1=image, c_worker2=image),
        engine("workers2", c_worker3=image),
    )


def nodes(*names: str) -> Observation:
    return workers(*(replace(NODE, name=f"{name}@host", address=f"10.0.0.3:{name[-1]}") for name in names))


def planned(verb: str, arguments: tuple[str, ...], *observations: Observation, least: int = 2) -> Plan:
    return verbs.find(verb).plan(snapshot(*observations), site(least), arguments)


class TestJudged:
    def test_one_member_of_four_that_fails_is_that_member_and_not_the_api(self) -> None:
        run = snapshot(*api("api_3"), pool(), *engines())
        named, causes = graph.explain(checks.judge(run, site()), site())
        wrong = {finding.subject for finding in named if finding.status is Status.CRITICAL}
        assert wrong == {"api/api_3"}
        assert [(cause.subject, cause.verdict.value) for cause in causes] == [("api/api_3", "confirmed")]

    def test_a_worker_of_three_that_is_gone_is_named(self) -> None:
        found = statuses("celery.worker.missing", nodes("worker1", "worker3"), settings=site().settings)
        assert found == {"celery/worker1": "ok", "celery/worker2": "critical", "celery/worker3": "ok"}

    @pytest.mark.parametrize(("seconds", "status"), [(0.5, "ok"), (90.0, "warning"), (900.0, "critical")])
    def test_the_standby_that_is_farthest_behind_is_judged(self, seconds: float, status: str) -> None:
        near = Standby("db2", "10.0.0.6", "streaming", "async", 0, 0.1, None)
        far = replace(near, name="db3", lag_seconds=seconds)
        facts = replace(
            PostgresFacts("15", 150000, "samaops", True, False, 1.0, 1.0, 1.0), standbys=(near, far)
        )
        (found,) = findings("postgresql.replication.lag", seen("postgresql/db", facts, "db")).values()
        assert found.status.value == status
        assert status == "ok" or found.title.startswith("Standby db3 ")


class TestLeastServing:
    """Two of four must serve beside the one that is taken away."""

    @pytest.mark.parametrize(
        ("down", "allowed"), [((), True), (("api_4",), True), (("api_3", "api_4"), False)]
    )
    def test_a_drain(self, down: tuple[str, ...], allowed: bool) -> None:
        if allowed:
            assert planned("balancer drain", ("api_1", "30"), *api(*down), pool()).steps
            return
        with pytest.raises(RefusedError, match="1 of 3 other members would serve; at least 2 must"):
            planned("balancer drain", ("api_1", "30"), *api(*down), pool())

    @pytest.mark.parametrize(
        ("down", "allowed"), [((), True), (("api_4",), True), (("api_3", "api_4"), False)]
    )
    def test_a_restart(self, down: tuple[str, ...], allowed: bool) -> None:
        observations = (*api(*down), *engines())
        if not allowed:
            with pytest.raises(RefusedError, match="1 of 3 other members would serve; at least 2 must"):
                planned("docker restart", ("c_api_1",), *observations)
            return
        (step,) = planned("docker restart", ("c_api_1",), *observations).steps
        (need,) = step.needs
        assert need.text == "at least 2 other members serve"
        assert readings.value_of(need, snapshot(*api("api_4"))) is True
        assert readings.value_of(need, snapshot(*api("api_3", "api_4"))) is False

    def test_one_that_does_not_serve_takes_nothing_away(self) -> None:
        assert planned("docker restart", ("c_api_1",), *api("api_1", "api_2", "api_3"), *engines()).steps

    def test_with_one_at_least_the_last_one_stays(self) -> None:
        assert planned("docker restart", ("c_api_1",), *api("api_3", "api_4"), *engines(), least=1).steps
        with pytest.raises(RefusedError, match="last API member"):
            planned("docker restart", ("c_api_1",), *api("api_2", "api_3", "api_4"), *engines(), least=1)


class TestRollback:
    SEEN = (*(server(name) for name in ("api", "api2", "workers", "workers2")), database("aaa"))

    def test_members_go_one_after_the_other_each_spared_and_then_the_workers(self) -> None:
        well = (*api(), nodes(*WORKERS), pool())
        plan = planned("rollback app", ("",), *engines(), *self.SEEN, *well)
        moves = [
            (step.id, step.about.partition("/")[2])
            for step in plan.steps
            if step.about.startswith(("docker", "api", "loadbalancer"))
        ]
        recreated = [name for step, name in moves if step == "release.recreate"]
        assert recreated == [f"c_{name}" for name in (*MEMBERS, *WORKERS)]
        ids = [
            step.id
            for step in plan.steps
            if step.id in ("balancer.drain", "release.recreate", "balancer.enable", "release.bake")
        ]
        one = ["balancer.drain", "release.recreate", "balancer.enable", "release.bake"]
        assert ids == one * 4 + ["release.recreate"] * 3
        servers = [step.operation.server for step in plan.steps if step.id == "release.recreate"]
        assert servers == ["api", "api", "api2", "api2", "workers", "workers", "workers2"]
        assert plan.steps[0].operation.arguments
        assert all(
            step.operation.arguments["image"] == OLD for step in plan.steps if step.id == "release.recreate"
        )

    def test_before_each_member_leaves_two_others_must_serve(self) -> None:
        well = (*api(), nodes(*WORKERS), pool())
        plan = planned("rollback app", ("",), *engines(), *self.SEEN, *well)
        for step in plan.steps:
            if step.id != "balancer.drain":
                continue
            (need,) = [one for one in step.needs if one.reading == "balancer.may_leave"]
            name = step.about.partition("/")[2]
            assert name in MEMBERS
            others = [other for other in MEMBERS if other != name]
            assert readings.value_of(need, snapshot(*api(others[0]), pool())) is True
            assert readings.value_of(need, snapshot(*api(*others[:2]), pool())) is False
