"""The programs of the systems themselves, for people: ssh, psql and redis-cli, with what the configuration says.

A secret never stands among a program's words, which every user of the machine can list: it is in the environment of
that process, or in a file that has no name.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from samaops.clients import libpq
from samaops.clients.errors import ClientError
from samaops.config import consistency
from samaops.config.secrets import Secret
from samaops.config.settings import PgBouncer, PostgreSQL, Redis, Server, Settings, Ssh, Tls
from samaops.errors import UnavailableError, UsageError, reason_of
from samaops.i18n import _

# As the log-in of a look: no ssh_config is read, and a connection on which nothing comes any more ends.
_ALWAYS = (
    *("-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none"),
    *("-o", "PreferredAuthentications=publickey", "-o", "ServerAliveInterval=10"),
)
# Of libpq's variables those that do not say where to connect, as whom, or with what.
_KEPT_OF_LIBPQ = ("PGCLIENTENCODING", "PGDATESTYLE", "PGPASSFILE", "PGSYSCONFDIR", "PGTZ")


# Of redis-cli's options those that say where to connect.
_ELSEWHERE = ("-h", "-p", "-s", "-u", "--cluster")


class Program(Struct, frozen=True):
    """A program to become: its words, and what its environment has in place of ours."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    # Who has the program, where it is missing.
    package: str


def become(program: Program) -> NoReturn:
    """Replace this process: what the program reads, writes and ends with is its own. Raises UnavailableError."""
    name = program.words[0]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ignored_by_python = (signal.SIGPIPE, signal.SIGXFSZ)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ignored_by_python}
    try:
        os.execvpe(name, program.words, dict(program.environment))  # noqa: S606 - nothing of it is for a shell
    except OSError as error:
        for number, handler in before.items():
            signal.signal(number, handler)
        text = _("{program} cannot be run here: {reason}").format(program=name, reason=reason_of(error))
        raise UnavailableError(text, hint=f"apt install {program.package}") from error


def shell_of(settings: Settings, name: str, command: Sequence[str]) -> Program:
    """Return the log-in on a server, or a command there: a line for its shell, or a program with its arguments."""
    server = _server(settings, name)
    line = command[0] if len(command) == 1 else shlex.join(command)
    if server.ssh == "local":
        shell = os.environ.get("SHELL") or "/bin/sh"
        return Program(("sh", "-c", line) if command else (shell,), os.environ, "dash")
    assert isinstance(server.ssh, Ssh)
    options = [*_options(server.ssh)]
    if command and sys.stdin.isatty() and sys.stdout.isatty():
        # What it runs is ended with us; nobody hears that we have left.
        options += ["-t", "-o", "LogLevel=ERROR"]
    return Program(
        ("ssh", *options, "--", server.address, *([line] if command else ())), os.environ, "openssh-client"
    )


def _server(settings: Settings, name: str) -> Server:
    server = settings.servers.get(name)
    if server is None:
        raise UsageError(consistency.not_a_server(name, settings), hint="samaops config show")
    if server.ssh == "none":
        text = _('[servers.{name}] ssh = "none": samaops does not log in there').format(name=name)
        raise UsageError(text, hint="samaops config show")
    return server


def _options(ssh: Ssh) -> Iterator[str]:
    yield from _ALWAYS
    yield from ("-o", f"UserKnownHostsFile={_as_file(ssh.known_hosts)}")
    yield from ("-o", f"ConnectTimeout={max(1, round(ssh.timeout))}")
    if ssh.key_file:
        yield from ("-o", "IdentitiesOnly=yes", "-o", f"IdentityFile={_as_file(ssh.key_file)}")
    yield from ("-l", ssh.user, "-p", str(ssh.port))


def _as_file(path: Path) -> str:
    """Return a path as ssh reads it among its options: in quotes, where a per cent sign begins no token."""
    return '"' + str(path.expanduser()).replace("%", "%%") + '"'


