"""What daily maintenance keeps, compares with, and does when it hangs: without any network."""

from __future__ import annotations

import stat
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from samaops.collect import registry
from samaops.config.schedule_settings import Maintenance
from samaops.config.settings import Docker, Notify, Redis, Safety, Server, Settings
from samaops.errors import LockedError, UsageError
from samaops.facts.maintenance import DirectoriesFacts, LogFacts, LogMark, LogMarks, MountUse, Past
from samaops.facts.maintenance_week import Sizes, SizesFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.journal.database import HistoryError
from samaops.journal.records import Records
from samaops.model.bulletin import Bulletin
from samaops.model.cause import Cause, Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Action, LeftOut, Plan, Risk, Step
from samaops.model.report import Report, ReportError
from samaops.model.routine import Routine, Task, TaskChange
from samaops.model.status import Status
from samaops.render.bulletin import bulletin
from samaops.site import chosen
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.maintenance import announce, ending, past, routine, tasks
from samaops.workflows.maintenance.daily import DAILY, DISK_CODE, with_growth
from samaops.workflows.maintenance.limit import Limit, OverdueError
from samaops.workflows.maintenance.request import Outcome, Request
from samaops.workflows.maintenance.routine import with_limits
from samaops.workflows.maintenance.routines import ROUTINES, listed, routine_of
from samaops.workflows.maintenance.weekly import WEEKLY
from tests.service import faulty
from tests.service.listeners import http_listener
from tests.service.test_notifications import hook

MOMENT = datetime(2026, 1, 31, 6, 0, tzinfo=timezone.utc)
REQUEST = Request(lambda plan: None, bulletin)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Settings(
        site="unit",
        redis=Redis(host="127.0.0.1", port=1),
        maintenance=Maintenance(log=tmp_path / "daily.log", limit_seconds=0.5),
        safety=Safety(lock_directory=tmp_path),
    )


def mount(used: int, at: float) -> MountUse:
    return MountUse("/data", at, 1000, used, 1000 - used, 1, False, (("/data/pg", used),))


def seen(server: str, facts: Any) -> Observation:
    return Observation("maintenance", f"x/{server}", server, type(facts).__name__, facts)


def snapshot(*observations: Observation) -> Snapshot:
    return Snapshot(MOMENT, observations)


def test_what_a_run_kept_the_next_one_finds(settings: Settings) -> None:
    marks = LogMarks(5.25, (LogMark("api.log", 7, 100, 50, "12"),))
    logs = LogFacts("/d", "*.log", None, 1, (), (), False, marks)
    disks = DirectoriesFacts((mount(500, 10.0),), ())
    report = Report("maintain daily", MOMENT)
    labels = {"alertname": "a.b", "subject": "a/x"}
    assert (
        past.keep(Site(settings), DAILY, snapshot(seen("api", logs), seen("db", disks)), report, [labels])
        == ""
    )
    earlier = past.read(Site(settings), DAILY)
    assert earlier.past.marks == {"api": marks}
    assert earlier.past.mounts == {"db": disks.mounts}
    assert earlier.alerts == (labels,)
    assert earlier.past.last_run_at is not None


def test_a_run_of_other_tasks_forgets_nothing(settings: Settings) -> None:
    marks = LogMarks(5.25)
    logs = LogFacts("/d", "*.log", None, 1, (), (), False, marks)
    report = Report("maintain daily", MOMENT)
    past.keep(Site(settings), DAILY, snapshot(seen("api", logs)), report, [])
    past.keep(Site(settings), DAILY, snapshot(), report, [])
    assert past.read(Site(settings), DAILY).past.marks == {"api": marks}


