"""The history as people ask for it: by a beginning, the last, by filters, by their own clock, to be typed again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from samaops.changes import verbs
from samaops.cli import moments
from samaops.config.settings import Server, Settings
from samaops.errors import RefusedError, UsageError
from samaops.journal import history as journaled
from samaops.journal.history import Journal
from samaops.journal.plans import to_plain
from samaops.model.plan import Plan, Risk, Step, shell
from samaops.render import history as face
from samaops.site.commands import LAB_SITE
from samaops.site.site import Site
from samaops.workflows import change as changing
from samaops.workflows import history
from samaops.workflows.history import Wanted


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    servers = {name: Server(address="127.0.0.1", ssh="local") for name in ("api", "workers")}
    return Site(Settings.model_validate({"servers": servers, "safety": {"lock_directory": str(tmp_path)}}))


@pytest.fixture
def journal(site: Site) -> Iterator[Journal]:
    opened = changing.journal_of(site)
    opened.prepare()
    yield opened
    opened.close()


@pytest.fixture
def made(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return what journals a change as if it had been made at that time, with that end; None: it was interrupted."""

    def make(
        verb: str = "docker restart",
        *arguments: str,
        at: str = "2026-01-31T12:00:00.000+00:00",
        server: str = "api",
        status: str | None = "verified",
        undoes: str | None = None,
        is_begun: bool = True,
    ) -> str:
        step = Step(
            "s", "S", Risk.SAFE, shell("true", server), (), (), undo=shell("true", server), servers=()
        )
        plan = Plan(verb, arguments, "T", "c", (step,), undoes=undoes)
        monkeypatch.setattr("samaops.journal.history._text", lambda _moment: at)
        change = journal.begin(to_plain(plan))
        if is_begun:
            journal.write(change, journaled.STEP_BEGUN, 0, {})
        if status is not None:
            journal.write(change, journaled.ENDED, None, {"status": status, "undoes": undoes})
        return change

    return make


Make = Callable[..., str]


def shown(renderable: Any, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(site: Site, made: Make) -> None:
    first, second = made(), made()
    assert history.change(site, second[:-1]).id == second
    assert history.undo(site, first[:-1]).undoes == first
    with pytest.raises(UsageError, match="Several changes begin with '2'") as several:
        history.undo(site, "2")
    assert several.value.message.endswith(f"{second}, {first}")


@pytest.mark.parametrize("nothing", ["", "%", "_", "2%", "9", "LAST", "last "])
def test_what_begins_nothing_is_no_change(site: Site, made: Make, nothing: str) -> None:
    made()
    with pytest.raises(UsageError, match="There is no change"):
        history.undo(site, nothing)


def test_many_that_fit_are_not_all_named(site: Site, made: Make) -> None:
    for _number in range(7):
        made()
    with pytest.raises(UsageError, match="…") as several:
        history.change(site, "2")
    assert several.value.message.count("-") == 10


def test_the_last_is_the_newest_that_has_an_effect(site: Site, made: Make) -> None:
    effective = made("queue clear-policy", "low_priority")
    taken_back = made()
    made("undo", taken_back, undoes=taken_back)
    made(status="refused", is_begun=False)
    made(status="reverted")
    plan = history.undo(site, "last")
    assert plan.arguments == (effective,), "the journal and the plan name it"
    assert effective in plan.notes[0]
    assert history.change(site, "last").status == "reverted", "to look at, the last is the last"


@pytest.mark.parametrize("status", ["applied", "failed", None])
def test_what_may_have_had_an_effect_is_not_passed_over(site: Site, made: Make, status: str | None) -> None:
    made()
    newest = made(status=status)
    assert history.undo(site, "last").undoes == newest


def test_a_last_change_that_cannot_be_taken_back_is_not_passed_over_for_an_older_one(
    site: Site, made: Make, journal: Journal
) -> None:
    made()
    step = Step("s", "S", Risk.SAFE, shell("true", "api"), (), (), no_undo="it is gone", servers=())
    newest = journal.begin(to_plain(Plan("docker restart", ("c",), "T", "c", (step,))))
    journal.write(newest, journaled.STEP_BEGUN, 0, {})
    journal.write(newest, journaled.ENDED, None, {"status": "verified"})
    with pytest.raises(RefusedError, match="it is gone"):
        history.undo(site, "last")


def test_without_any_there_is_nothing_to_take_back(site: Site, made: Make) -> None:
    with pytest.raises(RefusedError, match="No change is left") as refused:
        history.undo(site, "last")
    assert refused.value.exit_code == 77
    with pytest.raises(UsageError):
        history.change(site, "last")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), "abcd"),
        (Wanted(kind="docker"), "ad"),
        (Wanted(kind="docker restart"), "ad"),
        (Wanted(kind="restart"), "acd"),
        (Wanted(kind="undo"), "b"),
        (Wanted(kind="purge"), ""),
        (Wanted(server="workers"), "c"),
        (Wanted(server="api"), "abd"),
        (Wanted(result="verified"), "ab"),
        (Wanted(result="interrupted"), "d"),
        (Wanted(since=datetime(2026, 1, 3, tzinfo=timezone.utc)), "cd"),
        (Wanted(until=datetime(2026, 1, 3, tzinfo=timezone.utc)), "ab"),
        (Wanted(kind="docker", server="api", result="verified"), "a"),
    ],
)
def test_filters_choose_together(site: Site, made: Make, wanted: Wanted, expected: str) -> None:
    ids = {
        made("docker restart", "c", at="2026-01-01T10:00:00.000+00:00"): "a",
        made("undo", "x", at="2026-01-02T10:00:00.000+00:00"): "b",
        made("workers restart", "w", at="2026-01-03T10:00:00.000+00:00", server="workers", status="failed"): "c",
        made("docker restart", "c", at="2026-01-04T10:00:00.000+00:00", status=None): "d",
    }  # fmt: skip
    listed = [ids[change.id] for change in history.changes(site, 20, wanted)]
    assert listed == sorted(expected, reverse=True)


