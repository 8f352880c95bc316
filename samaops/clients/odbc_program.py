"""A program of its own for ODBC: a driver is a library in C, and one that crashes or hangs ends this process alone.

It reads a line of JSON for each thing to do and answers each with one. It is run as a file, with the directories of
modules as its arguments, and imports nothing of samaops: it starts quickly.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

_SPARE_SECONDS = 5


def main() -> None:
    """Answer until the input ends, or nobody is left who would end us where a driver hangs."""
    sys.path += [path for path in sys.argv[1:] if path not in sys.path]
    # What a driver prints goes elsewhere than our answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        import pyodbc as odbc
    except ImportError as error:
        answers.write(json.dumps({"missing": str(error)}) + "\n")
        return
    odbc.pooling = False  # a pool would keep connections open after we are done
    connection: Any = None
    for line in sys.stdin:
        wanted = json.loads(line)
        signal.alarm(int(wanted["seconds"]) + _SPARE_SECONDS)
        started = time.monotonic()
        answer: dict[str, Any] = {}
        try:
            if wanted["do"] == "drivers":
                answer["drivers"] = list(odbc.drivers())
            elif wanted["do"] == "log in":
                connection = odbc.connect(
                    wanted["to"], timeout=wanted["seconds"], autocommit=True, readonly=True
                )
            elif wanted["do"] == "query":
                _query(odbc, connection, wanted["statement"], wanted["seconds"])
        except odbc.Error as error:
            answer["error"] = [str(argument) for argument in error.args]
        answer["ms"] = round((time.monotonic() - started) * 1000, 2)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if connection is not None:
        connection.close()


def _query(odbc: Any, connection: Any, statement: str, seconds: float) -> None:
    """Run one statement and read its first row."""

    def cancel() -> None:
        with suppress(odbc.Error):  # then whoever waits for the answer ends this process
            cursor.cancel()

    cursor = connection.cursor()
    # Not the driver's own query timeout: psqlODBC has none (attribute 113), a cancel works with all.
    watchdog = threading.Timer(seconds, cancel)
    watchdog.daemon = True
    watchdog.start()
    try:
        cursor.execute(statement).fetchone()
    finally:
        watchdog.cancel()


if __name__ == "__main__":
    main()