def test_growth_is_compared_with_a_run_that_is_a_day_old(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(timezone.utc)
    for hours, used in ((49, 100), (25, 200), (3, 300)):
        ago = timedelta(hours=hours)
        monkeypatch.setattr(
            "samaops.journal.columns.text",
            lambda moment, ago=ago: (moment - ago).isoformat("T", "milliseconds"),
        )
        at = (now - timedelta(hours=hours)).timestamp()
        disks = DirectoriesFacts((mount(used, at),), ())
        past.keep(Site(settings), DAILY, snapshot(seen("db", disks)), Report("x", MOMENT), [])
    (then,) = past.read(Site(settings), DAILY).past.mounts["db"]
    assert then.used_bytes == 200


def test_records_that_are_too_old_are_taken_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = change.journal_of(Site(settings))
    records = Records(journal, "unit", "x")
    monkeypatch.setattr("samaops.journal.records.KEPT_DAYS", -1)
    records.add({"number": 1})
    assert records.last(5) == ()
    monkeypatch.undo()
    other = Records(journal, "other", "x")
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
    other.add({"number": 2})
    assert records.last(5) == (), "another site's records are its own"
    journal.close()


def test_its_looks_are_registered_and_taken_only_when_asked_for_by_name() -> None:
    site = Site(
        Settings(
            servers={"api": Server(address="127.0.0.1", ssh="local")},
            docker=Docker(containers={"api": ("app",)}),
            maintenance=Maintenance(log_servers=("api",)),
        )
    )

    def subjects(*only: str) -> list[str]:
        looks = registry.collectors(site, Selection(only=only))
        return [look.subject for look in looks if look.system == "maintenance"]

    kinds = [
        "servers",
        "cleanable",
        "images",
        "logs",
        "updates",
        "audit",
        "access",
        "logins",
        "night",
        "rotation",
        "safety",
    ]
    assert subjects("maintenance") == [*(f"{kind}/api" for kind in kinds), "silences/history"]
    assert subjects("maintenance.images") == ["images/api"]
    assert subjects() == []
    assert subjects("@api") == []


def test_a_history_of_another_make_is_told_and_not_trusted(settings: Settings) -> None:
    journal = change.journal_of(Site(settings))
    Records(journal, "unit", DAILY.command).add({"marks": {"api": ["nonsense"]}})
    journal.close()
    assert "not readable" in past.read(Site(settings), DAILY).past.failure


def test_a_run_that_never_ends_is_ended_and_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_look", lambda *_arguments: threading.Event().wait(60))
    started = time.monotonic()
    outcome = routine.run(Site(settings), DAILY, REQUEST)
    assert time.monotonic() - started < 20
    assert outcome.report.errors[0].message == "Maintenance was ended at its limit of 0.5 s"
    assert outcome.report.errors[0].exit_code == 2
    assert "ended at its limit" in settings.maintenance.log.read_text()
    monkeypatch.undo()


def test_a_bug_is_told_and_raised(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(tasks, "_look", broken)
    with http_listener() as slack, http_listener() as switch:
        notify = Notify(slack=hook(slack.url + "/T"), ping=hook(switch.url + "/uuid"))
        with pytest.raises(KeyError):
            routine.run(Site(settings.model_copy(update={"notify": notify})), DAILY, REQUEST)
        assert "this is a bug in samaops (KeyError)" in slack.documents()[0]["text"]
        assert switch.paths == ["/uuid/start", "/uuid/fail"]
    assert "(KeyError)" in settings.maintenance.log.read_text()
    monkeypatch.undo()


@pytest.mark.parametrize("part", ["past.read", "past.keep", "announce.log"])
def test_what_hangs_beside_the_work_is_left_behind_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    report = Report("maintain daily", MOMENT)
    monkeypatch.setattr(tasks, "_look", lambda *_arguments: tasks.Seen(None, report))
    monkeypatch.setattr(
        f"{routine.__name__.rpartition('.')[0]}.{part}", lambda *_words: threading.Event().wait(60)
    )
    started = time.monotonic()
    outcome = routine.run(Site(settings), DAILY, REQUEST)
    assert time.monotonic() - started < 10
    assert "no answer" in " ".join(outcome.notes) or part == "past.read"
    monkeypatch.undo()


def test_who_tells_has_his_time_within_the_limit(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_look", lambda *_arguments: threading.Event().wait(60))
    with faulty.hanging() as (host, port):
        channel = hook(f"http://{host}:{port}/T").model_copy(update={"timeout": 60.0})
        notify = Notify(slack=channel, ping=channel)
        limit = settings.maintenance.model_copy(update={"limit_seconds": 6.0})
        site = Site(settings.model_copy(update={"notify": notify, "maintenance": limit}))
        started = time.monotonic()
        outcome = routine.run(site, DAILY, REQUEST)
        notes = [*outcome.notes, *outcome.end("")]
        assert time.monotonic() - started < 6 + 2
    assert "notification by slack failed" in " ".join(notes)
    assert "notification by ping failed" in " ".join(notes)
    monkeypatch.undo()


def test_a_refused_change_is_told_and_no_success(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report("maintain daily", MOMENT)
    monkeypatch.setattr(tasks, "_look", lambda *_arguments: tasks.Seen(None, report, "nobody said yes"))
    with http_listener() as slack, http_listener() as switch:
        notify = Notify(slack=hook(slack.url + "/T"), ping=hook(switch.url + "/uuid"))
        outcome = routine.run(Site(settings.model_copy(update={"notify": notify})), DAILY, REQUEST)
        assert outcome.exit_code == 77
        assert "nobody said yes" in slack.documents()[0]["text"]
        assert "/uuid/fail" not in switch.paths, "the last word comes when the answer was given"
        assert outcome.end("") == ()
        assert switch.paths == ["/uuid/start", "/uuid/fail"]
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("since", "lasts"),
    [("", True), ("nonsense", True), ("2026-01-31T06:00:00", True), (5.0, False), (50.0, True), (-5.0, True)],
)
def test_a_lock_lasts_when_its_owner_should_have_ended_or_does_not_say(
    since: str | float, lasts: bool
) -> None:
    if isinstance(since, float):
        since = (datetime.now(timezone.utc) - timedelta(seconds=since)).isoformat()
    assert ending._lasts(LockedError("held", since=since), 30) is lasts


def test_a_limit_hands_on_what_the_work_returns_or_raises() -> None:
    assert Limit(5).run(lambda: 7) == 7
    with pytest.raises(KeyError):
        Limit(5).run(lambda: dict[str, int]()["missing"])
    with pytest.raises(OverdueError):
        Limit(0.05).run(lambda: threading.Event().wait(5))


def test_a_full_disk_says_who_grew() -> None:
    full = Finding(
        DISK_CODE,
        Status.WARNING,
        "servers/db:/data",
        "full",
        server="db",
        detail="/data/pg 9 GB",
        evidence={"mount": "/data"},
    )
    disks = DirectoriesFacts((mount(900, 90_000.0),), (mount(100, 3_600.0),))
    finding = with_growth(full, snapshot(seen("db", disks)))
    assert "/data/pg +800 B" in finding.detail
    assert finding.detail.endswith("; /data/pg 9 GB")


def test_the_disk_is_judged_by_the_guides_85_percent_unless_the_site_says_otherwise() -> None:
    assert with_limits(Site(Settings()), DAILY).settings.thresholds[DISK_CODE].warning == 85
    own = Settings.model_validate({"thresholds": {DISK_CODE: {"warning": 70}}})
    assert with_limits(Site(own), DAILY).settings.thresholds[DISK_CODE].warning == 70


def test_a_bulletin_is_plain_text_whatever_is_in_it() -> None:
    nasty = Finding(
        "a.b", Status.CRITICAL, "a/\x1b[31m", "two\nlines [red]\x00", detail="d\r\n", hint="echo $'\\e'"
    )
    told = bulletin(Report("maintain daily", MOMENT, findings=(nasty,)), "site")
    assert "\x1b" not in told.log
    assert "\x00" not in told.log
    assert "\n" not in told.subject
    assert told.log.splitlines()[1] == "  critical  two lines [red]\\x00 (a/\\x1b[31m)"


REDIS_DOWN = Finding(
    "redis.service.unreachable",
    Status.CRITICAL,
    "redis/workers",
    "Redis refuses connections",
    server="workers",
    hint="samaops explain redis.service.unreachable",
)
SYMPTOM = Finding("api.health.failing", Status.CRITICAL, "api/api_1", "API sick", server="api", hint="curl x")
LOOSE = Finding("servers.disk.full", Status.WARNING, "servers/db:/", "/ is full", server="db", hint="df -h")
CAUSE = Cause(
    "redis-down",
    "redis-full",
    Verdict.CONFIRMED,
    "redis/workers",
    "Redis does not run",
    explains=(REDIS_DOWN.key, SYMPTOM.key),
    fixes=(Fix("docker.restart", Risk.SAFE, "Start Redis", ("samaops docker restart samaconso_redis",)),),
)
OTHER = replace(CAUSE, id="disk-full", title="The disk is full", explains=(LOOSE.key,), fixes=())


def told_of(*causes: Cause, **fields: Any) -> Bulletin:
    findings = (LOOSE, SYMPTOM, REDIS_DOWN)
    return bulletin(Report("maintain daily", MOMENT, findings=findings, causes=causes, **fields), "dakar")


def test_the_subject_of_an_alert_is_its_cause_and_where_that_is() -> None:
    told = told_of(OTHER, CAUSE)
    assert told.subject == "[dakar] critical: [workers, api] Redis does not run (and 1 more cause)"
    assert told.summary.splitlines()[0] == told.subject, "a chat shows the first line"
    assert told.summary.splitlines()[1].startswith(
        "[2026-01-31 06:00:00 UTC] dakar: samaops maintain daily: "
    )
    unexplained = told_of().subject
    assert unexplained.startswith("[dakar] critical: [api] API sick (and 2 more)")


def test_the_subject_of_a_run_that_failed_says_why() -> None:
    told = told_of(errors=(ReportError("Maintenance was ended", exit_code=2),))
    assert told.subject == "[dakar] samaops maintain daily: Maintenance was ended"


def test_each_line_of_an_alert_names_its_server_and_each_cause_its_own_command() -> None:
    action = Action("x", "Remove images", Risk.SAFE, server="db")
    lines = told_of(CAUSE, actions=(action,)).summary.splitlines()[2:]
    assert lines == [
        "  cause (confirmed)  [workers, api] Redis does not run",
        "      Start Redis (safe)",
        "      -> samaops docker restart samaconso_redis",
        "      -> samaops explain redis-down",
        "      critical  [workers] Redis refuses connections (redis/workers)",
        "      critical  [api] API sick (api/api_1)",
        "  warning  [db] / is full (servers/db:/)",
        "      -> df -h",
        "  planned  [db] Remove images",
    ]


def test_a_cause_without_a_fix_is_explained() -> None:
    assert "      -> samaops explain disk-full" in told_of(OTHER).summary.splitlines()


def test_an_alert_is_about_the_same_configuration() -> None:
    chosen.remember(Path("/etc/dakar.toml"), lab=False)
    assert "-> samaops --config /etc/dakar.toml docker restart samaconso_redis\n" in told_of(CAUSE).summary


def test_alertmanager_is_given_server_cause_and_its_command() -> None:
    report = Report("maintain daily", MOMENT, findings=(SYMPTOM, LOOSE), causes=(CAUSE,))
    symptom, loose = announce.prepare(Site(Settings()), report, bulletin(report, "s"), ()).firing
    assert symptom["labels"]["server"] == "api"
    assert symptom["annotations"]["cause"] == "Redis does not run"
    assert symptom["annotations"]["hint"] == "samaops docker restart samaconso_redis"
    assert loose["annotations"] == {"summary": "/ is full", "hint": "df -h"}


def test_no_two_tasks_have_one_name_and_each_is_found_by_it() -> None:
    names = [task.id for each in ROUTINES for task in each.tasks]
    assert len(names) == len(set(names))
    assert {routine_of(name).name for name in names} == {"daily", "weekly", "monthly"}
    with pytest.raises(UsageError):
        routine_of("nothing")


def test_what_tasks_keep_has_its_place_in_the_past_and_in_the_facts() -> None:
    for each in ROUTINES:
        for keeps in each.keeps:
            assert keeps.name in {field.name for field in structs.fields(Past)}
            assert keeps.kept_field in {field.name for field in structs.fields(keeps.facts)}


def test_a_weekly_run_compares_with_that_of_last_week(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(timezone.utc)
    for hours, size_bytes in ((340, 100), (168, 200), (2, 300)):
        monkeypatch.setattr(
            "samaops.journal.columns.text",
            lambda moment, ago=timedelta(hours=hours): (moment - ago).isoformat("T", "milliseconds"),
        )
        at = (now - timedelta(hours=hours)).timestamp()
        facts = SizesFacts("samaconso", Sizes(at, size_bytes, {}))
        past.keep(Site(settings), WEEKLY, snapshot(seen("db", facts)), Report("x", MOMENT), [])
    assert past.read(Site(settings), WEEKLY).past.sizes["db"].database_bytes == 200


def test_the_list_tells_when_each_task_was_done_last_and_how_it_ended(settings: Settings) -> None:
    site, redis = Site(settings), next(task for task in DAILY.tasks if task.id == "redis")
    bad = Finding("redis.service.unreachable", Status.CRITICAL, "redis/workers", "gone")
    past.keep(site, DAILY, snapshot(), Report("x", MOMENT, findings=(bad,)), [], (redis,))
    disk = next(task for task in DAILY.tasks if task.id == "disk")
    past.keep(site, DAILY, snapshot(), Report("x", MOMENT), [], (disk,))
    found, reason = listed(site, lambda _site, each: "2026-02-01T06:00:00+00:00" if each is DAILY else None)
    results = {each.task.id: each.result for each in found}
    assert reason == ""
    assert (results["redis"], results["disk"], results["logs"], results["vacuum"]) == (
        "critical",
        "ok",
        None,
        None,
    )
    assert {each.next_run_at for each in found if each.routine is DAILY} == {"2026-02-01T06:00:00+00:00"}


def test_a_list_whose_history_cannot_be_read_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise HistoryError("no disk")

    monkeypatch.setattr(past, "last_runs", broken)
    found, reason = listed(Site(settings))
    assert reason == "no disk"
    assert {each.result for each in found} == {None}


def test_each_routine_has_a_log_of_its_own_beside_the_others(settings: Settings) -> None:
    assert ending.log_of(Site(settings), DAILY) == settings.maintenance.log
    assert ending.log_of(Site(settings), WEEKLY) == settings.maintenance.log.with_name("weekly.log")


def test_an_alert_of_a_weekly_run_lasts_until_the_next(settings: Settings) -> None:
    bad = Finding("a.b", Status.WARNING, "a/x", "bad")
    report = Report("maintain weekly", MOMENT, findings=(bad,))
    news = announce.prepare(Site(settings), report, Bulletin("", "", ""), (), WEEKLY.hours)
    ends_at = datetime.fromisoformat(news.firing[0]["endsAt"])
    assert timedelta(days=7) < ends_at - datetime.now(timezone.utc) < timedelta(days=7, hours=3)


def planned(*steps: Step, left_out: tuple[LeftOut, ...] = ()) -> Plan:
    return Plan(
        "db vacuum", (), "Vacuum", "x", steps, left_out=left_out, nothing_to_do="" if steps else "nothing"
    )


def of_one_task(change_: TaskChange, settings: Settings) -> Outcome:
    task = Task("redis", "Redis", ("redis.service",), ("redis",), change=change_)
    site = Site(settings.model_copy(update={"maintenance": Maintenance(log=settings.maintenance.log)}))
    return routine.run(site, Routine("unit", "Unit", (task,), spare=0.3), REQUEST)


def test_what_a_change_left_out_is_told_though_nothing_is_done(settings: Settings) -> None:
    left = (LeftOut("postgresql/public.x", "only its owner may", is_failure=True),)
    outcome = of_one_task(TaskChange("db vacuum", prepare=lambda _site: planned(left_out=left)), settings)
    found = [each for each in outcome.report.findings if each.code == "db.vacuum.left_out"]
    assert [each.status for each in found] == [Status.CRITICAL]


def test_another_that_works_at_the_same_is_told_and_no_crash(settings: Settings) -> None:
    def held(_site: Site) -> Plan:
        raise LockedError("somebody tends the database")

    outcome = of_one_task(TaskChange("db vacuum", prepare=held), settings)
    assert outcome.exit_code is None or outcome.exit_code == 77
    told = [each.detail for each in outcome.report.findings if each.code == "redis.service.unreachable"]
    assert told == ["somebody tends the database"]


@pytest.mark.parametrize(("directory", "expected"), [(0o2770, 0o660), (0o750, 0o640), (0o770, 0o640)])
def test_a_log_in_a_directory_of_a_group_is_the_groups_too(
    tmp_path: Path, directory: int, expected: int
) -> None:
    place = tmp_path / "log"
    place.mkdir()
    place.chmod(directory)
    assert announce.log(place / "daily.log", Bulletin("", "", "ran\n"), ()) == ()
    assert stat.S_IMODE((place / "daily.log").stat().st_mode) == expected
