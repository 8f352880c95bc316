"""The plans of the fixes for notifications: restart and scale a worker, empty a queue, set the watermark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.changes.run import operations
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.celery import CeleryFacts
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Observation
from samaops.facts.rabbitmq import BrokerNode, RabbitMQFacts
from samaops.facts.servers import ServerFacts
from samaops.model.plan import ActionStatus, Outcome, Plan, Risk
from samaops.site.site import Site
from tests.unit.changes import scripted
from tests.unit.changes.test_plans import CONTAINER, NODE, QUEUE, SETTINGS, broker, snapshot, workers
from tests.unit.checks.judging import REFUSED, failed, seen
from tests.unit.checks.test_servers import HEALTHY

MB = 10**6
BROKER_NODE = BrokerNode("rabbit@a", True, 100 * MB, 0, True, 1, 1, False, 1, 2, 1, 2, (), 60)


def server(name: str, available: int, total: int = 8000 * MB) -> Observation:
    facts: ServerFacts = replace(HEALTHY, memory_total=total, memory_available=available)
    return seen(f"servers/{name}", facts, name)


def scale(by: str, *observations: Observation) -> Plan:
    return verbs.find("workers scale").plan(snapshot(*observations), Site(SETTINGS), ("worker2", by))


def test_a_pool_grows_in_the_one_worker_and_the_undo_shrinks_it() -> None:
    (step,) = scale("+2", workers(NODE), server("workers", 4000 * MB)).steps
    assert step.operation.command.endswith("--destination worker2@host pool_grow 2")
    assert step.undo is not None
    assert step.undo.command.endswith("--destination worker2@host pool_shrink 2")
    assert (step.risk, step.is_undone_only_if_seen) == (Risk.SAFE, True)
    assert readings.hold(step.before, snapshot(workers(NODE)))
    assert not readings.hold(step.after, snapshot(workers(NODE)))
    assert readings.hold(step.after, snapshot(workers(replace(NODE, capacity=6))))


def test_a_pool_shrinks_and_the_undo_makes_it_grow() -> None:
    (step,) = scale("-1", workers(NODE)).steps
    assert "pool_shrink 1" in step.operation.command
    assert readings.hold(step.after, snapshot(workers(replace(NODE, capacity=3))))


@pytest.mark.parametrize(
    ("by", "observations", "said"),
    [
        ("+2", (workers(NODE), server("workers", 1000 * MB)), "memory to spare"),
        ("-4", (workers(NODE),), "nothing would be left"),
        ("+1", (workers(replace(NODE, capacity=0)), server("workers", 4000 * MB)), "without limit"),
    ],
)
def test_a_pool_is_not_scaled_where_that_does_harm(by: str, observations: Any, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        scale(by, *observations)


def test_a_pool_that_cannot_be_seen_is_not_scaled() -> None:
    with pytest.raises(UnavailableError):
        scale("-1", failed("celery/workers", CeleryFacts, REFUSED))
    with pytest.raises(UnavailableError):
        scale("-1", workers(NODE, replace(NODE, name="worker2@other")))


def test_a_worker_is_restarted_through_its_container_and_cures_what_is_stuck() -> None:
    engine = seen(
        "docker/workers", DockerFacts(1.0, 0, (), (replace(CONTAINER, name="c2"),), None, None), "workers"
    )
    plan = verbs.find("workers restart").plan(snapshot(engine), Site(SETTINGS), ("worker2",))
    assert [step.operation.command for step in plan.steps] == ["docker restart -t 30 c2"]
    assert "celery.task.stuck@celery/worker2" in plan.cures
    assert (plan.verb, plan.target) == ("workers restart", "worker2")


def purge(file: Path, *observations: Observation) -> Plan:
    return verbs.find("queue purge").plan(
        snapshot(*observations), Site(SETTINGS), ("low_priority", str(file))
    )


def test_a_queue_is_emptied_into_a_new_file_and_loses_data(tmp_path: Path) -> None:
    plan = purge(tmp_path / "f", broker(replace(QUEUE, ready=7)))
    (step,) = plan.steps
    assert (step.risk, plan.target) == (Risk.DESTRUCTIVE, "low_priority")
    assert readings.hold(step.after, snapshot(broker(replace(QUEUE, ready=2))))
    assert not readings.hold(step.after, snapshot(broker(replace(QUEUE, ready=9))))
    assert any("workers add-queue worker2 low_priority" in note for note in plan.notes)
    (shown,) = operations.lines(step.operation, Site(SETTINGS))
    assert shown.startswith("curl -u samaconso_admin -X POST")
    assert "ack_requeue_false" in shown


def test_a_file_that_exists_is_not_overwritten_and_too_many_messages_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("kept")
    with pytest.raises(RefusedError, match="exists already"):
        purge(tmp_path / "f", broker(replace(QUEUE, ready=1)))
    with pytest.raises(RefusedError, match="too many"):
        purge(tmp_path / "g", broker(replace(QUEUE, ready=60_000)))
    assert purge(tmp_path / "g", broker(QUEUE)).nothing_to_do


def watermark(node: BrokerNode, available: int, fraction: str = "0.5", limit: int = 1000 * MB) -> Plan:
    container = replace(CONTAINER, name="samaconso_rabbitmq", memory_limit=limit)
    facts = RabbitMQFacts("3", "", "/", (), False, None, 0, 0, 0, 1, (node,), (), None, None)
    seen_all = (
        seen("rabbitmq/api", facts),
        seen("docker/api", DockerFacts(1.0, 8000 * MB, (), (container,), None, None), "api"),
        server("api", available),
    )
    return verbs.find("queue set-watermark").plan(snapshot(*seen_all), Site(SETTINGS), (fraction,))


def test_the_watermark_is_a_part_of_the_container_and_the_old_one_comes_back() -> None:
    (step,) = watermark(replace(BROKER_NODE, memory_limit=700 * MB), 4000 * MB).steps
    assert step.operation.command.endswith("set_vm_memory_high_watermark absolute 500000000")
    assert step.undo is not None
    assert step.undo.command.endswith("absolute 700000000")
    (step,) = watermark(BROKER_NODE, 4000 * MB).steps
    assert step.undo is not None
    assert step.undo.command.endswith("set_vm_memory_high_watermark 0")


def test_the_watermark_stays_within_the_host_and_above_what_is_used() -> None:
    with pytest.raises(RefusedError, match="uses 600 MB already"):
        watermark(replace(BROKER_NODE, memory_used=600 * MB), 4000 * MB)
    with pytest.raises(RefusedError, match="may not take 400 MB more"):
        watermark(BROKER_NODE, 1100 * MB)
    assert watermark(replace(BROKER_NODE, memory_limit=500 * MB), 4000 * MB).nothing_to_do
    with pytest.raises(UsageError):
        verbs.find("queue set-watermark").codes(Site(SETTINGS), ("0.9",))


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("workers scale", ("nobody", "+1")),
        ("workers scale", ("worker2", "+99")),
        ("queue purge", ("none", "f")),
    ],
)
def test_names_and_sizes_that_mean_nothing_are_refused(verb: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        verbs.find(verb).codes(Site(SETTINGS), arguments)


def test_a_broker_without_a_container_cannot_be_told() -> None:
    settings = Settings.model_validate({"rabbitmq": {"container": None}})
    with pytest.raises(RefusedError):
        verbs.find("queue set-watermark").codes(Site(settings), ("0.5",))


@pytest.mark.parametrize(("had_effect", "undone"), [(False, []), (True, ["a=0"])])
def test_an_undo_that_counts_from_what_is_there_runs_only_where_there_was_an_effect(
    tmp_path: Path, had_effect: bool, undone: list[str]
) -> None:
    world = scripted.world_with(tmp_path, a=0)
    world.outcomes["a=1"] = Outcome(False, "failed late" if had_effect else "failed")
    engine = replace(scripted.engine(world, scripted.journal_in(tmp_path)), sleep=lambda _seconds: None)
    step = replace(scripted.step("a"), is_undone_only_if_seen=True)
    applied = engine.apply(scripted.plan(step))
    assert applied.statuses == (ActionStatus.REVERTED,)
    assert world.ran == ["a=1", *undone]
    assert world.values == {"a": 0}


def test_a_step_of_which_nothing_can_be_read_is_not_taken_for_undone(tmp_path: Path) -> None:
    world = scripted.world_with(tmp_path, a=0)
    world.outcomes["a=1"] = Outcome(False, "failed")
    step = replace(scripted.step("a", can_undo=False), before=(), after=())
    # as LiveWorld does: of no codes there is nothing to see
    world.look = lambda codes: scripted.ScriptedWorld.look(world, codes or scripted.CODES)  # type: ignore[method-assign]
    applied = scripted.engine(world, scripted.journal_in(tmp_path)).apply(scripted.plan(step))
    assert applied.statuses == (ActionStatus.FAILED,)
