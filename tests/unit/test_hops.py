"""The hops of a diagnosis: a count that nobody could take is never shown as well."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

import pytest

from samaops.config.playbooks import all_of
from samaops.config.settings import Settings
from samaops.facts.celery import CeleryFacts, RecentTasks
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.rabbitmq import QueueFlow
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.render import guide
from samaops.render.layout import Hanging
from samaops.render.words import UNICODE
from samaops.site.site import Site
from samaops.workflows.troubleshooting import hops, message_counts

SITE: dict[str, Any] = {
    "servers": {"api": {"address": "127.0.0.1"}, "workers": {"address": "127.0.0.1"}},
    "rabbitmq": {"password": "x"},
    "flower": {},
    "celery": {},
    "firebase": {},
}
FLOWS = (QueueFlow("normal", 0, 0, 1, 5, 5, 5, 0),)
BROKER_IS_WELL = (Finding("rabbitmq.service.unreachable", Status.OK, "rabbitmq/api", "It answers"),)
GOOGLE_IS_WELL = (Finding("firebase.service.down", Status.OK, "firebase/fcm", "It answers"),)
TASKS_FAIL = (Finding("celery.tasks.failing", Status.CRITICAL, "celery/tasks", "Tasks fail"),)


def snapshot(*outcomes: bool, is_heard: bool = True) -> Snapshot:
    recent = RecentTasks(outcomes, "", 0, {}, 600) if is_heard else None
    facts = CeleryFacts((), (), (), (), recent)
    seen = Observation("celery", "celery/workers", None, "CeleryFacts", facts, None)
    return Snapshot(datetime.now(timezone.utc), (seen,))


def hop(
    name: str,
    found: tuple[Finding, ...],
    seen: Snapshot,
    flows: tuple[QueueFlow, ...] | None = FLOWS,
    **without: None,
) -> Finding:
    settings = Settings.model_validate({**SITE, **without})
    counts = message_counts.Counts(seen, flows, Site(settings))
    count = partial(message_counts.count, counts=counts)
    way = hops.counted(all_of(settings)["notifications"].hops, found, count)
    made = hops.findings("notifications", way, {})
    (one,) = [each for each in made if each.subject == f"notifications/{name}"]
    return one


def line(one: Finding) -> str:
    (shown,) = guide.hop_lines([one], UNICODE).renderables
    assert isinstance(shown, Hanging)
    return shown.prefix.plain


def test_counters_that_could_not_be_read_are_unknown_though_the_broker_answers() -> None:
    found = hop("published", BROKER_IS_WELL, snapshot(True), flows=None)
    assert (found.status, found.value) == (Status.UNKNOWN, None)
    assert found.hint == "samaops diagnose --only rabbitmq"
    assert line(found).split() == ["1.", "?", "?"]
    assert hop("published", BROKER_IS_WELL, snapshot(True)).status is Status.OK


def test_what_is_not_configured_is_skipped_and_nobody_is_alarmed() -> None:
    for name, section in (("published", "rabbitmq"), ("accepted", "flower"), ("accepted", "celery")):
        found = hop(name, (*BROKER_IS_WELL, *GOOGLE_IS_WELL), snapshot(), **{section: None})
        assert (found.status, found.hint) == (Status.SKIPPED, None)
        assert section in found.detail
        assert line(found).split() == ["1.", "–", "–"]


def test_a_flower_that_was_not_heard_is_unknown() -> None:
    assert hop("accepted", GOOGLE_IS_WELL, snapshot(is_heard=False)).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("found", "outcomes", "status"),
    [
        (GOOGLE_IS_WELL, (False,), Status.WARNING),
        (GOOGLE_IS_WELL, (False, True), Status.OK),
        (TASKS_FAIL, (False, False), Status.CRITICAL),
        (TASKS_FAIL, (False, True), Status.CRITICAL),
    ],
)
def test_failures_with_nothing_accepted_are_never_well(
    found: tuple[Finding, ...], outcomes: tuple[bool, ...], status: Status
) -> None:
    assert hop("accepted", found, snapshot(*outcomes)).status is status


def test_tasks_that_the_broker_saw_and_flower_did_not_are_unknown() -> None:
    found = hop("accepted", GOOGLE_IS_WELL, snapshot())
    assert found.status is Status.UNKNOWN
    assert found.detail == "Flower has heard of no task, though 5 messages were acknowledged"
    quiet = (QueueFlow("normal", 0, 0, 1, 0, 0, 0, 0),)
    assert hop("accepted", GOOGLE_IS_WELL, snapshot(), flows=quiet).status is Status.OK


def test_one_task_is_spoken_of_as_one() -> None:
    assert hop("accepted", GOOGLE_IS_WELL, snapshot(False)).detail == "1 of 1 task failed"
    assert hop("accepted", GOOGLE_IS_WELL, snapshot(False, True)).detail == "1 of the last 2 tasks failed"


def test_hosts_that_could_not_be_looked_at_are_unknown() -> None:
    proxy_is_well = (Finding("proxy.service.unreachable", Status.OK, "proxy/p", "It answers"),)
    found = hop("sent", proxy_is_well, snapshot())
    assert (found.status, found.value) == (Status.UNKNOWN, None)
    alone = hop("sent", proxy_is_well, snapshot(), firebase=None)
    assert (alone.status, alone.value) == (Status.OK, None), "a proxy without Firebase is told of by its own"


def test_what_the_count_says_already_is_not_said_twice() -> None:
    title = "2 of the last 2 tasks failed, most with NotRegistered('x')"
    failing = (Finding("celery.tasks.failing", Status.CRITICAL, "celery/tasks", title),)
    assert hop("accepted", failing, snapshot(False, False)).detail == title
