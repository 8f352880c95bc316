"""A program that holds sessions of PostgreSQL open until it is ended, or for one hour at most.

``locks N``: one transaction that changed a row and sits idle, and N sessions that wait for that row.
``connections``: every connection that the server still gives, again and again.
The connection comes from PostgreSQL's own environment variables.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

import psycopg

from samaops.lab.incidents.tools.sessions import sql

LONGEST_SECONDS = 3600
HOLDER_NAME = "import_compteurs"
WAITER_NAME = "samaconso_batch"
GREEDY_NAME = "export_facturation"
RETRY_SECONDS = 0.3


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


def main() -> None:
    """Do what the first argument says."""
    signal.alarm(LONGEST_SECONDS)
    if sys.argv[1] == "locks":
        locks(int(sys.argv[2]))
    else:
        connections()


if __name__ == "__main__":
    main()
