"""What is planned from which facts: the right command, or nothing, or a guard that no flag switches off."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.run.operations import lines
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.api import ApiFacts
from samaops.facts.celery import CeleryFacts, CeleryNode, OtherConsumer
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.health import HealthAnswer
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.rabbitmq import BrokerQueue, Count, RabbitMQFacts
from samaops.journal.plans import plan_from, to_plain
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows import history as past_changes
from tests.unit.checks.judging import REFUSED, failed, seen

SETTINGS = Settings.model_validate(
    {
        "servers": {"workers": {"address": "10.0.0.3"}, "api": {"address": "10.0.0.2"}},
        "rabbitmq": {"server": "api"},
        "celery": {
            "workers": {
                "worker2": {"server": "workers", "container": "c2", "queues": ["normal", "low_priority"]},
                "bare": {"server": "workers", "queues": ["urgent"]},
            }
        },
        "docker": {"containers": {"api": ["a1", "a2"], "workers": ["c2"]}},
        "api": {
            "instances": [
                {"name": "api_1", "url": "http://10.0.0.2:8001", "container": "a1"},
                {"name": "api_2", "url": "http://10.0.0.2:8002", "container": "a2"},
            ]
        },
    }
)
QUEUE = BrokerQueue("low_priority", "running", 0, 0, 0, 0, True, False, 0, 0, 0, 0, None, {})
NODE = CeleryNode("worker2@host", "10.0.0.3:5", ("normal",), 0, 4)
CONTAINER = Container(
    name="a1", id="0123456789abcdef", image="i", image_id="sha", state="running", health=None, health_log="",
    restart_count=0, restart_policy="no", oom_killed=False, exit_code=0, error="", pid=7, started_at=1000.0,
    finished_at=None, memory_limit=0, log_path="", log_bytes=None, log_max_size=None, project=None, service=None,
)  # fmt: skip


def snapshot(*observations: Observation) -> Snapshot:
    return Snapshot(datetime.now(timezone.utc), observations)


def counted(queue: BrokerQueue) -> BrokerQueue:
    """Return a queue of which the broker itself counts what its statistics show, where a test says nothing else."""
    if queue.counted is not None or queue.ready is None or queue.consumers is None:
        return queue
    return replace(queue, counted=Count(queue.ready, queue.consumers))


def broker(*given: BrokerQueue) -> Observation:
    queues = tuple(counted(queue) for queue in given)
    facts = RabbitMQFacts("3", "", "/", (), False, None, 0, 0, 0, 1, None, queues, None, None)
    return seen("rabbitmq/api", facts)


def workers(*nodes: CeleryNode) -> Observation:
    return seen("celery/workers", CeleryFacts(nodes, (), None, None, None))


def engine(server: str, *containers: Container) -> Observation:
    facts = DockerFacts(2000.0, 0, ("a1", "a2"), containers, None, None)
    return seen(f"docker/{server}", facts, server)


def member(name: str, status: int) -> Observation:
    answer = HealthAnswer("http://x/health", status, "", "", "running", None, "", 1.0, 1.0, (1.0,))
    return seen(f"api/{name}", ApiFacts(name, answer))


def planned(verb: str, arguments: tuple[str, ...], *observations: Observation) -> Plan:
    return verbs.find(verb).plan(snapshot(*observations), Site(SETTINGS), arguments)


def add_queue(*observations: Observation) -> Plan:
    return planned("workers add-queue", ("worker2", "low_priority"), *observations)


def restart(*observations: Observation, name: str = "a1") -> Plan:
    return planned("docker restart", (name,), *observations)


def test_the_command_reaches_exactly_the_one_node() -> None:
    (step,) = add_queue(workers(NODE), broker(QUEUE)).steps
    assert step.operation.command == (
        "docker exec c2 celery -A app.celery_app control --timeout 5 --destination worker2@host"
        " add_consumer low_priority"
    )
    assert step.undo is not None
    assert step.undo.command == step.operation.command.replace("add_consumer", "cancel_consumer")
    assert (step.operation.server, step.risk) == ("workers", Risk.SAFE)
    assert lines(step.operation, Site(SETTINGS))[0].startswith("samaops ssh workers -- docker exec c2 ")


def test_a_name_from_outside_stays_one_word_of_the_command() -> None:
    node = replace(NODE, name="worker2@h;reboot")
    (step,) = add_queue(workers(node), broker(QUEUE)).steps
    assert " 'worker2@h;reboot' " in step.operation.command


def test_a_queue_that_is_consumed_needs_nothing() -> None:
    plan = add_queue(workers(replace(NODE, queues=("normal", "low_priority"))), broker(QUEUE))
    assert plan.steps == ()
    assert "already consumes" in plan.nothing_to_do


@pytest.mark.parametrize(
    ("observations", "said"),
    [
        ((workers(NODE), broker()), "does not exist on the broker"),
        ((workers(), broker(QUEUE)), "is not connected"),
        ((workers(NODE, replace(NODE, name="worker2@other")), broker(QUEUE)), "More than one node"),
    ],
)
def test_a_queue_is_not_added_where_that_could_do_harm(
    observations: tuple[Observation, ...], said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        add_queue(*observations)


@pytest.mark.parametrize(
    "observations",
    [
        (failed("celery/workers", CeleryFacts, REFUSED), broker(QUEUE)),
        (workers(NODE), failed("rabbitmq/api", RabbitMQFacts, REFUSED)),
        (),
    ],
)
def test_what_could_not_be_looked_at_is_not_changed(observations: tuple[Observation, ...]) -> None:
    with pytest.raises(UnavailableError):
        add_queue(*observations)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("worker3", "low_priority"), "worker 'worker3'"), (("worker2", "low"), "no queue 'low'")],
)
def test_unknown_names_are_wrong_usage(arguments: tuple[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        verbs.find("workers add-queue").codes(Site(SETTINGS), arguments)


def test_a_worker_whose_container_was_renamed_is_told_in_it() -> None:
    facts = DockerFacts(2000.0, 0, ("c2",), (replace(CONTAINER, name="3f9a1c0be2d4_c2"),), None, None)
    (step,) = add_queue(workers(NODE), broker(QUEUE), seen("docker/workers", facts, "workers")).steps
    assert step.undo is not None
    for operation in (step.operation, step.undo):
        assert operation.command.startswith("docker exec 3f9a1c0be2d4_c2 celery ")
    codes = verbs.find("workers add-queue").codes(Site(SETTINGS), ("worker2", "low_priority"))
    assert "docker.container" in codes


def test_a_worker_without_a_container_cannot_be_told() -> None:
    with pytest.raises(RefusedError, match="names no container"):
        verbs.find("workers add-queue").codes(Site(SETTINGS), ("bare", "urgent"))


def test_a_running_container_is_restarted_without_a_way_back() -> None:
    (step,) = restart(engine("api", CONTAINER), member("api_1", 200), member("api_2", 200)).steps
    assert step.operation.command == "docker restart -t 30 a1"
    assert (step.undo, bool(step.no_undo), step.risk) == (None, True, Risk.DISRUPTIVE)
    (need,) = step.needs
    assert (need.of, need.value) == (("running", "api_2"), True)


def test_a_renamed_container_is_restarted_by_the_name_that_it_has_now() -> None:
    there = replace(CONTAINER, name="3f9a1c0be2d4_a1", state="exited")
    (step,) = restart(engine("api", there), member("api_2", 200)).steps
    assert step.operation.command == "docker restart -t 30 3f9a1c0be2d4_a1"
    assert step.undo is not None
    assert step.undo.command == "docker stop -t 30 3f9a1c0be2d4_a1"
    assert {condition.of[:2] for condition in step.before} == {("api", "a1")}


def test_a_worker_without_a_control_queue_shows_by_its_queues_that_it_is_back() -> None:
    others = (OtherConsumer("normal", "10.0.0.3:1"), OtherConsumer("low_priority", "10.0.0.3:1"))
    mute = seen("celery/workers", CeleryFacts((), others, None, None, None))
    (step,) = restart(engine("workers", replace(CONTAINER, name="c2")), mute, name="c2").steps
    wanted = {condition.reading: condition.of for condition in step.after}
    queues = SETTINGS.celery.workers["worker2"].queues if SETTINGS.celery else ()
    assert wanted.get("celery.are_consumed") == queues
    assert "celery.is_connected" not in wanted


def test_a_stopped_container_is_started_and_can_be_stopped_again() -> None:
    ended = replace(CONTAINER, state="exited")
    (step,) = restart(engine("api", ended), member("api_2", 200)).steps
    assert step.undo is not None
    assert step.undo.command == "docker stop -t 30 a1"


def test_the_last_member_that_serves_is_never_restarted() -> None:
    with pytest.raises(RefusedError, match="last API member that serves"):
        restart(engine("api", CONTAINER), member("api_1", 200), member("api_2", 503))


def test_a_member_that_does_not_serve_may_be_restarted_when_no_other_does() -> None:
    plan = restart(engine("api", CONTAINER), member("api_1", 503), member("api_2", 503))
    (step,) = plan.steps
    (need,) = step.needs
    assert (need.of, need.value) == (("running", "api_1"), False)


def test_a_paused_container_is_not_restarted() -> None:
    with pytest.raises(RefusedError, match="paused"):
        restart(engine("api", replace(CONTAINER, state="paused")))


def test_a_container_on_the_server_of_another_is_not_taken_for_it() -> None:
    with pytest.raises(UnavailableError, match="no container a1 on api"):
        restart(engine("workers", CONTAINER), engine("api"))


def test_a_workers_container_must_bring_its_worker_back() -> None:
    (step,) = restart(engine("workers", replace(CONTAINER, name="c2")), name="c2").steps
    assert "celery.is_connected" in {one.reading for one in step.after}


@pytest.mark.parametrize(
    "plan",
    [
        add_queue(workers(NODE), broker(QUEUE)),
        restart(engine("api", CONTAINER), member("api_1", 200), member("api_2", 200)),
    ],
)
def test_a_plan_comes_back_from_the_journal_as_it_was(plan: Plan) -> None:
    assert plan_from(json.loads(json.dumps(to_plain(plan)))) == plan


@pytest.mark.parametrize("name", verbs.names())
def test_every_verb_has_its_own_name(name: str) -> None:
    assert verbs.find(name).name == name


def test_what_takes_hours_holds_a_lock_of_its_own_and_is_not_closed_by_other_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    values = {**SETTINGS.model_dump(), "safety": {"lock_directory": tmp_path}}
    site = Site(Settings.model_validate(values))
    journal = change.journal_of(site)
    journal.prepare()
    long = Plan("db vacuum", (), "Vacuum", "all", lock="upkeep")
    begun = journal.begin(to_plain(long))
    with change.lock_for(site, journal, "upkeep"), change.lock_for(site, journal):
        change._note_interrupted(journal, "")
        assert journal.unfinished() == (begun,)
        (past,) = past_changes.changes(site, 5)
        assert past.status == "running"
    with change.lock_for(site, journal, "upkeep"):
        change._note_interrupted(journal, "upkeep")
    assert journal.unfinished() == ()
    journal.close()
