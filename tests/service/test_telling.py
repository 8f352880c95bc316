"""Who is told what, with real servers: mail, a webhook, AlertManager, the node exporter, and the history in both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from samaops.cli import textfile
from samaops.config.settings import Settings
from samaops.errors import UsageError
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import table as table_face
from samaops.render.bulletin import bulletin
from samaops.site.site import Site
from samaops.workflows import change, diagnose
from samaops.workflows.maintenance import routine
from samaops.workflows.maintenance.daily import DAILY
from samaops.workflows.maintenance.request import Request
from samaops.workflows.notify import marking, silences, trying
from tests.answers import validated
from tests.service import faulty
from tests.service.listeners import http_listener, mail_server
from tests.service.postgres_server import PostgresServer, eventually, postgres_server
from tests.service.ssh_server import free_port
from tests.service.test_history_postgresql import url_of
from tests.service.test_redis_client import Server, running
from tests.service.watchers import alertmanager, node_exporter

__all__ = ["postgres_server"]
pytestmark = pytest.mark.service
CODE = "redis.service.unreachable"
Make = Callable[..., Site]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    directory = tmp_path / "redis"
    directory.mkdir()
    with running(directory) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def made(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgres_server: PostgresServer,
) -> Iterator[Make]:
    """Return what makes a site whose Redis is at a port, with its history in SQLite or in PostgreSQL."""
    yield from _sites(request.param, tmp_path, monkeypatch, postgres_server)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return the same with SQLite."""
    yield from _sites("sqlite", tmp_path, monkeypatch, None)


def _sites(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: PostgresServer | None
) -> Iterator[Make]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    history = {"url": url_of(server.port)} if kind == "postgresql" and server else {}

    def make(port: int, **notify: Any) -> Site:
        settings = {
            "site": "telling",
            "redis": {"host": "127.0.0.1", "port": port, "timeout": 4.0, "expected_policy": "noeviction"},
            "maintenance": {"log": str(tmp_path / "daily.log"), "limit_seconds": 120.0},
            "safety": {"lock_directory": str(tmp_path)},
            "history": history,
            "notify": notify,
        }
        return Site(Settings.model_validate(settings))

    yield make
    if server is not None:
        for table in ("samaops_silences", "samaops_troubles", "samaops_records", "samaops_events"):
            server.run(f"DROP TABLE IF EXISTS {table}")


def daily(site: Site) -> Report:
    outcome = routine.run(site, DAILY, Request(lambda plan: None, bulletin, only=("redis",)))
    assert outcome.notes == ()
    return outcome.report


def silence(site: Site, *, until_hours: float = 4) -> None:
    from datetime import datetime, timedelta, timezone

    until = datetime.now(timezone.utc) + timedelta(hours=until_hours)
    done = change.apply(site, silences.plan(site, CODE, "", until, "migration"), 10.0)
    assert not done.errors


def end(site: Site, number: int) -> None:
    assert not change.apply(site, change.prepare(site, "silence end", (str(number),)), 10.0).errors


def test_the_same_trouble_is_told_once_and_then_its_end(made: Make, redis: Server) -> None:
    with mail_server() as mail, http_listener() as hook:
        channels = {
            "mail": {"host": "127.0.0.1", "port": mail.port},
            "webhooks": {"own": {"url": hook.url + "/own", "headers": {"X-Key": "canary-4711"}}},
        }
        nobody = free_port()
        for _run in range(3):
            assert daily(made(nobody, **channels)).status is Status.CRITICAL
        assert len(mail.mails) == len(hook.asked) == 1, "told once, whichever run it is"
        daily(made(redis.port, **channels))
        daily(made(redis.port, **channels))
    assert len(mail.mails) == 2
    subjects = [" ".join(each["Subject"].split()) for each in mail.mails]
    assert subjects[0].startswith("[telling] critical: ")
    assert subjects[1].startswith("[telling] over after "), subjects[1]
    first, second = hook.documents()
    assert (first["kind"], second["kind"]) == ("trouble", "recovery")
    assert first["findings"][0]["code"] == second["recovered"][0]["code"] == CODE
    assert hook.headers[0]["x-key"] == "canary-4711"
    assert hook.headers[0]["content-type"] == "application/json"


def test_what_is_silenced_is_found_and_not_told(made: Make, redis: Server) -> None:
    with mail_server() as mail:
        site = made(free_port(), mail={"host": "127.0.0.1", "port": mail.port})
        assert silences.listed(site).rows == ()
        silence(site)
        report = daily(site)
        assert report.status is Status.CRITICAL, "a silence is about telling, not about what is"
        (finding,) = [each for each in report.findings if each.code == CODE]
        assert finding.silenced is not None
        assert (finding.silenced.number, finding.silenced.reason) == (1, "migration")
        mark = marking.read_beside(site)
        seen = mark(diagnose.judge(diagnose.observe(site), site))
        assert [each.silenced is not None for each in seen.findings if each.code == CODE] == [True]
        assert mail.mails == []
        end(site, 1)
        assert daily(site).findings[0].silenced is None
        assert len(mail.mails) == 1
        listed = silences.listed(site)
        assert [row["is_active"] for row in listed.rows] == [False]
        validated(table_face.document(listed))
    (past, made_first) = change.journal_of(site).changes(2)
    assert past.plan["verb"] == "silence end"
    assert made_first.plan["arguments"][3] == "migration", "who and why stand in the history"
    assert made_first.owner.user


