"""What is observed of each external SQL Server: the rungs from the driver to the query, each timed."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.clients import odbc_errors
from samaops.clients import sqlserver as client
from samaops.clients.errors import ClientError
from samaops.clients.sqlserver import Odbc, OdbcError
from samaops.collect.engine import Probe
from samaops.collect.latency import least_ms
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import SqlServer
from samaops.facts.sqlserver import SqlServerFacts
from samaops.model.failure import FailureKind
from samaops.site.site import Site

QUICK_MS = 100.0  # the guide's good response time of a database

# What the server says of us and not of itself: told by its own rule, not as an outage.
OUR_FAULTS = frozenset({FailureKind.AUTHENTICATION, FailureKind.PERMISSION})


def databases(site: Site) -> Iterator[Target]:
    """Yield the configured databases."""
    for database in site.settings.sqlserver:
        yield Target(database.name, database, None, database.timeout + SPARE_SECONDS)


@collects("sqlserver", SqlServerFacts, targets=databases)
def look(database: SqlServer, _site: Site, probe: Probe) -> SqlServerFacts:
    """Climb the rungs to one database."""
    return observe(database, probe)


def observe(settings: SqlServer, probe: Probe) -> SqlServerFacts:
    """Climb the rungs; a missing driver is told after name and port were tried.

    Raises ClientError when the server does not serve, at the stage of the broken rung.
    """
    probe.stage("port")
    name_ms, port_ms = client.reach(settings)
    climb = _Climb(settings, probe)
    climb.run()
    return SqlServerFacts(
        name=settings.name,
        address=f"{settings.host}:{settings.port}",
        driver=settings.driver,
        installed_drivers=climb.installed,
        name_ms=name_ms,
        port_ms=port_ms,
        login_ms=climb.login_ms,
        query_ms=climb.query_ms,
        broken_rung=climb.broken_rung,
        failure_kind=climb.failure_kind,
        words=climb.words,
        database=settings.database,
        error_number=climb.error_number,
    )


class _Climb:
    """The upper rungs of one server, and which of them broke."""

    def __init__(self, settings: SqlServer, probe: Probe) -> None:
        self._settings = settings
        self._probe = probe
        self.installed: tuple[str, ...] = ()
        self.login_ms: float | None = None
        self.query_ms: float | None = None
        self.broken_rung = self.failure_kind = self.words = ""
        self.error_number: int | None = None

    def run(self) -> None:
        """Climb as far as it goes. Raises ClientError when that says the server does not serve."""
        try:
            self._probe.stage("driver")
            odbc = client.Odbc(self._settings)
            try:
                self._use(odbc)
            finally:
                odbc.close()
        except ClientError as error:
            if error.stage == odbc_errors.LOGIN and error.kind not in OUR_FAULTS:
                raise
            self.broken_rung, self.failure_kind, self.words = error.stage, error.kind.value, error.message
            self.error_number = error.number if isinstance(error, OdbcError) else None

    def _use(self, odbc: Odbc) -> None:
        self.installed = odbc.drivers(self._seconds())
        if not client.has_driver(self._settings.driver, self.installed):
            raise ClientError(FailureKind.MISSING, self._settings.driver, "driver")
        self._probe.stage("login")
        self.login_ms = odbc.log_in(self._seconds())
        self._probe.stage("query")

        def query_ms() -> float:
            return odbc.query(self._settings.query, seconds)

        seconds = self._seconds()
        self.query_ms = least_ms(query_ms, QUICK_MS, self._probe)

    def _seconds(self) -> float:
        return self._probe.remaining() - 0.5