def test_the_limit_counts_what_fits(site: Site, made: Make) -> None:
    old = made("workers restart", "w", server="workers")
    for _number in range(3):
        made()
    assert [change.id for change in history.changes(site, 1, Wanted(server="workers"))] == [old]


@pytest.mark.parametrize(
    ("wanted", "named"), [(Wanted(kind="dokcer"), "docker"), (Wanted(server="wrokers"), "workers")]
)
def test_a_filter_that_nothing_can_have_is_an_error_with_the_nearest(
    site: Site, made: Make, wanted: Wanted, named: str
) -> None:
    made()
    with pytest.raises(UsageError) as refused:
        history.changes(site, 20, wanted)
    assert named in refused.value.hint


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XST-5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
def test_people_read_and_type_their_own_time(site: Site, made: Make) -> None:
    change = made(at="2026-01-31T22:30:00.000+00:00")
    page = shown(face.page(history.change(site, change)))
    assert "2026-02-01 03:30:00 XST" in page
    assert "03:30:00.000  begun" in page
    assert "22:30" not in page
    begins, ends = moments.interval("2026-02-01", "--since")
    assert begins.isoformat() == "2026-02-01T00:00:00+05:00"
    assert history.changes(site, 1, Wanted(since=begins, until=ends))
    assert not history.changes(site, 1, Wanted(until=begins))
    document = face.document(history.changes(site, 1))
    assert document["changes"][0]["at"] == "2026-01-31T22:30:00.000+00:00", "programs read UTC"


def test_an_event_of_another_day_says_so(site: Site, made: Make, journal: Journal, monkeypatch: Any) -> None:
    change = made(status=None)
    monkeypatch.setattr("samaops.journal.history._text", lambda _moment: "2026-02-02T12:00:00.000+00:00")
    journal.write(change, journaled.INTERRUPTED, None, {})
    assert "2026-02-02 " in shown(face.page(history.change(site, change)))


@pytest.mark.parametrize("typed", ["2026-01-31", "31/01/2026"])
def test_a_day_is_meant_whole(typed: str) -> None:
    begins, ends = moments.interval(typed, "--until")
    assert (ends - begins).days == 1
    assert (begins.day, begins.month) == (31, 1)


@pytest.mark.parametrize(
    "typed", ["2026-01-31 14:00", "2026-01-31T14:00:00Z", "2026-01-31T14:00+02:00", "2h", "7d", "7 j"]
)
def test_a_moment_is_at_once(typed: str) -> None:
    begins, ends = moments.interval(typed, "--since")
    assert begins == ends
    assert begins.tzinfo is not None


@pytest.mark.parametrize("typed", ["", "soon", "2026-13-01", "99999999h", "999999w", "2h ago", "-1d"])
def test_what_is_no_moment_is_refused_with_examples(typed: str) -> None:
    with pytest.raises(UsageError, match="is no moment") as refused:
        moments.interval(typed, "--since")
    assert "2026-01-31" in refused.value.hint


