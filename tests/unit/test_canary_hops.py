"""What a canary proves: from what Redis and Flower say of its task to the hop where it stopped."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes.canary import MARK, Canary
from samaops.facts.canary import Heard, Sighting
from samaops.model.status import Status
from samaops.workflows.troubleshooting import hops
from samaops.workflows.troubleshooting.hops import SeenHop
from samaops.workflows.troubleshooting.trace import ORDER, Trace, hops_of

TASK_ID = "a-task"
STEPS = {
    "key": 50, "oauth.proxy": 20, "oauth.tls": 10, "oauth.token": 40, "fcm.proxy": 20, "fcm.tls": 10, "fcm.send": 50,
}  # fmt: skip
GOOD = {"marker": MARK.format(task_id=TASK_ID), "validate_only": True}
WORDS = "invalid_grant: Invalid JWT Signature."


def steps(*names: str) -> list[dict[str, Any]]:
    return [{"step": name, "ms": STEPS[name]} for name in names]


def ended(state: str, result: Any, at: float = 1.5, began_at: float | None = None) -> Sighting:
    return Sighting(state, result, "worker2@here", began_at, at)


def failed(*args: Any, kind: str = "CanaryError") -> Sighting:
    return ended("FAILURE", {"exc_type": kind, "exc_message": list(args), "exc_module": "app.canary"})


def seen_hops(seen: Sighting, heard: Heard | None = None, flower_failure: str = "") -> dict[str, SeenHop]:
    """Return the hops of a canary that was published at 1.1 s, 100 ms after it began."""
    trace = Trace(Canary("normal", "samaops_canary", TASK_ID, 6000), 1.0, 1.1, 6, seen, heard, flower_failure)
    found = hops_of(trace)
    assert [one.id for one in found] == list(ORDER)
    return {one.id: one for one in found}


def statuses(found: dict[str, SeenHop]) -> str:
    """Return the statuses in the order of the way: o for ok, C critical, ? unknown, - skipped."""
    signs = {Status.OK: "o", Status.CRITICAL: "C", Status.UNKNOWN: "?", Status.SKIPPED: "-"}
    return "".join(signs[one.status or Status.SKIPPED] for one in found.values())


def test_one_that_gets_through_has_the_time_of_every_hop() -> None:
    found = seen_hops(
        ended("SUCCESS", {**GOOD, "name": "projects/p/messages/fake_message_id", "steps": steps(*STEPS)})
    )
    assert statuses(found) == "oooooo"
    # the result was seen 500 ms after the beginning, and its steps took 200 ms
    assert [one.value for one in found.values()] == [100, 100, 300, 450, 500, 500]
    assert "200 ms in normal" in found["ready"].detail
    assert found["sent"].detail == "key 50, proxy 20+20, TLS 10+10, token 40 ms"
    assert found["accepted"].detail.endswith("fake_message_id")


def test_what_was_seen_to_begin_earlier_was_delivered_then() -> None:
    seen = ended("SUCCESS", {**GOOD, "steps": steps(*STEPS)}, began_at=1.2)
    assert seen_hops(seen)["delivered"].value == 200


def test_a_worker_that_begins_before_the_broker_has_confirmed_is_not_done_after_its_end() -> None:
    # published was known 100 ms after the beginning; the end was seen 200 ms later than that, the steps took 200 ms
    whole = ended("SUCCESS", {**GOOD, "steps": [*steps(*STEPS), {"step": "fcm.send", "ms": 90}]}, at=1.3)
    assert [hop.value for hop in seen_hops(whole).values()] == [100, 100, 100, 250, 300, 300]
    token = ended("SUCCESS", {**GOOD, "steps": [{"step": "oauth.token", "ms": 250}]}, at=1.3)
    assert [hop.value for hop in seen_hops(token).values()] == [100, 100, 100, 300, 300, 300]


def test_a_task_that_tells_only_what_it_must_is_enough() -> None:
    found = seen_hops(ended("SUCCESS", GOOD))
    assert statuses(found) == "oooooo"
    assert (found["sent"].value, found["accepted"].value) == (None, 500)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({**GOOD, "validate_only": False}, "may have sent"),
        ({"marker": GOOD["marker"]}, "may have sent"),
        ({**GOOD, "validate_only": "yes"}, "may have sent"),
        ({**GOOD, "marker": "another"}, "this canary's mark"),
        (None, "this canary's mark"),
        ([1], "this canary's mark"),
    ],
)
def test_a_task_that_does_not_say_that_it_only_validated_is_critical(result: Any, words: str) -> None:
    found = seen_hops(ended("SUCCESS", result))
    assert statuses(found) == "ooooCo"
    assert words in found["accepted"].detail


@pytest.mark.parametrize(
    ("step", "before", "expected"),
    [
        ("oauth.proxy", ("key",), "oooC-o"),
        ("oauth.tls", ("key", "oauth.proxy"), "oooC-o"),
        ("fcm.proxy", ("key", "oauth.proxy", "oauth.tls", "oauth.token"), "oooC-o"),
        ("oauth.token", ("key", "oauth.proxy", "oauth.tls"), "ooooCo"),
        ("fcm.send", tuple(STEPS)[:-1], "ooooCo"),
        ("key", (), "ooo-Co"),
        ("unheard.of", (), "ooo-Co"),
    ],
)
def test_a_step_that_failed_names_the_hop(step: str, before: tuple[str, ...], expected: str) -> None:
    report = {**GOOD, "steps": steps(*before), "failed": step}
    found = seen_hops(failed("invalid_grant", "Invalid JWT Signature.", report))
    assert statuses(found) == expected
    (stopped,) = [one for one in found.values() if one.status is Status.CRITICAL]
    assert WORDS in stopped.detail


def test_an_exception_that_tells_nothing_is_told_as_it_is() -> None:
    found = seen_hops(failed("no key", kind="DefaultCredentialsError"))
    assert statuses(found) == "ooo-Co"
    assert "no key" in found["accepted"].detail


def test_a_task_that_no_worker_knows_was_dropped_and_nothing_was_sent() -> None:
    found = seen_hops(failed("samaops_canary", kind="NotRegistered"))
    assert statuses(found) == "oooC-o"
    assert "does not know the task samaops_canary" in found["sent"].detail


@pytest.mark.parametrize(
    ("seen", "heard", "expected", "words"),
    [
        (Sighting(), None, "ooC---", "no worker was seen to take it from normal within 6 s"),
        (Sighting(trouble="Connection refused"), None, "oo?---", "Connection refused"),
        (Sighting(), Heard("RECEIVED", "worker2@here", ""), "ooC---", "its processes are all busy"),
        (Sighting(), Heard("STARTED", "worker2@here", ""), "ooo--C", "has begun, and no result"),
        (Sighting("STARTED", {}, "worker2@here", 1.2), None, "ooo--C", "has begun, and no result"),
        (Sighting(trouble="refused"), Heard("STARTED", "worker2@here", ""), "ooo--C", "be read: refused"),
        (Sighting(trouble="refused"), Heard("SUCCESS", "worker2@here", ""), "ooo-?o", "in Redis: refused"),
        (Sighting(), Heard("SUCCESS", "worker2@here", ""), "ooo-?o", "does the task keep its result?"),
        (Sighting(), Heard("FAILURE", "worker2@here", WORDS), "ooo-Co", WORDS),
    ],
)
def test_without_a_result_only_what_was_seen_is_said(
    seen: Sighting, heard: Heard | None, expected: str, words: str
) -> None:
    found = seen_hops(seen, heard)
    assert statuses(found) == expected
    assert any(words in one.detail for one in found.values())


def test_a_flower_that_could_not_be_asked_is_said() -> None:
    assert "HTTP 502" in seen_hops(Sighting(), flower_failure="HTTP 502")["delivered"].detail


@pytest.mark.parametrize(
    "told", [5, "x", [1, "x", None], [{"step": "key"}], [{"ms": "x"}], [{"step": ["a"], "ms": 1}], {"a": 1}]
)
def test_steps_that_make_no_sense_do_no_harm(told: Any) -> None:
    assert statuses(seen_hops(ended("SUCCESS", {**GOOD, "steps": told}))) == "oooooo"


def test_the_place_where_it_stopped_has_the_next_command_and_the_others_none() -> None:
    way = [replace(hop, hint="do this") for hop in seen_hops(Sighting()).values()]
    found = hops.findings("notifications", way, {"delivered": "delivered to a worker"})
    assert [one.hint for one in found] == [None, None, "do this", None, None, None]
    assert (found[2].code, found[2].subject) == ("notifications.hop.delivered", "notifications/delivered")
    assert found[2].title == "delivered to a worker"
