"""Commands that a person can type to look closer, with the real names and addresses of the settings."""

from __future__ import annotations

import re
import shlex

from samaops.config.settings import Ssh
from samaops.site import chosen
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

# The site name in the configuration that the lab writes for itself.
LAB_SITE = "samaconso-lab"
_ACTS_IN_DOUBLE_QUOTES = re.compile(r'["$`\\!]')
_ORDINARY_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_ESCAPED_WORD = re.compile(r"\$'[^']*'")  # as shell_words writes what no screen shows as it is
SUPERUSER = "postgres"


def samaops(site: Site, words: str) -> str:
    """Return a command of samaops itself, for the site these settings are of, as facts, findings and causes keep it.

    Wherever it is shown, ``chosen.py`` gives it the other options (``--config``, ``--site``, ``--lang``).
    """
    return f"samaops --lab {words}" if site.settings.site == LAB_SITE else f"samaops {words}"


def typed(site: Site, words: str) -> str:
    """Return it as whoever runs this samaops types it, with the options that chose this configuration and language."""
    return chosen.same(samaops(site, words))


def on_server(site: Site, server: str | None, command: str) -> str:
    """Return the command line that runs ``command`` on a server, from here."""
    command = site.as_running(server, command)
    configured = site.settings.servers.get(server or "")
    if configured is None:
        # An address, or a saved look of another site: none that could be called by its name.
        return f"ssh {operands(server)} {quoted(command)}" if server else command
    if configured.ssh == "local":
        return command
    if configured.ssh == "none":
        return f"ssh {operands(configured.address)} {quoted(command)}"
    return f"{log_in(site, server)} -- {_after_dashes(command)}"


def log_in(site: Site, server: str | None) -> str:
    """Return the command that logs in to a server."""
    configured = site.settings.servers.get(server or "")
    if configured is None or not isinstance(configured.ssh, Ssh):
        return f"ssh {operands(configured.address if configured else str(server))}"
    return samaops(site, f"ssh {quoted(str(server))}")


def _after_dashes(command: str) -> str:
    """Return a command as arguments: itself where it is a program and its arguments, else as one line for a shell."""
    plain = _ESCAPED_WORD.sub("x", command)
    try:
        words = shlex.split(plain)
    except ValueError:
        words = []
    return command if words and shlex.join(words) == plain else _quoted(command)


def direct(site: Site, *statements: str) -> str:
    """Return the command that runs statements on PostgreSQL itself, in one session."""
    typed = " ".join(f"-c {_quoted(statement)}" for statement in statements)
    return samaops(site, f"db psql -- {typed}")


def as_superuser(site: Site, statement: str, database: str | None = None, before: str = "") -> str:
    """Return the command that runs what our own user, who only looks, is not allowed to: cancel, terminate, drop.

    In the configured database when none is named, after the statement ``before`` in the same session. With the superuser's password where it is configured; else as that
    user on the database's server, who needs none there.
    """
    pool, section = site.settings.pgbouncer, site.settings.postgresql
    where = f" -d {quoted(database)}" if database else ""
    statements = [words for words in (before, statement) if words]
    server = site.settings.servers.get(section.server) if section else None
    has_password = pool is not None and pool.admin_user == SUPERUSER and pool.admin_password is not None
    if has_password or section is None or server is None:
        typed = " ".join(f"-c {_quoted(words)}" for words in statements)
        return samaops(site, f"db psql -- -U {SUPERUSER}{where} {typed}")
    port = f" -p {section.port}" if section.port != 5432 else ""
    typed = " ".join(f"-c {quoted(words)}" for words in statements)
    command = f"psql{port} -d {quoted(database or section.database)} {typed}"
    is_he = isinstance(server.ssh, Ssh) and server.ssh.user == SUPERUSER
    return on_server(site, section.server, command if is_he else f"sudo -u {SUPERUSER} {command}")


def console(site: Site, command: str) -> str:
    """Return the command that runs one on PgBouncer's admin console."""
    return samaops(site, f"db psql --pool -- -c {_quoted(command)}")


def _quoted(text: str) -> str:
    """Quote for the shell, in double quotes, which read better around SQL, where nothing in it acts in them."""
    acts = not text.isprintable() or _ACTS_IN_DOUBLE_QUOTES.search(text)
    return quoted(text) if acts else f'"{text}"'


def sql_name(name: str) -> str:
    """Return a name for an SQL statement, quoted unless it is an ordinary one."""
    return name if _ORDINARY_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def whole_number(value: object, otherwise: str) -> str:
    """Return a number for a command, or a word to be replaced where a saved look has something else there."""
    return str(value) if isinstance(value, int) else otherwise


def redis_cli(site: Site, words: str) -> str:
    """Return the command that asks the configured Redis.

    ``words`` are for the shell: what comes from outside must be quoted in them.
    """
    return samaops(site, f"redis cli -- {words}")


def in_broker(site: Site, command: str, *, of_vhost: bool = False) -> str:
    """Return the command line that runs one of RabbitMQ's tools where it is, on our virtual host where asked for."""
    rabbitmq = site.settings.rabbitmq
    if rabbitmq is None:
        return command
    if of_vhost and rabbitmq.vhost != "/":
        program, _space, words = command.partition(" ")
        command = f"{program} -p {quoted(rabbitmq.vhost)} {words}"
    inside = f"docker exec {operands(rabbitmq.container)} {command}" if rabbitmq.container else command
    return on_server(site, rabbitmq.server, inside)