# The words of a plan and what a person types to have it made again.
TYPED = [
    (
        "schedule pause",
        ("weekly", "2026-06-01T12:00:00+00:00", "a migration"),
        "schedule pause weekly --until 2026-06-01T12:00:00+00:00 --reason 'a migration'",
    ),
    (
        "silence",
        ("servers.disk.full", "servers/db:/", "2026-06-01T12:00:00+00:00", "a new disk", "{}"),
        "silence servers.disk.full servers/db:/ --until 2026-06-01T12:00:00+00:00 --reason 'a new disk'",
    ),
    ("silence end", ("3",), "silence end 3"),
    ("config upgrade", ("/etc/samaops/config.toml",), "config upgrade"),
    ("schedule resume", ("all",), "schedule resume all"),
    (
        "checklist sign",
        ("tests", "push", "awa", "seen on 3 phones"),
        "checklist sign tests push --by awa --note 'seen on 3 phones'",
    ),
    (
        "checklist sign",
        ("tests", "push", "awa", "seen\u200bon 3"),
        "checklist sign tests push --by awa --note $'seen\\342\\200\\213on 3'",
    ),
    ("checklist unsign", ("tests", "push"), "checklist unsign tests push"),
    ("checklist measure", ("load",), "checklist measure load"),
    ("schedule install", ("cron", "/etc/cron.d"), "schedule install cron /etc/cron.d"),
    ("schedule install", ("timers", "/units"), "schedule install systemd /units --timers"),
    ("schedule uninstall", ("/etc/cron.d",), "schedule uninstall /etc/cron.d"),
    ("schedule import", ("/etc/cron.d/samaconso",), "schedule import /etc/cron.d/samaconso"),
    ("backup create", (), "backup create"),
    ("backup objects", (), "backup objects"),
    ("backup copy", ("latest", "--to", "workers"), "backup copy latest --to workers"),
    (
        "restore objects",
        ("2026-11-27", "", "a b"),
        "restore objects --as-of 2026-11-27 --prefix 'a b'",
    ),
    ("restore objects", ("", "", ""), "restore objects"),
    ("backup verify", ("latest", "--grade", "stored"), "backup verify latest --grade stored"),
    ("backup prune", (), "backup prune"),
    ("backup pin", ("latest", "before the audit"), "backup pin latest --reason 'before the audit'"),
    ("backup unpin", ("latest",), "backup unpin latest"),
    ("backup drill", ("latest",), "backup drill latest"),
    ("restore db", ("latest",), "restore db latest"),
    ("restore db", ("--to", "2026-11-28 14:30:00+00:00"), "restore db --to '2026-11-28 14:30:00+00:00'"),
    ("restore undo", (), "restore undo"),
    ("restore config", ("latest", "", "/etc/a b"), "restore config '/etc/a b' --from latest"),
    ("restore config", ("latest", "db"), "restore config --from latest --server db"),
    ("restore broker", ("latest", "queues"), "restore broker queues --from latest"),
    ("restore forget", ("samaops_replaced_1",), "restore forget samaops_replaced_1"),
    (
        "restore table",
        ("orders", "orders_then", "latest"),
        "restore table orders --as orders_then --from latest",
    ),
    (
        "restore table",
        ("orders", "orders_then", "latest", "id < 7"),
        "restore table orders --as orders_then --from latest --where 'id < 7'",
    ),
    (
        "restore table",
        ("orders", "orders_then", "", "", "2026-11-28 14:30:00+00:00"),
        "restore table orders --as orders_then --to '2026-11-28 14:30:00+00:00'",
    ),
    ("db cancel", ("4711",), "db cancel 4711"),
    ("db terminate", ("--idle-in-transaction", "300"), "db terminate --idle-in-transaction 300"),
    ("db checkpoint", (), "db checkpoint"),
    ("db set", ("work_mem", "16MB"), "db set work_mem 16MB"),
    ("db slot drop", ("old replica",), "db slot drop 'old replica'"),
    (
        "db index create",
        ("customers", "by_mail", "60", "email"),
        "db index create customers email --name by_mail",
    ),
    ("db index drop", ("by_mail", "60"), "db index drop by_mail"),
    ("db vacuum", ("customers", "--window", "02:00-05:00"), "db vacuum customers --window 02:00-05:00"),
    ("db analyze", (), "db analyze"),
    ("db reindex", ("by_mail", "--wait", "60"), "db reindex by_mail --wait 60"),
    ("db optimize", ("--wait", "60"), "db optimize --wait 60"),
    ("pool pause", ("samaconso", "20"), "pool pause samaconso --for 20"),
    ("pool kill", ("samaconso", "5"), "pool kill samaconso --for 5"),
    ("pool resume", ("samaconso",), "pool resume samaconso"),
    ("pool reconnect", ("",), "pool reconnect"),
    ("pool disable", ("samaconso",), "pool disable samaconso"),
    ("pool enable", ("samaconso",), "pool enable samaconso"),
    ("pool reload", (), "pool reload"),
    ("pool set-size", ("", "30"), "pool set-size 30"),
    ("balancer drain", ("10.101.0.2:8001", "45"), "balancer drain 10.101.0.2:8001 --within 45"),
    ("balancer enable", ("api_1",), "balancer enable api_1"),
    ("redis set-maxmemory", ("2gb",), "redis set-maxmemory 2gb"),
    ("redis set-policy", ("allkeys-lru",), "redis set-policy allkeys-lru"),
    ("redis expire", ("celery-task-meta-", "3600", "5000"), "redis expire celery-task-meta- --after 3600"),
    ("redis unlink", ("a b*", "500"), "redis unlink 'a b*' --rate 500"),
    ("redis kill-client", ("42",), "redis kill-client 42"),
    ("redis purge-memory", (), "redis purge-memory"),
    ("redis save", (), "redis save"),
    ("redis flush", ("2000",), "redis flush"),
    ("docker restart", ("my container",), "docker restart 'my container'"),
    ("docker roll", ("api",), "docker roll api"),
    (
        "docker roll",
        ("workers", "workers,workers2", "2", "1", "600", "2026-06-01T12:00:00+00:00"),
        "docker roll workers --limit workers,workers2 --serial 2 --healthy 1 --within 600"
        " --started-before 2026-06-01T12:00:00+00:00",
    ),
    ("docker cleanup", (), "docker cleanup"),
    ("maintain run", ("rotation",), "maintain run rotation"),
    ("docker set-limit", ("c", "768m"), "docker set-limit c 768m"),
    ("disk clean", ("", ""), "disk clean"),
    ("disk clean", ("db", "logs,journal"), "disk clean --server db --only logs,journal"),
    ("disk abort-uploads", ("", "24"), "disk abort-uploads"),
    ("disk abort-uploads", ("uploads", "72"), "disk abort-uploads uploads --older-than 72"),
    ("disk reserve", ("db", "/data", "500M"), "disk reserve --server db --mount /data --size 500M"),
    ("disk reserve", ("db", "/data", "--give-up"), "disk reserve --server db --mount /data --give-up"),
    ("release record", (), "release record"),
    ("release begin", ("2026-11 tarifs",), "release begin '2026-11 tarifs'"),
    ("rollback app", ("",), "rollback app"),
    ("rollback app", ("2.0.0",), "rollback app --to 2.0.0"),
    ("rollback db", ("sha256:abc",), "rollback db --to sha256:abc"),
    ("workers scale", ("worker2", "+2"), "workers scale worker2 --add 2"),
    ("workers scale", ("worker2", "-1"), "workers scale worker2 --remove 1"),
    ("workers revoke", ("id", "--terminate"), "workers revoke id --terminate"),
    ("workers revoke", ("id",), "workers revoke id"),
    ("workers add-queue", ("worker2", "urgent"), "workers add-queue worker2 urgent"),
    ("workers restart", ("worker2",), "workers restart worker2"),
    ("queue purge", ("normal", "/home/a b/normal.jsonl"), "queue purge normal"),
    ("queue set-watermark", ("0.5",), "queue set-watermark 0.5"),
    ("queue clear-policy", ("normal",), "queue clear-policy normal"),
    ("queue park", ("normal", "--message", "$(id)"), "queue park normal --message '$(id)'"),
    ("queue unpark", ("normal",), "queue unpark normal"),
    ("undo", ("20260131-120000-abcd",), "undo 20260131-120000-abcd"),
    (
        "troubleshoot notifications --canary",
        ("--queue", "normal", "--wait", "30"),
        "troubleshoot notifications --canary --queue normal --wait 30",
    ),
]


