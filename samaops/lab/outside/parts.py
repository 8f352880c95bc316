"""Everything outside, ready to be started: files are prepared, processes are described."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from msgspec import Struct

from samaops.lab.outside import balancer, certificates, google_control, intercept, proxy, service_accounts
from samaops.lab.outside import sqlserver as sql
from samaops.lab.outside.places import (
    GOOGLE_HOSTS,
    OAUTH_HOST,
    Places,
    python_environment,
    python_program,
)
from samaops.lab.probes import accepts, answers_sql, greets, speaks_tls
from samaops.lab.processes import ProcessSpec

SERVER = "outside"
GOOGLE_AUTHORITY = "Lab Google Trust Services"


class Prepared(Struct, frozen=True):
    """The processes that can be started, and what is missing on this machine, in words."""

    specs: list[ProcessSpec]
    missing: list[str]


def prepare(places: Places) -> Prepared:
    """Prepare every file, again and again with the same result, and describe the processes."""
    prepare_files(places)
    processes = [balancer_spec(places), balancer_control_spec(places), names_spec(places)]
    processes += [proxy_spec(places), google_spec(places), smtp_spec(places)]
    prepared, missing = _prepare_sqlserver(places)
    return Prepared([*processes, *prepared], missing)


def prepare_files(places: Places) -> None:
    """Prepare what needs no program of the machine; everything is switched back to "fine"."""
    places.directory.mkdir(parents=True, exist_ok=True)
    places.directory.chmod(0o755)
    prepare_certificates(places)
    service_accounts.prepare(places)
    google_control.write(places.google / "control.json", google_control.Control())
    proxy.write_rules(places, proxy.Rules())
    proxy.write_names(places)
    balancer.write_configuration(places)


def prepare_certificates(places: Places) -> None:
    """Make both authorities, the certificates of Google's names, and the bundle the application trusts."""
    places.tls.mkdir(parents=True, exist_ok=True)
    certificate = places.tls / "google-ca.pem"
    signer = certificates.authority(
        certificate, places.tls / "google-ca.key", GOOGLE_AUTHORITY, f"{GOOGLE_AUTHORITY} CA"
    )
    for host in GOOGLE_HOSTS:
        certificates.server_certificate(places.google, host, signer)
    intercept.proxy_authority(places.tls)
    places.ca_bundle.write_bytes(certificate.read_bytes())


def balancer_spec(places: Places) -> ProcessSpec:
    """Describe the load balancer."""
    configuration = balancer.configuration_file(places)
    return _spec(
        places,
        "loadbalancer",
        places.ports.balancer,
        ("nginx", "-p", str(configuration.parent), "-c", str(configuration), "-e", "stderr"),
        partial(greets, places.address, places.ports.balancer, b"HTTP/", b"OPTIONS * HTTP/1.0\r\n\r\n"),
    )


def balancer_control_spec(places: Places) -> ProcessSpec:
    """Describe where the load balancer is controlled."""
    port, directory = places.ports.balancer_control, balancer.directory_of(places)
    members = [f"{name}={address}" for name, address in places.members.items()]
    return _spec(
        places,
        "balancer_control",
        port,
        python_program("balancer_control", str(directory), places.address, str(port), *members),
        partial(accepts, places.address, port),
    )


def names_spec(places: Places) -> ProcessSpec:
    """Describe the forwarder that knows where Google's names are."""
    return _spec(
        places,
        "names",
        places.ports.names,
        python_program("names", str(places.names_file), places.address, str(places.ports.names)),
        partial(accepts, places.address, places.ports.names),
    )


def proxy_spec(places: Places) -> ProcessSpec:
    """Describe the Senelec proxy."""
    return _spec(
        places,
        "proxy",
        places.ports.proxy,
        ("tinyproxy", "-d", "-c", str(proxy.configuration_file(places))),
        partial(accepts, places.address, places.ports.proxy),
    )


def intercepting_spec(places: Places) -> ProcessSpec:
    """Describe the proxy that intercepts TLS, which an incident starts in the place of ``proxy``."""
    return _spec(
        places,
        "intercepting_proxy",
        places.ports.proxy,
        python_program("intercept", str(places.directory), places.address, str(places.ports.proxy)),
        partial(accepts, places.address, places.ports.proxy),
    )


def google_spec(places: Places) -> ProcessSpec:
    """Describe the stand-in for Google's OAuth and FCM."""
    port = places.ports.google
    return _spec(
        places,
        "google",
        port,
        python_program("google", str(places.google), places.address, str(port)),
        partial(speaks_tls, places.address, port, OAUTH_HOST, places.ca_bundle),
    )


def smtp_spec(places: Places) -> ProcessSpec:
    """Describe the mail sink, which keeps every mail as a file of a maildir."""
    listen = f"{places.address}:{places.ports.smtp}"
    handler = ("-c", "aiosmtpd.handlers.Mailbox", str(places.mail))
    python = python_program("")[0]
    return _spec(
        places,
        "smtp",
        places.ports.smtp,
        (python, "-m", "aiosmtpd", "-n", "-l", listen, *handler),
        partial(greets, places.address, places.ports.smtp, b"220 "),
    )


def sqlserver_spec(places: Places, database: str) -> ProcessSpec:
    """Describe one of the two stand-ins for SQL Server."""
    port = places.ports.sqlserver[database]
    return _spec(
        places,
        f"sqlserver_{database}",
        port,
        sql.argv(places, database),
        partial(answers_sql, places.address, port, database, sql.READER, places.secrets.sqlserver_password),
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
    )


def _prepare_sqlserver(places: Places) -> tuple[list[ProcessSpec], list[str]]:
    missing = []
    try:
        sql.write_odbc_configuration(places)
    except sql.MissingProgramError as error:
        missing.append(str(error))
    sql.write_password_file(places)
    databases = list(places.ports.sqlserver)
    try:
        with ThreadPoolExecutor(len(databases)) as workers:
            list(workers.map(partial(sql.prepare, places), databases))
        return [sqlserver_spec(places, database) for database in databases], missing
    except (sql.MissingProgramError, OSError) as error:
        return [], [*missing, str(error)]


def _spec(
    places: Places,
    name: str,
    port: int,
    argv: tuple[str, ...],
    ready: Callable[[], bool],
    *,
    stop_signal: int = signal.SIGTERM,
) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        server=SERVER,
        address=places.address,
        port=port,
        argv=argv,
        ready=ready,
        environment=python_environment(),
        directory=Path("/"),
        stop_signal=stop_signal,
    )
