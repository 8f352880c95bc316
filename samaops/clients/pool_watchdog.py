"""A watchdog on PgBouncer's server: it lets a database go on when its time is over, also when we are gone.

A PAUSE outlives whoever asked for it. So before it a small program is started on the server, in a session of its own;
it has logged in to the console with psql, waits, and resumes the database. The password reaches it, and psql, on their
standard input only.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from samaops.clients import pgbouncer, watchdog
from samaops.clients.shell import Shell
from samaops.clients.watchdog import Asked
from samaops.config.settings import PgBouncer

_PROGRAM = Path(__file__).with_suffix(".sh")


class Watchdog(Struct, frozen=True):
    """Where it works: the server's shell, and how the console is reached from there."""

    shell: Shell
    host: str
    settings: PgBouncer

    def try_out(self, timeout: float) -> None:
        """See that one could work there. Raises ClientError."""
        self._run("try", timeout)

    def start(self, database: str, seconds: float, timeout: float, then: str = "") -> None:
        """Start one that resumes a database after so many seconds; an earlier one of it ends. Raises ClientError.

        ``then`` is a command that it gives after that.
        """
        statement = pgbouncer.command_of("resume", database) + (f";\n{then}" if then else "")
        self._run("start", timeout, database, statement, f"{seconds:g}")

    def release(self, database: str, timeout: float) -> None:
        """Let that of a database, where there is one, do now what it waits to do, and end. Raises ClientError."""
        self._run("release", timeout, database)

    def end(self, database: str, timeout: float) -> None:
        """End that of a database, where there is one. Raises ClientError."""
        self._run("end", timeout, database)

    def _run(self, what: str, timeout: float, database: str = "", *words: str) -> None:
        mark = f"samaops-pool {self.settings.port}/{database}"
        info = pgbouncer.console_info(self.host, self.settings)
        password = self.settings.admin_password
        secret = (password.reveal() if password else "").encode() + b"\n"
        watchdog.ask(self.shell, _PROGRAM, Asked(what, mark, (info, *words), secret), timeout)
