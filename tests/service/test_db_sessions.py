"""What a DBA sees of the sessions of a real PostgreSQL, and what he may end of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from samaops.config.settings import Settings
from samaops.errors import RefusedError
from samaops.model.plan import ActionStatus
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.database.activity import Wanted, activity
from tests.service.postgres_server import PASSWORD, PostgresServer, eventually, postgres_server

__all__ = ["postgres_server"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]


@pytest.fixture
def site(postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return the configuration of the server, on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    values = {
        "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
        "postgresql": {"host": "127.0.0.1", "port": postgres_server.port, "password": PASSWORD},
        "safety": {"lock_directory": tmp_path},
    }
    return Site(Settings.model_validate(values))


@contextmanager
def sleeping(server: PostgresServer, user: str, application: str = "api") -> Iterator[int]:
    """Run a long statement as some user, and yield its pid."""
    with psycopg.connect(
        host="127.0.0.1", port=server.port, dbname="samaconso", user=user, password=PASSWORD, autocommit=True,
        application_name=application,
    ) as connection:  # fmt: skip

        def sleep() -> None:
            try:
                connection.execute("SELECT pg_sleep(60), 'secret of a customer'")
            except psycopg.Error:
                return

        thread = threading.Thread(target=sleep)
        thread.start()
        pid = connection.info.backend_pid
        query = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'"
        eventually(lambda: server.run(query))
        try:
            yield pid
        finally:
            server.run(f"SELECT pg_terminate_backend({pid})")
            thread.join()


def test_the_clients_are_listed_the_longest_transaction_first(
    site: Site, postgres_server: PostgresServer
) -> None:
    with sleeping(postgres_server, "samaconso_user") as pid:
        table = activity(site, Wanted(state="active"))
        none = activity(site, Wanted(state="active", older_seconds=3600))
    row = table.rows[0]
    assert (row["pid"], row["user"], row["application"], row["state"]) == (
        pid,
        "samaconso_user",
        "api",
        "active",
    )
    assert row["query"] == "SELECT pg_sleep(?), '***'"
    assert f"pid {pid}" in table.answer
    assert table.is_whole
    assert none.rows == ()


def test_a_statement_is_cancelled_and_its_session_stays(site: Site, postgres_server: PostgresServer) -> None:
    with sleeping(postgres_server, "samaconso_user") as pid:
        plan = change.prepare(site, "db cancel", (str(pid),))
        report = change.apply(site, plan, 10)
        assert [each.status for each in report.actions] == [ActionStatus.VERIFIED], report.errors
        assert postgres_server.run(f"SELECT state FROM pg_stat_activity WHERE pid = {pid}") == [("idle",)]
        again = change.prepare(site, "db cancel", (str(pid),))
    assert "works on no statement" in again.nothing_to_do


@pytest.mark.parametrize(
    ("user", "application", "reason"),
    [("postgres", "psql", "superuser"), ("samaconso_user", "pg_dump", "pg_dump works in it")],
)
def test_what_must_not_be_ended_is_refused_with_its_reason(
    site: Site, postgres_server: PostgresServer, user: str, application: str, reason: str
) -> None:
    with sleeping(postgres_server, user, application) as pid, pytest.raises(RefusedError, match=reason):
        change.prepare(site, "db cancel", (str(pid),))


def test_a_process_of_the_server_itself_is_refused(site: Site, postgres_server: PostgresServer) -> None:
    ((pid,),) = postgres_server.run("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    with pytest.raises(RefusedError, match="no client but checkpointer"):
        change.prepare(site, "db cancel", (str(pid),))


def test_the_same_pid_of_another_session_is_not_touched(site: Site, postgres_server: PostgresServer) -> None:
    with sleeping(postgres_server, "samaconso_user") as pid:
        plan = change.prepare(site, "db cancel", (str(pid),))
        (step,) = plan.steps
        arguments: dict[str, Any] = dict(step.operation.arguments)
        assert arguments["values"]["started"]
    report = change.apply(site, plan, 2)
    assert [each.status for each in report.actions] == [ActionStatus.REFUSED]
    assert report.errors[0].exit_code == 77
