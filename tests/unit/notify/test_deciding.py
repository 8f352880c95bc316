"""The same trouble is told once until it changes; what is silenced is not, until it gets worse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.facts.telling import Seen, Silence, Trouble, is_worse
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.report import Report, ReportError
from samaops.model.status import Status
from samaops.workflows.notify import deciding, marking
from samaops.workflows.notify.deciding import Decision, Manner

NOW = datetime(2026, 1, 31, 6, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
DISK = Finding(
    "servers.disk.full", Status.WARNING, "servers/db:/", "/ is 82 % full",
    server="db", value=82.0, unit="%", warning=80, critical=90,
)  # fmt: skip
OTHER = Finding("redis.memory.high", Status.CRITICAL, "redis/workers", "Redis is full", server="workers")


def report(*findings: Finding, **more: Any) -> Report:
    return Report("maintain daily", NOW, findings=findings, **more)


def manner(now: datetime = NOW, *, is_quiet: bool = False) -> Manner:
    return Manner(now, 24 * 3600.0, 168 * 3600.0, is_quiet=is_quiet)


def silence(**changes: Any) -> Silence:
    given = {"subject": "", "until": NOW + 4 * HOUR, "seen": {DISK.key: Seen("warning", 82.0)}, **changes}
    return Silence(1, "servers.disk.full", reason="a disk is ordered", by="awa", at=NOW - HOUR, **given)


def after(decision: Decision, failed: Sequence[str] = ()) -> tuple[Trouble, ...]:
    """Return what is kept once that was told by mail and Slack."""
    announced = deciding.after_telling(decision, failed, is_anybody_told=len(failed) < 2)
    return tuple(trouble for trouble in announced.troubles if trouble.key not in announced.over)


def known(*findings: Finding, at: datetime = NOW) -> tuple[Trouble, ...]:
    return after(deciding.decide(report(*findings), (), (), manner(at)))


def announced(
    *findings: Finding, before: Sequence[Trouble] = (), at: datetime = NOW + HOUR, is_quiet: bool = False
) -> tuple[str, ...]:
    return deciding.decide(report(*findings), before, (), manner(at, is_quiet=is_quiet)).news.announced


def test_what_is_new_is_told_once() -> None:
    assert announced(DISK) == (DISK.key,)
    assert announced(DISK, before=known(DISK)) == ()
    assert announced(DISK, OTHER, before=known(DISK)) == (OTHER.key,)


@pytest.mark.parametrize(
    ("finding", "why"),
    [
        (replace(DISK, status=Status.CRITICAL, value=90.5), "worse than when it was told"),
        (replace(DISK, value=91.5), "worse than when it was told"),
        (replace(DISK, value=88.0), None),
        (replace(DISK, value=80.0), None),
    ],
)
def test_what_is_worse_is_told_again(finding: Finding, why: str | None) -> None:
    decision = deciding.decide(report(finding), known(DISK), (), manner(NOW + HOUR))
    assert decision.news.announced == ((finding.key,) if why else ())
    assert decision.news.known[finding.key].why == (why or "")
    assert decision.news.known[finding.key].since == NOW


def test_what_has_become_better_is_not_told_until_it_is_as_bad_again() -> None:
    before = known(replace(DISK, status=Status.CRITICAL, value=95.0))
    better = deciding.decide(report(DISK), before, (), manner(NOW + HOUR))
    assert better.news.announced == ()
    again = replace(DISK, status=Status.CRITICAL, value=95.0)
    assert announced(again, before=after(better), at=NOW + 2 * HOUR) == ()


def test_another_cause_is_told() -> None:
    def by(cause: str) -> Report:
        title = f"because of {cause}"
        root = Cause(cause, "disk-full", Verdict.CONFIRMED, "servers/db", title, explains=(DISK.key,))
        return report(DISK, causes=(root,))

    first = after(deciding.decide(by("log-grew"), (), (), manner()))
    assert deciding.decide(by("log-grew"), first, (), manner(NOW + HOUR)).news.announced == ()
    changed = deciding.decide(by("wal-kept"), first, (), manner(NOW + HOUR))
    assert changed.news.announced == (DISK.key,)
    assert changed.news.known[DISK.key].why == "its cause is another one"


def test_reminders_come_after_a_day_for_what_is_critical_and_a_week_for_warnings() -> None:
    before = known(DISK, OTHER)
    assert announced(DISK, OTHER, before=before, at=NOW + 20 * HOUR) == ()
    assert announced(DISK, OTHER, before=before, at=NOW + 23.9 * HOUR) == (OTHER.key,), (
        "a run a little earlier"
    )
    assert announced(DISK, OTHER, before=before, at=NOW + 168 * HOUR) == (DISK.key, OTHER.key)


def test_what_is_over_is_told_once_with_how_long_it_lasted() -> None:
    well = replace(DISK, status=Status.OK, title="fine")
    decision = deciding.decide(report(well), known(DISK), (), manner(NOW + 3 * HOUR))
    (recovery,) = decision.news.recovered
    assert (recovery.key, recovery.title, recovery.seconds) == (DISK.key, DISK.title, 3 * 3600)
    assert after(decision) == ()
    assert decision.over == (DISK.key,)


def test_what_was_not_looked_at_is_not_over() -> None:
    for finding in (OTHER, replace(DISK, status=Status.SKIPPED)):
        decision = deciding.decide(report(finding), known(DISK), (), manner(NOW + HOUR))
        assert (decision.news.recovered, decision.over) == ((), ())


def test_warnings_wait_for_the_end_of_the_quiet_hours_and_what_is_critical_does_not() -> None:
    decision = deciding.decide(report(DISK, OTHER), (), (), manner(is_quiet=True))
    assert (decision.news.announced, decision.news.held) == ((OTHER.key,), (DISK.key,))
    assert announced(DISK, OTHER, before=after(decision)) == (DISK.key,)


def test_a_warning_that_came_and_went_in_the_quiet_hours_is_never_told() -> None:
    night = after(deciding.decide(report(DISK), (), (), manner(is_quiet=True)))
    decision = deciding.decide(
        report(replace(DISK, status=Status.OK)), night, (), manner(NOW + HOUR, is_quiet=True)
    )
    assert (decision.news.recovered, decision.over) == ((), (DISK.key,))


def test_the_end_of_a_warning_waits_for_the_end_of_the_quiet_hours_too() -> None:
    well = replace(DISK, status=Status.OK)
    night = deciding.decide(report(well), known(DISK), (), manner(NOW + HOUR, is_quiet=True))
    assert not night.news.is_needed
    morning = deciding.decide(report(well), after(night), (), manner(NOW + 5 * HOUR))
    assert [each.seconds for each in morning.news.recovered] == [3600], "it was over in the night"


def test_a_silence_keeps_quiet_and_its_finding_stays_as_bad_as_it_is() -> None:
    marked = marking.marked(report(DISK, OTHER), (silence(),), NOW)
    assert [finding.silenced is not None for finding in marked.findings] == [True, False]
    assert marked.status is Status.CRITICAL
    decision = deciding.decide(report(DISK, OTHER), (), (silence(),), manner())
    assert decision.news.announced == (OTHER.key,)
    over = deciding.decide(report(DISK, OTHER), after(decision), (silence(),), manner(NOW + 5 * HOUR))
    assert over.news.announced == (DISK.key,), "the silence has ended"


@pytest.mark.parametrize(
    "worse", [replace(DISK, status=Status.CRITICAL, value=90.5), replace(DISK, value=91.5)]
)
def test_a_silence_ends_early_when_it_gets_worse(worse: Finding) -> None:
    decision = deciding.decide(report(worse), known(DISK), (silence(),), manner(NOW + HOUR))
    assert decision.news.announced == (worse.key,)
    assert list(decision.ended) == [1]
    assert "silence 1 of awa ended early" in decision.news.lifted[0]
    assert marking.marked(report(worse), (silence(),), NOW + HOUR).findings[0].silenced is None


def test_what_was_silenced_before_it_was_bad_is_measured_by_its_first_sight() -> None:
    early = silence(seen={})
    decision = deciding.decide(report(DISK), (), (early,), manner())
    assert decision.news.announced == ()
    assert decision.seen == {1: {DISK.key: Seen("warning", 82.0)}}


def test_a_silence_of_one_subject_or_of_what_is_above_a_code_covers_just_that() -> None:
    assert silence(subject="servers/db:/").covers(DISK.code, DISK.subject)
    assert not silence(subject="servers/db:/data").covers(DISK.code, DISK.subject)
    above = replace(silence(), code="servers")
    assert above.covers(DISK.code, DISK.subject)
    assert not replace(above, code="serv").covers(DISK.code, DISK.subject)


QUEUE = Finding(
    "rabbitmq.queue.backlog",
    Status.WARNING,
    "rabbitmq/normal",
    "2000 messages wait",
    value=2000,
    warning=1000,
)


def caused(*findings: Finding, verdict: Verdict = Verdict.CONFIRMED) -> Report:
    """Return a report in which the first finding is the cause of the others."""
    explains = tuple(finding.key for finding in findings)
    return report(
        *findings, causes=(Cause("disk-full", "disk-full", verdict, "servers/db", "full", explains=explains),)
    )


def told_under_a_silence(made: Report, held: Silence) -> tuple[str, ...]:
    """Return what is told; a report is marked as silenced exactly where nothing is told."""
    marked = marking.marked(made, (held,), NOW)
    decision = deciding.decide(marked, (), (held,), manner())
    assert {each.key for each in marked.findings if each.silenced is None} == set(decision.news.announced)
    return decision.news.announced


def test_what_a_silenced_finding_brings_about_is_silent_with_it_and_stays_visible() -> None:
    made = caused(DISK, QUEUE)
    assert told_under_a_silence(made, silence()) == ()
    symptom = marking.marked(made, (silence(),), NOW).findings[1]
    assert (symptom.status, symptom.silenced and symptom.silenced.by) == (Status.WARNING, "awa")
    decision = deciding.decide(made, (), (silence(),), manner())
    assert decision.seen == {1: {QUEUE.key: Seen("warning", 2000.0)}}
    assert told_under_a_silence(report(DISK, QUEUE), silence()) == (QUEUE.key,), (
        "nothing says that it comes of it"
    )
    assert told_under_a_silence(caused(DISK, QUEUE, verdict=Verdict.INCONCLUSIVE), silence()) == (QUEUE.key,)


def test_what_a_silenced_symptom_comes_from_is_told() -> None:
    own = replace(silence(), code=QUEUE.code, seen={})
    assert told_under_a_silence(caused(DISK, QUEUE), own) == (DISK.key,)


def test_a_symptom_that_gets_worse_is_told_though_its_cause_does_not() -> None:
    measured = silence(seen={DISK.key: Seen("warning", 82.0), QUEUE.key: Seen("warning", 2000.0)})
    assert told_under_a_silence(caused(DISK, replace(QUEUE, value=2900)), measured) == ()
    assert told_under_a_silence(caused(DISK, replace(QUEUE, value=3000)), measured) == (QUEUE.key,)
    worse = replace(QUEUE, status=Status.CRITICAL)
    assert told_under_a_silence(caused(DISK, worse), measured) == (QUEUE.key,)


def test_a_new_symptom_that_is_worse_than_what_was_silenced_is_told() -> None:
    assert told_under_a_silence(caused(DISK, OTHER), silence()) == (OTHER.key,)
    full = replace(DISK, status=Status.CRITICAL, value=95.0)
    as_bad = silence(seen={DISK.key: Seen("critical", 95.0)})
    assert told_under_a_silence(caused(full, OTHER), as_bad) == ()


def test_a_cause_that_gets_worse_takes_the_silence_of_its_symptoms_with_it() -> None:
    worse = replace(DISK, status=Status.CRITICAL, value=95.0)
    decision = deciding.decide(caused(worse, QUEUE), known(DISK), (silence(),), manner(NOW + HOUR))
    assert decision.news.announced == (worse.key, QUEUE.key)
    assert list(decision.ended) == [1]


def test_a_run_that_failed_is_a_trouble_until_one_does_not_and_told_again_for_another_reason() -> None:
    failed = report(errors=(ReportError("no lock", exit_code=77),))
    first = deciding.decide(failed, (), (), manner())
    assert first.news.announced == ("maintenance.run.failed@maintain daily",)
    assert deciding.decide(failed, after(first), (), manner(NOW + HOUR)).news.announced == ()
    other = report(errors=(ReportError("no configuration", exit_code=78),))
    assert deciding.decide(other, after(first), (), manner(NOW + HOUR)).news.announced
    assert deciding.decide(report(OTHER), after(first), (), manner(NOW + HOUR)).news.recovered


def test_a_channel_that_failed_tells_it_the_next_time_and_the_others_do_not() -> None:
    decision = deciding.decide(report(DISK), (), (), manner())
    kept = after(decision, ["slack"])
    news = deciding.decide(report(DISK), kept, (), manner(NOW + HOUR)).news
    owed = news.for_channel("slack")
    assert news.for_channel("mail") is None
    assert owed is not None
    assert owed.announced == (DISK.key,)


def test_what_nobody_could_be_told_is_news_the_next_time() -> None:
    kept = after(deciding.decide(report(DISK), (), (), manner()), ["slack", "mail"])
    assert announced(DISK, before=kept) == (DISK.key,)
    well = deciding.decide(report(replace(DISK, status=Status.OK)), known(DISK), (), manner(NOW + HOUR))
    lost = deciding.after_telling(well, ["mail", "slack"], is_anybody_told=False)
    assert lost.over == ()


@pytest.mark.parametrize(
    ("unit", "warning", "critical", "before", "now", "is_so"),
    [
        ("%", 80, 90, 92.0, 96.0, True),
        ("%", 80, 90, 92.0, 95.0, False),
        ("%", 20, 10, 9.0, 5.0, True),  # free space: below is worse
        ("%", 20, 10, 9.0, 8.0, False),
        ("messages", 100, None, 200.0, 300.0, True),
        ("messages", 100, None, 200.0, 250.0, False),
        ("messages", None, None, 200.0, 9000.0, False),
        ("s", 10, 20, 30.0, 25.0, False),
    ],
)
def test_well_above_is_half_as_much_again_or_half_of_what_is_left_of_a_hundred(
    unit: str, warning: float | None, critical: float | None, before: float, now: float, is_so: bool
) -> None:
    finding = Finding(
        "a.b", Status.WARNING, "a/x", "t", value=now, unit=unit, warning=warning, critical=critical
    )
    assert is_worse(Seen("warning", before), finding) is is_so