def psql(settings: Settings, words: Sequence[str], *, of_pool: bool) -> Program:
    """Return psql on the database, as our own user, or on PgBouncer's console. It never asks for a password."""
    database, pool = settings.postgresql, settings.pgbouncer
    section: PostgreSQL | PgBouncer | None = pool if of_pool else database
    if section is None:
        text = _("{section} is not configured").format(section="[pgbouncer]" if of_pool else "[postgresql]")
        raise UsageError(text, hint="samaops config show")
    sslmode = section.sslmode if isinstance(section, PostgreSQL) else "prefer"
    try:
        protected = libpq.security(settings.host_of(section), section.tls, sslmode)
        # psql may have another libpq than we have; one before 16 does not know the variable, and takes no notice.
        accepted = libpq.accepted_logins(
            settings.host_of(section),
            section.tls,
            sslmode,
            has_password=False,
            takes_clear_text=section.clear_text_password,
        )
    except ClientError as error:
        raise UnavailableError(error.message) from error
    host = str(protected["host"])
    logins: list[tuple[str, Secret | None]] = []
    if pool is not None:
        logins = [(pool.admin_user, pool.admin_password), (pool.user, pool.password)]
    if database is not None:
        logins.insert(len(logins) if of_pool else 0, (database.user, database.password))
    place = {
        "PGPORT": str(section.port),
        "PGUSER": section.admin_user if isinstance(section, PgBouncer) else section.user,
        "PGDATABASE": "pgbouncer" if isinstance(section, PgBouncer) else section.database,
        **{f"PG{name.upper()}": str(value) for name, value in protected.items()},
        **{f"PG{name.replace('_', '').upper()}": value for name, value in accepted.items()},
        "PGGSSENCMODE": "disable",
        "PERL_BADLANG": "0",  # Debian's psql begins in Perl, which complains of a locale that is not installed
        "PGCONNECT_TIMEOUT": str(max(2, round(section.timeout))),  # libpq takes 2 s for less
    }
    inherited = {
        name: value for name, value in os.environ.items() if name[:2] != "PG" or name in _KEPT_OF_LIBPQ
    }
    lines = [
        ":".join(_field(field) for field in (host, str(section.port), "*", user, password.reveal()))
        for user, password in logins
        if password is not None
    ]
    passwords = {"PGPASSFILE": _nameless_file("\n".join(lines))} if lines else {}
    return Program(("psql", "-w", *words), {**inherited, **place, **passwords}, "postgresql-client")


def _field(text: str) -> str:
    """Return a field of a password file, where a colon ends one; "*" is any."""
    return text if text == "*" else text.replace("\\", "\\\\").replace(":", "\\:")


def _nameless_file(text: str) -> str:
    """Return the path of a file that is this process's, and the program's that it becomes, and ends with it."""
    number = os.memfd_create("samaops", 0)
    os.fchmod(number, 0o600)
    os.write(number, f"{text}\n".encode())
    return f"/proc/self/fd/{number}"


def redis_cli(settings: Settings, words: Sequence[str]) -> Program:
    """Return redis-cli on the configured Redis."""
    redis: Redis | None = settings.redis
    if redis is None:
        raise UsageError(
            _("{section} is not configured").format(section="[redis]"), hint="samaops config show"
        )
    elsewhere = next((word for word in _options_of_redis_cli(words) if word in _ELSEWHERE), None)
    if elsewhere is not None:
        text = _("{option} leads to another Redis, which would be given the configured password")
        raise UsageError(text.format(option=elsewhere), hint=f"redis-cli {shlex.join(words)}")
    place = ("-h", settings.host_of(redis), "-p", str(redis.port), "-n", str(redis.database))
    user = ("--user", redis.username) if redis.username else ()
    inherited = {name: value for name, value in os.environ.items() if name != "REDISCLI_AUTH"}
    password = {"REDISCLI_AUTH": redis.password.reveal()} if redis.password else {}
    protected = _redis_tls(redis.tls) if redis.tls is not None else ()
    return Program(("redis-cli", *protected, *place, *user, *words), {**inherited, **password}, "redis-tools")


def _options_of_redis_cli(words: Sequence[str]) -> Iterator[str]:
    """Yield what stands before redis-cli's command; a word after an option may be its value."""
    is_value = False
    for word in words:
        if not word.startswith("-") and not is_value:
            return
        is_value = word.startswith("-")
        yield word


def _redis_tls(tls: Tls) -> Iterator[str]:
    yield "--tls"
    if not tls.verify:
        yield "--insecure"
    for option, value in (
        ("--sni", tls.server_name),
        ("--cacert", tls.ca_file),
        ("--cert", tls.certificate_file),
        ("--key", tls.key_file),
    ):
        if value is not None:
            yield from (option, str(value))