def test_a_silence_can_be_taken_back_and_an_unknown_one_cannot(alone: Make) -> None:
    from samaops.workflows import history

    site = alone(free_port())
    silence(site)
    assert not change.apply(site, history.undo(site, "last"), 10.0).errors
    assert [row["is_active"] for row in silences.listed(site).rows] == [False]
    with pytest.raises(UsageError, match="There is no silence 7"):
        change.prepare(site, "silence end", ("7",))
    with pytest.raises(UsageError, match="'redis/w' is not known"):
        silences.plan(site, CODE, "redis/w", _soon(), "x")


def _soon() -> Any:
    from datetime import datetime, timedelta, timezone

    return datetime.now(timezone.utc) + timedelta(hours=1)


def test_a_real_alertmanager_shows_what_fires_and_that_it_is_over(
    alone: Make, redis: Server, tmp_path: Path
) -> None:
    with http_listener() as pager, alertmanager(tmp_path, pager.url) as alerts:
        section = {"alertmanager": {"url": alerts.url}}
        daily(alone(free_port(), **section))
        (fired,) = eventually(alerts.firing)
        assert fired["labels"]["alertname"] == CODE
        assert fired["labels"]["severity"] == "critical"
        assert fired["annotations"]["summary"]
        eventually(lambda: pager.asked)
        daily(alone(redis.port, **section))
        eventually(lambda: not alerts.firing())
        told = eventually(
            lambda: [each["status"] for each in pager.documents() if each["status"] == "resolved"]
        )
        assert told, "and its receivers are told"


def test_a_real_alertmanager_gets_nothing_of_what_is_silenced(alone: Make, tmp_path: Path) -> None:
    with http_listener() as pager, alertmanager(tmp_path, pager.url) as alerts:
        site = alone(free_port(), alertmanager={"url": alerts.url})
        silence(site)
        daily(site)
        assert alerts.firing() == []
        end(site, 1)
        daily(site)
        eventually(alerts.firing)


def test_a_test_goes_through_each_channel_and_a_real_alertmanager_shows_it(
    alone: Make, tmp_path: Path
) -> None:
    with mail_server() as mail, http_listener() as hooks, alertmanager(tmp_path, hooks.url + "/am") as alerts:
        site = alone(
            1, mail={"host": "127.0.0.1", "port": mail.port}, slack={"url": hooks.url + "/slack"},
            alertmanager={"url": alerts.url}, ping={"url": hooks.url + "/ping"},
            webhooks={"own": {"url": hooks.url + "/own", "template": '{"t": {{ subject | tojson }}, "k": {{ kind | tojson }}}'}},
        )  # fmt: skip
        chosen = trying.channels(site)
        assert [each.channel.name for each in trying.planned(chosen)] == [
            "mail", "slack", "alertmanager", "ping", "own",
        ]  # fmt: skip
        assert (mail.mails, hooks.asked) == ([], []), "a dry run sends nothing"
        tried = trying.send(chosen)
        assert [each.state for each in tried] == ["ok"] * 5, [each.answer for each in tried]
        assert {each["labels"]["alertname"] for each in alerts.firing()} == {trying.TEST_ALERT}
    assert "test" in " ".join(mail.mails[0]["Subject"].split())
    by_path = {path: body for _method, path, body in hooks.asked}
    assert "/ping/log" in by_path, "no sign of life is given by a test"
    assert b'"k": "test"' in by_path["/own"]
    assert len(trying.channels(site, "own")) == 1
    with pytest.raises(UsageError, match="'teams' is not known"):
        trying.channels(site, "teams")


def test_each_channel_that_fails_says_what_was_answered_and_what_to_do(alone: Make) -> None:
    with (
        http_listener(404, b"no_service") as gone,
        faulty.hanging() as (host, port),
        faulty.refused_port() as closed,
    ):
        site = alone(
            1, slack={"url": gone.url + "/T/canary-4711"},
            ping={"url": f"http://{host}:{port}/canary-4711", "timeout": 1.0},
            mail={"host": closed[0], "port": closed[1]},
            webhooks={"own": {"url": gone.url, "template": "{{ nothing }}"}},
        )  # fmt: skip
        tried = {each.channel.name: each for each in trying.send(trying.channels(site))}
        table = trying.table_of(tuple(tried.values()), site)
    assert {each.state for each in tried.values()} == {"failed"}
    assert tried["slack"].answer == "HTTP 404 no_service"
    assert "make one anew" in tried["slack"].todo
    assert tried["mail"].is_unreached
    assert "nothing listens there" in tried["mail"].todo
    assert tried["ping"].answer.startswith("no answer within 1 s")
    assert "the template does not fit" in tried["own"].answer
    assert "4 of 4 channels failed" in table.answer
    validated(table_face.document(table))
    assert "canary-4711" not in str(table)


def test_a_webhook_follows_no_redirect_and_shows_no_secret(alone: Make) -> None:
    with http_listener(302, b"canary-4711 over there") as away:
        site = alone(1, webhooks={"own": {"url": away.url + "/x", "headers": {"X-Key": "canary-4711"}}})
        (tried,) = trying.send(trying.channels(site))
    assert (tried.state, len(away.asked)) == ("failed", 1)
    assert tried.answer == "HTTP 302 *** over there"


def test_a_real_node_exporter_reads_what_a_run_has_written(
    alone: Make, redis: Server, tmp_path: Path
) -> None:
    directory = tmp_path / "textfiles"
    directory.mkdir()
    report = daily(alone(redis.port))
    textfile.write(directory / "samaops.prom", report)
    with node_exporter(directory) as metrics:
        from tests.service.watchers import read

        shown = (read(metrics) or "").splitlines()
    assert "node_textfile_scrape_error 0" in shown
    ours = [line for line in shown if line.startswith("samaops_check_status{")]
    assert any(f'code="{CODE}"' in line and line.endswith(" 0") for line in ours), ours
    assert 'samaops_status{command="maintain daily"} 0' in shown
