"""A program that holds sessions of PostgreSQL open until it is ended, or for one hour at most.

``locks N``: one transaction that changed a row and sits idle, and N sessions that wait for that row.
``connections``: every connection that the server still gives, again and again.
``direct N``: N sessions past the pool. ``snapshot``: one that has read, and still may. ``ddl N``: a long reader, a change
of its table that waits for it, and N readers behind that. ``transactions N``: N clients that ask somebody else within
theirs. ``sort N``: one query that sorts N rows on the disk. ``repeated NAME N``: N clients that send one statement of ``sql/`` again and again.
The connection comes from PostgreSQL's own environment variables.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg

from samaops.lab.incidents.tools.sessions import sql

LONGEST_SECONDS = 3600
HOLDER_NAME = "import_compteurs"
WAITER_NAME = "samaconso_batch"
GREEDY_NAME = "export_facturation"
DIRECT_NAME = "tableau_de_bord"
SNAPSHOT_NAME = "rapport_annuel"
READER_NAME, DDL_NAME = "export_mensuel", "migration_schema"
HOLDING_NAME = "samaconso_factures"
REPEATING_NAME = "samaconso_api_v2"
SORTING_NAME = "rapport_consommation"
RETRY_SECONDS = 0.3
ASKING_SECONDS = 3.0  # as long as SQL Server takes


def locks(waiters: int) -> None:
    """Hold a row's lock, and let others wait for it."""
    holder = psycopg.connect(application_name=HOLDER_NAME)
    holder.execute(sql("hold_row"))
    for _number in range(waiters):
        threading.Thread(target=_want, daemon=True).start()
    time.sleep(LONGEST_SECONDS)


def _want() -> None:
    with psycopg.connect(application_name=WAITER_NAME) as waiting:
        waiting.execute(sql("want_row"))
        waiting.rollback()


def connections() -> None:
    """Take every connection there is, also one that becomes free later."""
    held: list[psycopg.Connection[Any]] = []
    while True:
        try:
            held.append(psycopg.connect(application_name=GREEDY_NAME, connect_timeout=5))
        except psycopg.OperationalError:
            time.sleep(RETRY_SECONDS)


def direct(number: int) -> None:
    """Open sessions where the pool was meant to be between, and do nothing with them."""
    _held = [psycopg.connect(application_name=DIRECT_NAME) for _number in range(number)]
    time.sleep(LONGEST_SECONDS)


def snapshot() -> None:
    """Read once, in a transaction that sees the same for as long as it is open."""
    reader = psycopg.connect(application_name=SNAPSHOT_NAME)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    reader.execute(sql("read_user"))
    time.sleep(LONGEST_SECONDS)


def ddl(readers: int) -> None:
    """Read for long, want the table for a change, and let others come behind that."""
    _begin(lambda: _once(READER_NAME, "read_long"))
    time.sleep(RETRY_SECONDS)
    _begin(lambda: _once(DDL_NAME, "alter_table"))
    time.sleep(RETRY_SECONDS)
    for _number in range(readers):
        _begin(lambda: _once(WAITER_NAME, "read_short"))
    time.sleep(LONGEST_SECONDS)


def _once(name: str, statement: str) -> None:
    with psycopg.connect(application_name=name) as session:
        session.execute(sql(statement))
        session.rollback()


def transactions(number: int) -> None:
    """Begin transactions through the pool, and ask somebody else before they end."""
    for _number in range(number):
        _begin(_hold_transactions)
    time.sleep(LONGEST_SECONDS)


def _hold_transactions() -> None:
    with psycopg.connect(application_name=HOLDING_NAME, prepare_threshold=None) as client:
        while True:
            client.execute(sql("read_user"))
            time.sleep(ASKING_SECONDS)
            client.rollback()


def sort(rows: int) -> None:
    """Sort so many rows, and take the result a row a second."""
    with psycopg.connect(application_name=SORTING_NAME) as session:
        session.execute(sql("sort_on_disk"), {"rows": rows})


def repeated(statement: str, number: int) -> None:
    """Send one statement through the pool, from many clients, without a pause."""
    for client in range(number):
        _begin(partial(_repeat, sql(statement), client + 1))
    time.sleep(LONGEST_SECONDS)


def _repeat(statement: bytes, number: int) -> None:
    with psycopg.connect(application_name=REPEATING_NAME, prepare_threshold=None, autocommit=True) as client:
        while True:
            client.execute(statement, {"id": number})


def _begin(work: Callable[[], object]) -> None:
    threading.Thread(target=work, daemon=True).start()


def main() -> None:
    """Do what the first argument says."""
    signal.alarm(LONGEST_SECONDS)
    name, *arguments = sys.argv[1:]
    if name == "repeated":
        repeated(arguments[0], int(arguments[1]))
    else:
        ways: dict[str, Callable[..., None]] = {
            "locks": locks,
            "connections": connections,
            "direct": direct,
            "snapshot": snapshot,
            "ddl": ddl,
            "transactions": transactions,
            "sort": sort,
        }
        ways[name](*map(int, arguments))


if __name__ == "__main__":
    main()