@pytest.mark.parametrize(("verb", "arguments", "expected"), TYPED)
def test_what_was_done_can_be_typed_again_as_printed(
    site: Site, made: Make, verb: str, arguments: tuple[str, ...], expected: str
) -> None:
    change = history.change(site, made(verb, *arguments))
    assert change.command == f"samaops {expected}"
    printed = shown(face.page(change)).replace("\\\n", " ")
    assert f"samaops {expected}" in " ".join(printed.split())


def test_each_verb_is_among_those_that_were_tried() -> None:
    assert {verb for verb, _arguments, _typed in TYPED} == {*verbs.names(), "undo"}


def test_the_lab_s_history_is_typed_again_in_the_lab(site: Site, made: Make) -> None:
    lab = Site(site.settings.model_copy(update={"site": LAB_SITE}))
    opened = changing.journal_of(lab)
    change = opened.begin(to_plain(Plan("docker restart", ("c",), "T", "c")))
    opened.close()
    assert history.change(lab, change).command == "samaops --lab docker restart c"


def test_a_site_s_own_fix_is_typed_again_where_a_playbook_still_has_it(
    site: Site, made: Make, tmp_path: Path
) -> None:
    change = made("troubleshoot workers.own", "celery/worker2")
    assert history.change(site, change).command == "", "it is gone: nothing is proposed"
    assert "troubleshoot workers.own" in shown(face.page(history.change(site, change)))
