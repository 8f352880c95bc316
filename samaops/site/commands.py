"""Commands that a person can type to look closer, with the real names and addresses of the settings."""

from __future__ import annotations

import re
import shlex
from urllib.parse import urlsplit

from samaops.config import places
from samaops.config.settings import Ssh
from samaops.site.site import Site

# The site name in the configuration that the lab writes for itself.
LAB_SITE = "samaconso-lab"
_ACTS_IN_DOUBLE_QUOTES = re.compile(r'["$`\\!]')
_ORDINARY_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def samaops(site: Site, words: str) -> str:
    """Return a command of samaops itself, for the site these settings are of."""
    return f"samaops --lab {words}" if site.settings.site == LAB_SITE else f"samaops {words}"


def on_server(site: Site, server: str | None, command: str) -> str:
    """Return the command line that runs ``command`` on a server, over SSH when it is another machine."""
    configured = site.settings.servers.get(server or "")
    command = site.as_running(server, command)
    if configured is not None and configured.ssh == "local":
        return command
    return f"{log_in(site, server)} {shlex.quote(command)}"


def log_in(site: Site, server: str | None) -> str:
    """Return the ssh command line of a server."""
    configured = site.settings.servers.get(server or "")
    if configured is None:
        return f"ssh {server}"
    if not isinstance(configured.ssh, Ssh):
        return f"ssh {configured.address}"
    ssh = configured.ssh
    words = ["ssh"]
    if ssh.port != 22:
        words += ["-p", str(ssh.port)]
    if ssh.key_file:
        words += ["-i", str(ssh.key_file)]
    if ssh.known_hosts != places.ssh() / "known_hosts":
        words += ["-o", f"UserKnownHostsFile={ssh.known_hosts}"]
    return shlex.join([*words, f"{ssh.user}@{configured.address}"])


# For explanations, which know no configuration.
PSQL = 'psql -h <serveur db> -p 5432 -U samaops -d samaconso -c "{}"'
CONSOLE = 'psql -h <serveur db> -p 6432 -U postgres -d pgbouncer -c "{}"'


def direct(site: Site, statement: str) -> str:
    """Return the command that runs a statement on PostgreSQL itself."""
    section = site.settings.postgresql
    if section is None:
        return PSQL.format(statement)
    return _psql(site.host_of(section), section.port, section.user, section.database, statement)


def as_superuser(site: Site, statement: str, database: str | None = None) -> str:
    """Return the command that runs what our own user, who only looks, is not allowed to: cancel, terminate, drop.

    In the configured database when none is named.
    """
    section = site.settings.postgresql
    if section is None:
        return PSQL.replace("-U samaops", "-U postgres").format(statement)
    return _psql(site.host_of(section), section.port, "postgres", database or section.database, statement)


def console(site: Site, command: str) -> str:
    """Return the command that runs one on PgBouncer's admin console."""
    section = site.settings.pgbouncer
    if section is None:
        return CONSOLE.format(command)
    return _psql(site.host_of(section), section.port, section.admin_user, "pgbouncer", command)


def _psql(host: str, port: int, user: str, database: str, statement: str) -> str:
    words = ("psql", "-h", host, "-p", str(port), "-U", user, "-d", database, "-c")
    return f"{shlex.join(words)} {_quoted(statement)}"


def _quoted(statement: str) -> str:
    """Quote for the shell, in double quotes, which read better around SQL, where nothing in it acts in them."""
    return shlex.quote(statement) if _ACTS_IN_DOUBLE_QUOTES.search(statement) else f'"{statement}"'


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
    """Return the command that asks the configured Redis. The password is left to REDISCLI_AUTH.

    ``words`` are for the shell: what comes from outside must be quoted in them.
    """
    redis = site.settings.redis
    if redis is None:
        return f"redis-cli {words}"
    user = f" --user {shlex.quote(redis.username)}" if redis.username else ""
    return f"redis-cli -h {site.host_of(redis)} -p {redis.port} -n {redis.database}{user} {words}"


def in_broker(site: Site, command: str, *, of_vhost: bool = False) -> str:
    """Return the command line that runs one of RabbitMQ's tools where it is, on our virtual host where asked for."""
    rabbitmq = site.settings.rabbitmq
    if rabbitmq is None:
        return command
    if of_vhost and rabbitmq.vhost != "/":
        command += f" -p {shlex.quote(rabbitmq.vhost)}"
    inside = f"docker exec {shlex.quote(rabbitmq.container)} {command}" if rabbitmq.container else command
    return on_server(site, rabbitmq.server, inside)


# Whose address stands for one of the guide's servers in an explanation.
_ON_SERVER = {
    "db": ("postgresql", "pgbouncer", "minio", "backup"),
    "api": ("rabbitmq",),
    "workers": ("redis", "flower"),
}


def filled_in(site: Site, command: str) -> str:
    """Return a command of an explanation with the configured addresses in the place of the guide's names."""
    for template, section, of_section in (
        (PSQL, site.settings.postgresql, direct),
        (CONSOLE, site.settings.pgbouncer, console),
    ):
        if section is not None:
            command = command.replace(template.partition('"')[0], of_section(site, "").removesuffix('""'))
    if site.settings.redis is not None:
        command = command.replace("redis-cli -h workers", redis_cli(site, "").rstrip())
    for name, sections in _ON_SERVER.items():
        servers = [site.section(system).server for system in sections if site.section(system) is not None]
        configured = [server for server in servers if server in site.settings.servers]
        for server in configured[:1]:
            command = command.replace(f"ssh <serveur {name}>", log_in(site, server))
            command = command.replace(f"<serveur {name}>", site.settings.servers[server].address)
    for name, url in (
        ("proxy", site.settings.proxy and site.settings.proxy.url),
        ("vip", site.settings.loadbalancer and site.settings.loadbalancer.url),
    ):
        place = urlsplit(url or "")
        if place.hostname:
            command = command.replace(f"<{name}>:8080", place.netloc)
            command = command.replace(f"<{name}> 8080", f"{place.hostname} {place.port or 80}")
            command = command.replace(f"<{name}>", place.netloc)
    return command
