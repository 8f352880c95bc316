"""The plan that revokes one task: only one that is stuck, and never without saying what is lost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.changes.celery.revoke import TERMINATE
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.celery import ACTIVE_TASKS, ActiveTask, CeleryFacts
from samaops.facts.observation import Observation
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import NODE, SETTINGS, snapshot
from tests.unit.checks.judging import REFUSED, failed, seen

WITH_FLOWER = Settings.model_validate({**SETTINGS.model_dump(), "flower": {}})
STUCK = ActiveTask("id-1", "send_single", "worker2@host", "{'user_id': 7}", 900.0, 2)


def workers(*active: ActiveTask) -> Observation:
    return seen("celery/workers", CeleryFacts((NODE,), (), None, active, None))


def revoke(*observations: Observation, words: tuple[str, ...] = ("id-1", TERMINATE)) -> Plan:
    return verbs.find("workers revoke").plan(snapshot(*observations), Site(WITH_FLOWER), words)


def test_the_task_is_ended_in_its_own_worker_and_its_loss_is_said() -> None:
    plan = revoke(workers(STUCK))
    (step,) = plan.steps
    assert step.operation.command == (
        "docker exec c2 celery -A app.celery_app control --timeout 5 --destination worker2@host"
        " terminate SIGKILL id-1"
    )
    assert (step.risk, plan.target, step.undo, step.operation.server) == (
        Risk.DESTRUCTIVE, "id-1", None, "workers",
    )  # fmt: skip
    notes = " ".join(plan.notes)
    assert "acks_late" in notes
    assert "is not sent" in notes
    assert "send_single {'user_id': 7}" in notes
    assert readings.hold(step.before, snapshot(workers(STUCK)))
    assert not readings.hold(step.after, snapshot(workers(STUCK)))
    assert readings.hold(step.after, snapshot(workers()))


def test_without_terminate_every_worker_is_told_and_this_one_is_asked() -> None:
    (step,) = revoke(workers(STUCK), words=("id-1",)).steps
    tell, ask = step.operation.command.split(" && ")
    assert tell.endswith("control --timeout 5 revoke id-1")
    assert "--destination worker2@host revoked | grep -F id-1" in ask
    assert step.risk is Risk.DESTRUCTIVE, "what comes back is dropped"


def test_nobody_s_task_and_one_of_a_worker_that_was_killed_need_nothing() -> None:
    assert "no worker is in a task" in revoke(workers()).nothing_to_do
    assert revoke(workers(replace(STUCK, worker_active=0))).nothing_to_do


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (replace(STUCK, runtime_seconds=599.0), "stuck after 600 s"),
        (replace(STUCK, worker="worker9@host"), "no worker with a container"),
        (replace(STUCK, worker="bare@host"), "no worker with a container"),
        (replace(STUCK, worker="worker2@other"), "is connected as"),
    ],
)
def test_what_is_not_stuck_or_not_ours_is_not_revoked(task: ActiveTask, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        revoke(workers(task))


def test_what_flower_does_not_tell_is_not_known() -> None:
    with pytest.raises(UnavailableError):
        revoke(seen("celery/workers", CeleryFacts((NODE,), (), None, None, None)))
    with pytest.raises(UnavailableError):
        revoke(failed("celery/workers", CeleryFacts, REFUSED))
    many = [replace(STUCK, id=f"other-{number}") for number in range(ACTIVE_TASKS)]
    with pytest.raises(UnavailableError, match="not among the newest"):
        revoke(workers(*many))


def test_without_flower_or_an_id_it_is_a_wrong_command_line() -> None:
    verb = verbs.find("workers revoke")
    with pytest.raises(UsageError, match=r"\[flower\]"):
        verb.codes(Site(SETTINGS), ("id-1",))
    for words in ((" ",), ("id-1", "--kill")):
        with pytest.raises(UsageError):
            verb.codes(Site(WITH_FLOWER), words)


def test_an_id_from_outside_stays_one_word() -> None:
    evil = "x; reboot"
    for words in ((evil, TERMINATE), (evil,)):
        (step,) = revoke(workers(replace(STUCK, id=evil)), words=words).steps
        assert step.operation.command.endswith(f"'{evil}'")
