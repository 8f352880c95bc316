"""What is planned for the balancer's pool: who may leave it, who may come back, and what an undo brings."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.changes.balancer import members as pool
from samaops.changes.run.operations import lines
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.api import ApiFacts
from samaops.facts.loadbalancer import BigIpFacts, MemberFacts
from samaops.facts.observation import Observation
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import member as api
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import REFUSED, failed, seen

BIGIP = {"url": "https://10.0.0.9", "username": "samaops", "password": "x"}
ADDRESSES = {"api_1": "10.0.0.2:8001", "api_2": "10.0.0.2:8002", "api_3": "10.0.0.4:8001"}
VALUES: dict[str, Any] = {
    "servers": {"api": {"address": "10.0.0.2"}, "api3": {"address": "10.0.0.4"}},
    "api": {
        "instances": [
            {"name": name, "url": f"http://{address}", "server": "api3" if name == "api_3" else "api"}
            for name, address in ADDRESSES.items()
        ]
    },
    "loadbalancer": {"url": "http://10.0.0.8", "bigip": BIGIP},
}
SITE = Site(Settings.model_validate(VALUES))


def facts(
    name: str, setting: str = "enabled", *, is_well: bool = True, connections: int | None = 3
) -> MemberFacts:
    """Return a member as an F5 shows it."""
    words = {
        "enabled": ("available", "enabled", "Pool member is available", "up", "enabled"),
        "disabled": (
            "available",
            "disabled",
            "Pool member is available, user disabled",
            "up",
            "user-disabled",
        ),
        "offline": ("offline", "disabled", "Forced down", "forced-down", "user-disabled"),
    }[setting]
    if not is_well:
        words = ("offline", words[1], "marked down by a monitor", "down", words[4])
    return MemberFacts(ADDRESSES.get(name, name), *words, connections, ADDRESSES.get(name, name), setting)


def balancer(*members: MemberFacts) -> Observation:
    view = BigIpFacts("samaconso_api_pool", "vip", members, (), "available", "enabled", "")
    return seen("loadbalancer/bigip", view)


SERVING = tuple(api(name, 200) for name in ADDRESSES)
THREE = balancer(*map(facts, ADDRESSES))


def planned(verb: str, name: str, *observations: Observation, site: Site = SITE) -> Plan:
    more = ("30",) if verb == "balancer drain" else ()
    return verbs.find(verb).plan(snapshot(*observations), site, (name, *more))


def with_least(least: int) -> Site:
    return Site(
        Settings.model_validate(
            {**VALUES, "loadbalancer": {**VALUES["loadbalancer"], "least_serving": least}}
        )
    )


@pytest.mark.parametrize("name", ["api_1", "10.0.0.2:8001"])
def test_a_drain_forces_offline_and_its_undo_enables(name: str) -> None:
    plan = planned("balancer drain", name, THREE, *SERVING)
    (step,) = plan.steps
    assert (plan.target, plan.risk) == ("10.0.0.2:8001", Risk.DISRUPTIVE)
    assert lines(step.operation, SITE) == (
        "tmsh modify ltm pool samaconso_api_pool members modify { 10.0.0.2:8001 { state user-down session user-disabled } }",
    )
    assert step.undo is not None
    assert step.undo.arguments == {"member": "10.0.0.2:8001", "setting": "enabled"}
    assert any("not saved on the F5" in note for note in plan.notes)
    assert step.operation.server is None, "nothing runs on a server without a watchdog"
    assert step.servers == ("api", "api3")


def test_the_undo_of_a_drain_leaves_a_disabled_member_disabled() -> None:
    observed = balancer(facts("api_1", "disabled"), facts("api_2"), facts("api_3"))
    (step,) = planned("balancer drain", "api_1", observed, *SERVING).steps
    assert step.undo is not None
    assert step.undo.arguments["setting"] == "disabled"
    assert step.before[0].value == "disabled"


REFUSED_DRAINS: dict[str, tuple[Site, tuple[Observation, ...], str]] = {
    "the last one": (SITE, (balancer(facts("api_1"), facts("api_2", "offline"), facts("api_3", "offline")), *SERVING), "0 of 2"),
    "the others are down by their monitor": (
        SITE,
        (balancer(facts("api_1"), facts("api_2", is_well=False), facts("api_3", is_well=False)), *SERVING),
        "0 of 2",
    ),
    "the others do not answer well themselves": (
        SITE, (THREE, api("api_1", 200), api("api_2", 503), failed("api/api_3", ApiFacts, REFUSED)), "0 of 2",
    ),
    "nobody looked at the others": (SITE, (THREE,), "0 of 2"),
    "a disabled member does not count": (
        SITE, (balancer(facts("api_1"), facts("api_2", "disabled")), *SERVING), "0 of 1",
    ),
    "two must serve": (
        with_least(2), (balancer(facts("api_1"), facts("api_2", "offline"), facts("api_3")), *SERVING), "1 of 2",
    ),
    "a pool of one": (SITE, (balancer(facts("api_1")), *SERVING), "0 of 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_DRAINS)
def test_too_few_would_serve(case: str) -> None:
    site, observations, count = REFUSED_DRAINS[case]
    with pytest.raises(RefusedError, match=f"{count} other members would serve; at least"):
        planned("balancer drain", "api_1", *observations, site=site)


def test_two_of_three_may_leave_one_after_the_other() -> None:
    assert planned("balancer drain", "api_1", THREE, *SERVING).steps
    second = balancer(facts("api_1", "offline"), facts("api_2"), facts("api_3"))
    assert planned("balancer drain", "api_2", second, *SERVING).steps
    third = balancer(facts("api_1", "offline"), facts("api_2", "offline"), facts("api_3"))
    with pytest.raises(RefusedError, match="0 of 2 other members would serve"):
        planned("balancer drain", "api_3", third, *SERVING)


def test_one_without_a_known_instance_counts_where_a_monitor_sees_it() -> None:
    assert planned(
        "balancer drain", "api_1", balancer(facts("api_1"), facts("10.0.0.77:8001")), *SERVING
    ).steps
    unwatched = replace(facts("10.0.0.77:8001"), availability="unknown", monitor_status="unchecked")
    with pytest.raises(RefusedError, match="0 of 1"):
        planned("balancer drain", "api_1", balancer(facts("api_1"), unwatched), *SERVING)


def test_what_a_drain_needs_is_read_again_and_does_not_hinder_its_undo() -> None:
    plan = planned("balancer drain", "api_1", THREE, *SERVING)
    (step,) = plan.steps
    assert readings.hold((*step.needs, *step.before), snapshot(THREE, *SERVING))
    alone = balancer(facts("api_1"), facts("api_2", "offline"), facts("api_3", "offline"))
    assert "another member serves" in readings.broken(step.needs, snapshot(alone, *SERVING))
    out = balancer(facts("api_1", "offline"), facts("api_2", "offline"), facts("api_3", "offline"))
    assert readings.hold(step.needs, snapshot(out)), "where nobody else serves, an undo is what helps"


def test_what_is_so_already_is_left() -> None:
    observed = balancer(facts("api_1", "offline"), facts("api_2"))
    assert "already" in planned("balancer drain", "api_1", observed, *SERVING).nothing_to_do
    assert "already" in planned("balancer enable", "api_2", observed, *SERVING).nothing_to_do


def test_a_member_comes_back_when_it_serves_itself() -> None:
    observed = balancer(facts("api_1", "offline"), facts("api_2"))
    plan = planned("balancer enable", "api_1", observed, *SERVING)
    (step,) = plan.steps
    assert plan.risk is Risk.SAFE
    assert plan.cures == ("loadbalancer.member.down@loadbalancer/10.0.0.2:8001",)
    assert step.undo is not None
    assert (step.undo.kind, step.undo.arguments["member"]) == (pool.DRAIN, "10.0.0.2:8001")
    with pytest.raises(RefusedError, match="does not serve on its own health path"):
        planned("balancer enable", "api_1", observed, api("api_1", 503), api("api_2", 200))
    with pytest.raises(RefusedError, match="does not serve on its own health path"):
        planned("balancer enable", "api_1", observed, api("api_2", 200))


def test_a_member_of_which_nothing_would_show_that_it_serves_stays_out() -> None:
    with pytest.raises(RefusedError, match="not known which API instance"):
        planned("balancer enable", "10.0.0.77:8001", balancer(facts("10.0.0.77:8001", "offline")), *SERVING)


def test_what_cannot_be_read_is_not_planned_on() -> None:
    unclear = balancer(replace(facts("api_1"), setting=""), facts("api_2"))
    for verb in ("balancer drain", "balancer enable"):
        with pytest.raises(UnavailableError):
            planned(verb, "api_1", unclear, *SERVING)
        with pytest.raises(UnavailableError):
            planned(verb, "api_1", failed("loadbalancer/bigip", BigIpFacts, REFUSED), *SERVING)


def test_a_name_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no member 'api_l'") as error:
        planned("balancer drain", "api_l", THREE, *SERVING)
    assert "did you mean api_" in (error.value.hint or "")


def test_without_a_balancer_to_control_nothing_is_looked_at() -> None:
    site = Site(Settings.model_validate({**VALUES, "loadbalancer": {"url": "http://10.0.0.8"}}))
    with pytest.raises(UsageError, match=r"loadbalancer\.commands"):
        verbs.find("balancer drain").codes(site, ("api_1", "30"))


@pytest.mark.parametrize("within", ["0.5", "4000", "nan"])
def test_a_wait_without_measure_is_refused(within: str) -> None:
    with pytest.raises(UsageError, match="is not between"):
        verbs.find("balancer drain").codes(SITE, ("api_1", within))


def test_the_steps_of_a_larger_plan_have_their_watchdog() -> None:
    seen_now = snapshot(THREE, *SERVING)
    member = pool.member_named(seen_now, SITE, "api_1")
    out, back = (
        pool.drain_step(seen_now, SITE, member, 20, 300),
        pool.enable_step(SITE, member, guard_seconds=300),
    )
    assert (out.operation.server, back.operation.server) == ("api", None)
    assert "by itself 300 s later" in lines(out.operation, SITE)[0]
    assert out.after == back.before, "the one begins where the other ends"
    assert back.undo is not None
    assert (back.undo.arguments["guard_seconds"], back.undo.server) == (300, "api")


def test_a_balancer_with_commands_is_shown_as_it_is_typed() -> None:
    commands = {"server": "api", "list": "b list", "offline": "b off {member}", "online": "b on {member}"}
    site = Site(
        Settings.model_validate({**VALUES, "loadbalancer": {"url": "http://10.0.0.8", "commands": commands}})
    )
    (step,) = planned("balancer drain", "api_1", THREE, *SERVING, site=site).steps
    assert lines(step.operation, site) == ("samaops ssh api -- b off 10.0.0.2:8001",)
    assert step.undo is not None
    assert lines(step.undo, site) == ("samaops ssh api -- b on 10.0.0.2:8001",)
    assert step.operation.server == "api"
