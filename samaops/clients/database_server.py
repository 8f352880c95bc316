"""PostgreSQL's own server, worked on as its operating-system user over the local socket: for restores and their swap.

The monitoring user cannot create a database. What a restore needs is done by a program on the server
(``database_server.sh``), with psql as the superuser; statements are files of ``sql/restore``, and psql quotes each value.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from samaops.clients import server_job
from samaops.clients.as_user import as_user
from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell, Sink, program
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.resources import sql

STAGE = "psql"
_PROGRAM = Path(__file__).with_suffix(".sh")
# Not the database that is replaced: its name must be free to change.
CONSOLE_DATABASE = "postgres"
_MOST_WORDS = 300
# What the script gets besides, for its own end.
_SLACK_SECONDS = 5.0
_LOOK_SECONDS = 8.0
_TRANSIENT = ("timeout", "canceling statement")

Value = str | int
Row = dict[str, Any]


class DatabaseServer(Struct, frozen=True):
    """A shell on PostgreSQL's server, the user it works as, the port of the cluster."""

    shell: Shell
    os_user: str
    port: int

    def ask(
        self,
        file: str,
        seconds: float,
        values: Mapping[str, Value] | None = None,
        database: str = CONSOLE_DATABASE,
        *,
        stops: bool = True,
    ) -> list[Row]:
        """Run ``sql/restore/<file>.sql`` in a database and return its rows; each value is quoted by psql.

        Where it does not stop, what failed is absent from the answer. Raises ClientError.
        """
        words = [f"{name}={value}" for name, value in (values or {}).items()]
        done = self.run(
            "ask" if stops else "try", seconds, database, *words, stdin=f"{sql(f'restore/{file}')};\n"
        )
        return _rows(done.stdout)

    def query(self, statement: str, database: str, seconds: float) -> str:
        """Run a statement of the site, read only, and return its answer as text. Raises ClientError."""
        return self.run("query", seconds, database, stdin=statement).stdout.strip()

    def stream(
        self, file: str, values: Mapping[str, Value], database: str, seconds: float, sink: Sink
    ) -> None:
        """Run ``sql/restore/<file>.sql``, and give ``sink`` its answer, however long that is. Raises ClientError."""
        words = [f"{name}={value}" for name, value in values.items()]
        arguments = ("ask", str(self.port), str(round(seconds * 1000)), database, *words)
        command = as_user(self.os_user, program(_PROGRAM), *arguments)
        statement = f"{sql(f'restore/{file}')};\n".encode()
        done = self.shell.stream(command, seconds + _SLACK_SECONDS, (statement,), sink)
        if done.exit_code:
            raise _failure(done, file)

    def swap(self, file: str, values: Mapping[str, Value], seconds: float, *, ends_sessions: bool) -> None:
        """Rename, all or nothing, and end meanwhile who is still in the old database. Raises ClientError."""
        words = [f"{name}={value}" for name, value in values.items()]
        endings = sql("restore/end_sessions") if ends_sessions else ""
        until = str(max(0, int(seconds / 2)))
        arguments = (endings, until, CONSOLE_DATABASE, *words)
        self.run("swap", seconds, *arguments, stdin=sql(f"restore/{file}"))

    def work(
        self,
        what: str,
        seconds: float,
        *words: str,
        stdin: str = "",
        database: str = "",
        tell: Callable[[int], None] = lambda _bytes: None,
    ) -> Completed:
        """Run a part that takes long and must end with us; ``tell`` is given how large a database is meanwhile.

        Raises ClientError as ``run``, and where the connection is lost.
        """
        script = self._piped(what, seconds, words, stdin)
        watching = ("postgres", f"database={database}")
        progress = self._piped("ask", _LOOK_SECONDS, watching, sql("restore/size")) if database else ""

        def told(answer: str) -> None:
            if answer.isdigit():
                tell(int(answer))

        with server_job.begun(self.shell, self.os_user) as job:
            done = job.run(script, seconds, progress, told)
        if done.exit_code:
            raise _failure(done, what)
        return done

    def _piped(self, what: str, seconds: float, words: Sequence[str], stdin: str) -> str:
        """Return a script that runs a part of the program with its standard input."""
        milliseconds = str(round(seconds * 1000))
        command = shlex.join(
            ["sh", "-c", program(_PROGRAM), "sh", what, str(self.port), milliseconds, *words]
        )
        packed = base64.b64encode(stdin.encode()).decode()
        return f"printf %s {packed} | base64 -d | {command}" if packed else command

    def run(self, what: str, seconds: float, *words: str, stdin: str = "") -> Completed:
        """Run a part of the program. Raises ClientError where it fails, with the server's own words."""
        milliseconds = str(round(seconds * 1000))
        command = as_user(self.os_user, program(_PROGRAM), what, str(self.port), milliseconds, *words)
        done = self.shell.run(command, seconds + _SLACK_SECONDS, stdin.encode())
        if done.exit_code:
            raise _failure(done, what)
        return done


def _rows(output: str) -> list[Row]:
    try:
        return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    except ValueError as error:
        raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), STAGE) from error


def _failure(done: Completed, what: str) -> ClientError:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if "ERROR" in line or "FATAL" in line or "error:" in line]
    words = telling[0] if telling else done.reason()
    if done.exit_code in (124, 137) or any(word in words for word in _TRANSIENT):
        return ClientError(FailureKind.NO_ANSWER, words[:_MOST_WORDS], what)
    if "sudo" in words or "ermission denied" in words:
        return ClientError(FailureKind.PERMISSION, words[:_MOST_WORDS], what)
    return ClientError(FailureKind.ERROR, words[:_MOST_WORDS], what)


def words_of(names: Sequence[str]) -> str:
    """Return an array of PostgreSQL as it is written: for the rights of a database."""
    return "{" + ",".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names) + "}"
