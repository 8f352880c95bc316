"""Why PgBouncer's own log-ins to PostgreSQL fail: a failing log-in looks like a pause, and is none."""

from __future__ import annotations

import re

from samaops.checks import log_words
from samaops.checks.registry import Context
from samaops.facts.pgbouncer import PgBouncerFacts, PooledDatabase
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.servers import ServiceLogs

# What is older may be over.
_FRESH_SECONDS = 60.0
# After a failed log-in PgBouncer tries no other for server_login_retry, 15 s where it does not say.
_RETRY_SECONDS = 15.0
# What a try itself may take.
_TRY_SECONDS = 5.0
_IS_FAILING = re.compile(r"server login has been failing|server_login_retry|login failed", re.IGNORECASE)
_FAILURE = re.compile(
    r"(?:\S* ?login failed|connect failed|server refused SSL|DNS lookup failed|TLS handshake failed"
    r"|no such user|cannot do SCRAM).*",
    re.IGNORECASE,
)
# What it writes when somebody ends a pause. PAUSE cuts the log-ins under way, and it counts them as failed.
_RESUMED = re.compile(r"\bRESUME(?: '[^']*')? command issued")
_DEMANDS_TLS = ("require", "verify-ca", "verify-full")
# Then PostgreSQL has answered: its own words, or no to TLS.
_IS_ANSWER = re.compile(r"FATAL|SSL", re.IGNORECASE)


def is_asked_in_vain(facts: PgBouncerFacts) -> bool:
    """Return whether the application was given no session when it asked."""
    return facts.query is not None and facts.query.milliseconds is None


def failure(facts: PgBouncerFacts, context: Context) -> log_words.Reason | None:
    """Return why the last log-in failed: in the words of PgBouncer's log, or as the settings of both sides tell.

    What PostgreSQL refuses, PgBouncer tells those clients that wait at that moment, and keeps all that come later waiting until
    its next try: where it does so, only a line since its last try is the reason.
    """
    return _written(facts, context) or _tls(facts, context)


def _tls(facts: PgBouncerFacts, context: Context) -> log_words.Reason | None:
    """Tell a pool that wants TLS of a PostgreSQL without; its log has that only with log_disconnections."""
    mode = facts.console.settings.get("server_tls_sslmode") if facts.console else None
    servers = (server.settings or {} for _look, server in context.snapshot.facts_of(PostgresFacts))
    ssl = next((settings["ssl"].shown for settings in servers if "ssl" in settings), None)
    if mode not in _DEMANDS_TLS or ssl != "off" or not is_asked_in_vain(facts):
        return None
    return log_words.Reason("tls", f"server_tls_sslmode = {mode}, PostgreSQL: ssl = {ssl}", None, 1)


def _written(facts: PgBouncerFacts, context: Context) -> log_words.Reason | None:
    for look, seen in context.snapshot.facts_of(ServiceLogs):
        if look.server != context.server:
            continue
        lines = [line for log in seen.logs if log.system == "pgbouncer" for line in log.lines or ()]
        for line in reversed(lines):
            if _RESUMED.search(line.text):
                break  # what failed before was tried before the pause
            age = seen.epoch - line.at if line.at is not None else _FRESH_SECONDS + 1
            words = (
                _FAILURE.search(line.text)
                if -1 <= age <= _FRESH_SECONDS and " C-0x" not in line.text
                else None
            )
            if words is None:
                continue
            is_last_try = age <= retry_seconds(facts) + _TRY_SECONDS
            if tells_clients(facts) or is_last_try or "FATAL" not in words[0]:
                return log_words.Reason(log_words.kind_of(words[0], "pgbouncer"), words[0], line.at, 1)
    return None


def resumed_seconds(facts: PgBouncerFacts, context: Context) -> float | None:
    """Return how long ago a pause ended, where PgBouncer may not yet have tried a log-in since; None where it has."""
    for look, seen in context.snapshot.facts_of(ServiceLogs):
        lines = (line for log in seen.logs if log.system == "pgbouncer" for line in log.lines or ())
        at = [line.at for line in lines if line.at is not None and _RESUMED.search(line.text)]
        age = seen.epoch - max(at) if at else None
        if (
            look.server == context.server
            and age is not None
            and -1 <= age <= retry_seconds(facts) + _TRY_SECONDS
        ):
            return max(0.0, age)
    return None


def retry_seconds(facts: PgBouncerFacts) -> float:
    """Return for how long PgBouncer tries no log-in after one that failed."""
    try:
        return float(facts.console.settings["server_login_retry"]) if facts.console else _RETRY_SECONDS
    except (KeyError, ValueError):
        return _RETRY_SECONDS


def is_failing(facts: PgBouncerFacts, context: Context) -> bool:
    """Return whether log-ins to PostgreSQL fail, as PgBouncer tells its clients or its log."""
    return (facts.query is not None and tells_clients(facts)) or failure(facts, context) is not None


def tells_clients(facts: PgBouncerFacts) -> bool:
    """Return whether PgBouncer tells its clients that log-ins fail, as far as anybody asked."""
    return facts.query is None or bool(_IS_FAILING.search(facts.query.error))


def is_answered(reason: log_words.Reason) -> bool:
    """Return whether it is PostgreSQL that refuses, rather than nobody there."""
    return bool(_IS_ANSWER.search(reason.line))


def address(database: PooledDatabase | None) -> str:
    """Return where a pool looks for PostgreSQL; "" where that is a socket or not known."""
    if database is None or not database.host or database.host.startswith("/"):
        return ""
    return f"{database.host}:{database.port}" if database.port else database.host
