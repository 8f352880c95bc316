"""A source that has stopped is told from one that is slow, and from a broker or a pool that stops it."""

from __future__ import annotations

from samaops.causes import graph
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.causes.test_roots import settings


def _late(published_seconds: float | None) -> Finding:
    return Finding(
        "postgresql.notifications.late",
        Status.CRITICAL,
        "postgresql/db",
        "40 notifications are due and not published, the oldest for 1200 s",
        server="db",
        warning=300,
        evidence={"due": 40, "oldest_seconds": 1200.0, "published_seconds": published_seconds},
    )


def _ok(code: str, subject: str) -> Finding:
    return Finding(code, Status.OK, subject, "well")


def _named(*findings: Finding) -> Cause:
    _findings, causes = graph.explain(findings, Site(settings()))
    assert len(causes) == 1
    return causes[0]


def test_nothing_published_for_longer_than_the_limit_is_confirmed_with_what_is_well() -> None:
    alarms = [_ok(f"rabbitmq.alarm.{kind}", "rabbitmq/api") for kind in ("memory", "disk")]
    cause = _named(_late(None), _ok("rabbitmq.amqp.unreachable", "rabbitmq/api"), *alarms)
    assert (cause.id, cause.verdict, cause.speaks_against) == ("nothing-published", Verdict.CONFIRMED, ())
    assert "RabbitMQ takes messages: it greets and has no alarm" in cause.speaks_for
    assert not any("API member" in words for words in cause.speaks_for)  # nobody looked at them


def test_a_source_that_publishes_others_is_only_probable_and_says_so() -> None:
    cause = _named(_late(12.0))
    assert (cause.id, cause.verdict) == ("nothing-published", Verdict.PROBABLE)
    assert cause.speaks_against == ("others were published 12 s ago: their source works",)
    assert "left behind" in cause.title


def test_a_publisher_that_may_be_refused_is_not_said_to_have_stopped() -> None:
    read_only = Finding(
        "postgresql.recovery.active", Status.CRITICAL, "postgresql/db", "It refuses every write"
    )
    alarms = [_ok(f"rabbitmq.alarm.{kind}", "rabbitmq/api") for kind in ("memory", "disk")]
    greets = _ok("rabbitmq.amqp.unreachable", "rabbitmq/api")
    causes = graph.explain((_late(None), read_only, greets, *alarms), Site(settings()))[1]
    assert [cause.subject for cause in causes] == ["postgresql/db"]
    assert "nothing-published" not in {cause.id for cause in causes}
    for seen in ((greets,), ()):
        cause = _named(_late(None), *seen)
        assert (cause.id, cause.verdict) == ("nothing-published", Verdict.PROBABLE)
        assert "or is refused" in cause.title
    cause = _named(_late(None), greets, *alarms, _ok("postgresql.recovery.active", "postgresql/db"))
    assert cause.verdict is Verdict.CONFIRMED
