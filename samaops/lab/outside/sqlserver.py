"""SQL Server SIC and Postpaid, stood in for by two small PostgreSQL instances that are reached over psqlODBC.

PostgreSQL refuses to run as root, and a lab of root lives where the user postgres may not look. So root gives
up everything but the right to pass through directories (CAP_DAC_OVERRIDE: a container's root has it, and has
not CAP_DAC_READ_SEARCH) and becomes postgres.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from samaops.lab.outside.certificates import write_private
from samaops.lab.outside.places import Places

READER = "samaconso_reader"
POSTGRES_USER = "postgres"
ODBC_DRIVER = "PostgreSQL Unicode"
PREPARE_TIMEOUT_SECONDS = 60

TABLES = {
    "sic": """
CREATE TABLE clients (numero_contrat text PRIMARY KEY, nom text NOT NULL, agence text NOT NULL);
INSERT INTO clients SELECT 'C' || lpad(n::text, 8, '0'), 'Client ' || n, 'Agence ' || n % 12
FROM generate_series(1, 500) AS n;
""",
    "postpaid": """
CREATE TABLE factures (numero text PRIMARY KEY, numero_contrat text NOT NULL, montant_xof numeric NOT NULL);
INSERT INTO factures SELECT 'F' || lpad(n::text, 8, '0'), 'C' || lpad(n::text, 8, '0'), 5000 + n * 17 % 40000
FROM generate_series(1, 500) AS n;
""",
}


class MissingProgramError(Exception):
    """A program or a driver of the machine is not installed; ``str()`` names its package."""


def data_directory(places: Places, database: str) -> Path:
    """Return the data directory of one of the two instances."""
    return places.directory / "sqlserver" / database


def postgres_program(name: str) -> str:
    """Return the path of a program of the newest PostgreSQL of this machine.

    Raises:
        MissingProgramError: PostgreSQL is not installed.
    """
    installed = [path for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}") if path.exists()]
    newest = max(installed, key=lambda path: int(path.parts[4]), default=None)
    path = str(newest) if newest else shutil.which(name)
    if path is None:
        raise MissingProgramError(f"{name} (Debian package postgresql)")
    return path


def as_postgres(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that runs ``argv`` as a user PostgreSQL accepts."""
    if os.geteuid() != 0:
        return argv
    entry = pwd.getpwnam(POSTGRES_USER)
    become = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
    passage = ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")
    return ("setpriv", *become, *passage, "--", *argv)


def prepare(places: Places, database: str) -> None:
    """Make one instance with its database, reader and table, unless it is there already."""
    data = data_directory(places, database)
    if (data / "samaops-ready").exists():
        _write_configuration(places, database)
        return
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True, mode=0o700)
    _give_to_postgres(data)
    options = ("--auth=reject", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
    _run((postgres_program("initdb"), "-D", str(data), "-U", POSTGRES_USER, *options))
    _single(data, "postgres", f"CREATE DATABASE {database};\n{_reader(places)}")
    _single(data, database, f"{TABLES[database]}\nGRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER};")
    _write_configuration(places, database)
    (data / "samaops-ready").touch()


def _reader(places: Places) -> str:
    return f"CREATE ROLE {READER} LOGIN PASSWORD '{places.secrets.sqlserver_password}';"


def argv(places: Places, database: str) -> tuple[str, ...]:
    """Return the command that runs one instance in the foreground."""
    return as_postgres((postgres_program("postgres"), "-D", str(data_directory(places, database))))


def _write_configuration(places: Places, database: str) -> None:
    data = data_directory(places, database)
    settings = {
        "listen_addresses": f"'{places.address}'",
        "port": str(places.ports.sqlserver[database]),
        "unix_socket_directories": "''",
        "max_connections": "20",
        "shared_buffers": "8MB",
        "fsync": "off",
        "dynamic_shared_memory_type": "mmap",
        "max_wal_size": "64MB",
        "min_wal_size": "32MB",
        "max_worker_processes": "2",
        "autovacuum_max_workers": "1",
        "log_connections": "on",
    }
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (data / "postgresql.auto.conf").write_text(lines, encoding="ascii")
    (data / "pg_hba.conf").write_text(
        f"host {database} {READER} 127.0.0.0/8 scram-sha-256\n", encoding="ascii"
    )
    for name in ("postgresql.auto.conf", "pg_hba.conf"):
        _give_to_postgres(data / name)


def _single(data: Path, database: str, statements: str) -> None:
    """Run SQL without a server; one statement a line is what single-user mode wants, unless -j is given."""
    separated = statements.strip().replace(";\n", ";\n\n") + "\n\n"
    program = (postgres_program("postgres"), "--single", "-j", "-F", "-D", str(data))
    _run((*program, "-c", "exit_on_error=true", database), separated)


def _run(argv: tuple[str, ...], given: str = "") -> None:
    done = subprocess.run(
        as_postgres(argv),
        input=given,
        capture_output=True,
        text=True,
        timeout=PREPARE_TIMEOUT_SECONDS,
        check=False,
        cwd="/",
    )
    if done.returncode != 0 or "ERROR:" in done.stderr:
        raise OSError(f"{Path(argv[0]).name} failed: {done.stderr.strip()[-500:]}")


def _give_to_postgres(path: Path) -> None:
    if os.geteuid() == 0:
        entry = pwd.getpwnam(POSTGRES_USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def odbc_directory(places: Places) -> Path:
    """Return the directory for ODBCSYSINI: it holds odbcinst.ini with the driver."""
    return places.directory / "odbc"


def write_odbc_configuration(places: Places) -> None:
    """Register psqlODBC under its usual name, for whoever sets ODBCSYSINI.

    Raises:
        MissingProgramError: the driver is not installed.
    """
    library = next(iter(sorted(Path("/usr/lib").glob("*/odbc/psqlodbcw.so"))), None)
    if library is None:
        raise MissingProgramError("psqlodbcw.so (Debian package odbc-postgresql)")
    odbc_directory(places).mkdir(parents=True, exist_ok=True)
    description = "Description = psqlODBC, in the place of ODBC Driver 18 for SQL Server"
    text = f"[{ODBC_DRIVER}]\n{description}\nDriver = {library}\n"
    (odbc_directory(places) / "odbcinst.ini").write_text(text, encoding="utf-8")


def write_password_file(places: Places) -> Path:
    """Keep the reader's password in a file of its own, for a configuration that refers to it."""
    path = places.directory / "sqlserver" / "reader.password"
    write_private(path, places.secrets.sqlserver_password.encode("ascii"))
    return path
