"""Servers that answer in the place of another: what they ask for, they are not given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import pq

from samaops.clients.errors import ClientError
from samaops.clients.pgbouncer import ConsoleClient, PooledClient
from samaops.clients.postgresql import PostgresClient
from samaops.config.settings import PgBouncer, PostgreSQL
from samaops.errors import UnavailableError
from samaops.journal.history import Journal
from samaops.model.failure import FailureKind
from tests.service import faulty

pytestmark = pytest.mark.service

PASSWORD = "canary-for-nobody"
# Every address of this machine, which is no loopback address to whoever only reads it.
ELSEWHERE = "0.0.0.0"


def _postgresql(host: str, port: int, **more: Any) -> PostgresClient:
    section = PostgreSQL.model_validate({"host": host, "port": port, "password": PASSWORD, **more})
    return PostgresClient(host, section, 3.0)


def _console(host: str, port: int, **more: Any) -> ConsoleClient:
    section = PgBouncer.model_validate({"host": host, "port": port, "admin_password": PASSWORD, **more})
    return ConsoleClient(host, section, 3.0)


def _pool(host: str, port: int, **more: Any) -> PooledClient:
    section = PgBouncer.model_validate({"host": host, "port": port, "password": PASSWORD, **more})
    return PooledClient(host, section, 3.0)


CLIENTS: list[Callable[..., Any]] = [_postgresql, _console, _pool]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_password_itself_is_given_to_nobody_without_tls(client: Callable[..., Any]) -> None:
    with faulty.asking_in_clear() as ((_host, port), given), pytest.raises(ClientError) as caught:
        client(ELSEWHERE, port).connect()

    assert not given
    assert (caught.value.kind, caught.value.stage) == (FailureKind.SCHEME, "clear")
    assert "clear_text_password" in caught.value.message


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("host", "more"), [("127.0.0.1", {}), (ELSEWHERE, {"clear_text_password": True})], ids=("here", "meant")
)
def test_it_is_given_on_this_machine_and_where_that_is_meant(
    client: Callable[..., Any], host: str, more: dict[str, bool]
) -> None:
    with faulty.asking_in_clear() as ((_host, port), given), pytest.raises(ClientError):
        client(host, port, **more).connect()

    assert PASSWORD.encode() in b"".join(given)


def test_a_libpq_that_cannot_refuse_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pq, "version", lambda: 140011)
    with pytest.raises(ClientError) as caught:
        _postgresql(ELSEWHERE, 1).connect()

    assert (caught.value.kind, caught.value.stage) == (FailureKind.SCHEME, "clear")
    assert "libpq 14" in caught.value.message
    # Nothing is there to be given away: it may ask.
    monkeypatch.undo()
    assert "require_auth" not in str(vars(_postgresql("127.0.0.1", 1)._session))


@pytest.mark.parametrize(
    ("host", "words", "is_given"),
    [
        (ELSEWHERE, "", False),
        ("127.0.0.1", "", True),
        (ELSEWHERE, "?require_auth=password", True),
    ],
)
def test_a_shared_history_that_lies_does_not_get_it_either(host: str, words: str, is_given: bool) -> None:
    with faulty.asking_in_clear() as ((_host, port), given):
        journal = Journal(f"postgresql+psycopg://samaops:{PASSWORD}@{host}:{port}/history{words}", "site")
        with pytest.raises(UnavailableError) as caught:
            journal.changes()

    assert bool(given) is is_given
    if not is_given:
        assert "require_auth=password" in str(caught.value) or "require_auth=password" in (
            caught.value.hint or ""
        )
