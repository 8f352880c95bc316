"""What the errors of ODBC drivers mean, in the words in which msodbcsql, FreeTDS, unixODBC and psqlODBC tell them."""

from __future__ import annotations

import pytest

from samaops.clients.odbc_errors import DATABASE, DRIVER, LOGIN, by_weight
from samaops.clients.sqlserver import error_of
from samaops.config.settings import SqlServer
from samaops.model.failure import FailureKind

MS = "[Microsoft][ODBC Driver 18 for SQL Server]"
FAILED = f"[28000] {MS}[SQL Server]Login failed for user 'x'. (18456) (SQLDriverConnect)"
NO_DATABASE = (
    f'[42000] {MS}[SQL Server]Cannot open database "SIC" requested by the login. The login failed. (4060)'
)
TIMEOUT = f"[HYT00] {MS}Login timeout expired (0)"
NETWORK = (
    f"[08001] {MS}A network-related or instance-specific error has occurred while establishing a connection"
)


def server(state: str, words: str, number: int) -> str:
    return f"[{state}] {MS}[SQL Server]{words} ({number}) (SQLDriverConnect)"


def of_login(words: str, number: int) -> str:
    return server("28000", f"Login failed for user 'x'. {words}".strip(), number)


Kind = FailureKind
SAID: list[tuple[str, FailureKind, str, int | None]] = [
    # the log-in
    (FAILED, Kind.AUTHENTICATION, LOGIN, 18456),
    (of_login("Reason: The account is disabled.", 18470), Kind.AUTHENTICATION, LOGIN, 18470),
    (f"{FAILED}; {of_login('the account is currently locked out.', 18486)}", Kind.AUTHENTICATION, LOGIN, 18486),
    (of_login("Reason: The password of the account has expired.", 18487), Kind.AUTHENTICATION, LOGIN, 18487),
    (of_login("Reason: The password of the account must be changed.", 18488), Kind.AUTHENTICATION, LOGIN, 18488),
    (of_login("The login is from an untrusted domain.", 18452), Kind.AUTHENTICATION, LOGIN, 18452),
    (of_login("State 18", 18456), Kind.AUTHENTICATION, LOGIN, 18488),
    (server("42000", "Logon failed for login 'x' due to trigger execution.", 17892), Kind.AUTHENTICATION, LOGIN, 17892),
    (server("42000", "Cannot open server 's' requested by the login. Client with IP address '1.2.3.4' is not allowed", 40615),
     Kind.PERMISSION, LOGIN, 40615),
    (server("08004", 'The server principal "x" is not able to access the database "SIC"', 916), Kind.PERMISSION, LOGIN, 916),
    (server("42000", "The SELECT permission was denied on the object 't'", 229), Kind.PERMISSION, LOGIN, 229),
    # the database
    (NO_DATABASE, Kind.MISSING, DATABASE, 4060),
    (f"{FAILED}; {NO_DATABASE}", Kind.MISSING, DATABASE, 4060),
    (f"{NO_DATABASE}; {FAILED}", Kind.MISSING, DATABASE, 4060),
    (f"{FAILED}; {NO_DATABASE}; {server('08004', 'Database SIC cannot be opened because it is offline.', 942)}",
     Kind.UNAVAILABLE, DATABASE, 942),
    (server("42000", "Database 'SIC' cannot be opened. It is in the middle of a restore.", 927), Kind.UNAVAILABLE, DATABASE, 927),
    (server("42000", "Database 'SIC' is already open and can only have one user at a time.", 924), Kind.UNAVAILABLE, DATABASE, 924),
    (server("42000", "Database 'SIC' cannot be opened due to inaccessible files", 945), Kind.UNAVAILABLE, DATABASE, 945),
    (server("42000", "Unable to access availability database 'SIC'", 983), Kind.UNAVAILABLE, DATABASE, 983),
    (server("HY000", "Database 'SIC' on server 's' is not currently available.", 40613), Kind.UNAVAILABLE, DATABASE, 40613),
    (of_login("Cannot open user default database. Login failed.", 4064), Kind.MISSING, DATABASE, 4064),
    (of_login("Reason: Failed to open the explicitly specified database 'SIC'.", 18456), Kind.MISSING, DATABASE, 4060),
    (of_login("Error: 18456, Severity: 14, State: 38.", 18456), Kind.MISSING, DATABASE, 4060),
    ('[3D000] FATAL:  database "absent" does not exist (210)', Kind.MISSING, DATABASE, None),
    ('[08001] FATAL:  database "absent" does not exist (101) (SQLDriverConnect)', Kind.MISSING, DATABASE, None),
    # the server
    (server("42000", "SQL Server service has been paused. No new connections will be allowed.", 17142),
     Kind.UNAVAILABLE, LOGIN, 17142),
    (of_login("Reason: SQL Server service is paused. No new connections can be accepted at this time.", 18456),
     Kind.UNAVAILABLE, LOGIN, 17142),
    (server("08004", "SQL Server is not ready to accept new client connections.", 17187), Kind.UNAVAILABLE, LOGIN, 17187),
    (of_login("Reason: Server is in single user mode.", 18461), Kind.UNAVAILABLE, LOGIN, 18461),
    (of_login("Only administrators may connect at this time.", 18451), Kind.UNAVAILABLE, LOGIN, 18451),
    (server("08004", "the maximum number of '32' user connections has already been reached", 17809),
     Kind.UNAVAILABLE, LOGIN, 17809),
    (server("08S01", "The service is currently busy.", 40501), Kind.UNAVAILABLE, LOGIN, 40501),
    # TLS
    (f"[08001] {MS}SSL Provider: [error:0A000102:SSL routines::unsupported protocol] (-1)", Kind.TLS, LOGIN, None),
    (f"[08001] {MS}SSL Provider: The certificate chain was issued by an authority that is not trusted. (-2146893019)"
     f"; [08001] {MS}Client unable to establish connection (-2146893019)", Kind.TLS, LOGIN, None),
    (f"[08001] {MS}SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate] (-1)"
     f"; [08001] {MS}Client unable to establish connection (-1)", Kind.TLS, LOGIN, None),
    (server("08001", "Encryption is required to connect to this server", 17835), Kind.TLS, LOGIN, 17835),
    # the network
    (f"{TIMEOUT} (SQLDriverConnect)", Kind.NO_ANSWER, LOGIN, None),
    (f"[08001] {MS}TCP Provider: Error code 0x274D (10061) (SQLDriverConnect); {TIMEOUT}; {NETWORK} (10061)",
     Kind.REFUSED, LOGIN, None),
    (f"[08001] {MS}TCP Provider: Error code 0x6F (111); {TIMEOUT}; {NETWORK} (111)", Kind.REFUSED, LOGIN, None),
    (f"[08001] {MS}TCP Provider: Error code 0x274C (10060); {TIMEOUT}", Kind.SILENT, LOGIN, None),
    (f"[08001] {MS}TCP Provider: Error code 0x2746 (10054)", Kind.CLOSED, LOGIN, None),
    (f"[08S01] {MS}TCP Provider: Error code 0x68 (104)", Kind.CLOSED, LOGIN, None),
    (f"[08001] {MS}TCP Provider: An existing connection was forcibly closed by the remote host. (10054)",
     Kind.CLOSED, LOGIN, None),
    (f"[08001] {MS}TCP Provider: Error code 0x2AF9 (11001); {TIMEOUT}", Kind.NAME, LOGIN, None),
    (f"[08001] {MS}Named Pipes Provider: No process is on the other end of the pipe. (233)", Kind.CLOSED, LOGIN, None),
    (f"[08001] {MS}MAX_PROVS: Error Locating Server/Instance Specified [xFFFFFFFF].  (-1); {TIMEOUT}; {NETWORK} (-1)",
     Kind.REFUSED, LOGIN, None),
    ("[08001] [FreeTDS][SQL Server]Unable to connect: Adaptive Server is unavailable or does not exist (20009)",
     Kind.REFUSED, LOGIN, None),
    ("[08S01] [FreeTDS][SQL Server]Unexpected EOF from the server (20017)", Kind.CLOSED, LOGIN, None),
    # the driver
    ("[IM002] [unixODBC][Driver Manager]Data source name not found and no default driver specified (0)",
     Kind.MISSING, DRIVER, None),
    ("[01000] [unixODBC][Driver Manager]Can't open lib 'x' : file not found (0) (SQLDriverConnect)",
     Kind.MISSING, DRIVER, None),
    ("[IM004] [unixODBC][Driver Manager]Driver's SQLAllocHandle on SQL_HANDLE_HENV failed (0)", Kind.MISSING, DRIVER, None),
    # what is no error says nothing
    (f"{server('01000', 'Changed database context to SIC.', 5701)}; {FAILED}", Kind.AUTHENTICATION, LOGIN, 18456),
    ("[HY000] something else", Kind.ERROR, LOGIN, None),
    ("nothing of an ODBC error", Kind.ERROR, LOGIN, None),
]  # fmt: skip


@pytest.mark.parametrize(("words", "kind", "rung", "number"), SAID)
def test_the_most_telling_record_decides(
    words: str, kind: FailureKind, rung: str, number: int | None
) -> None:
    meaning = by_weight("HY000", words)[0].meaning
    assert (meaning.kind, meaning.rung, meaning.number) == (kind, rung, number)


def test_the_decisive_words_are_not_cut_and_the_password_is_not_shown() -> None:
    settings = SqlServer.model_validate({"name": "sic", "host": "10.1.2.3", "password": "very-secret"})
    long = f"[28000] {MS}[SQL Server]Login failed very-secret {'x' * 600} (18456)"
    error = error_of(("28000", f"{long}; {NO_DATABASE}"), settings, LOGIN)
    assert error.message.startswith(NO_DATABASE)
    assert "very-secret" not in error.message
    assert (error.stage, error.number) == (DATABASE, 4060)
    assert error_of(("42000", NO_DATABASE), settings, "query").stage == "query"
