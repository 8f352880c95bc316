"""What the errors of an ODBC driver mean: all records of one, each by its own table, and the most telling of them.

An error of ODBC is a list of records, each with a SQLSTATE, a native number and words. SQL Server refuses a log-in with
several of them, and the driver adds "Login timeout expired" and "network-related error" to nearly everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from samaops.model.failure import FailureKind

# The rungs at which an attempt to log in may break.
DRIVER, LOGIN, DATABASE = "driver", "login", "database"


class Meaning(Struct, frozen=True):
    """What a record says: the kind of failure, at which rung, and the number of SQL Server's own error if it is one."""

    kind: FailureKind
    rung: str = LOGIN
    number: int | None = None


class Record(Struct, frozen=True):
    """One record: what it says, where it is known, and its words."""

    words: str
    meaning: Meaning


# SQL Server's error numbers (learn.microsoft.com/sql/relational-databases/errors-events, and for the numbers from 40000
# on azure/azure-sql/database/troubleshoot-common-errors-issues).
_REFUSED_LOGINS = (
    18450, 18452, 18456, 18457, 18462, 18463, 18464, 18465, 18466, 18467, 18468, 18470, 18471, 18486, 18487, 18488,
    17892,
)  # fmt: skip
_NOT_ALLOWED = (229, 230, 262, 297, 300, 916, 40532, 40615, 40914, 47073)
# The server is there and takes nobody, or nobody more, now.
_NOT_SERVING = (
    17142, 17187, 17188, 17189, 17300, 17803, 17809, 17810, 17889, 18401, 18451, 18458, 18459, 18460, 18461, 701, 802,
    8645, 8651, 4221, 10928, 10929, 10936, 40197, 40501, 40540, 49918, 49919, 49920,
)  # fmt: skip
_DATABASE_ABSENT = (911, 4060, 4064)  # or not ours: SQL Server tells nobody which
_DATABASE_CLOSED = (
    904, 905, 921, 922, 923, 924, 926, 927, 933, 936, 941, 942, 943, 945, 946, 947, 948, 952, 954, 955, 956, 976, 978,
    979, 982, 983, 988, 40613, 42108, 42109,
)  # fmt: skip
_NUMBERS = {
    **{number: Meaning(FailureKind.AUTHENTICATION, number=number) for number in _REFUSED_LOGINS},
    **{number: Meaning(FailureKind.PERMISSION, number=number) for number in _NOT_ALLOWED},
    **{number: Meaning(FailureKind.UNAVAILABLE, number=number) for number in _NOT_SERVING},
    **{number: Meaning(FailureKind.MISSING, DATABASE, number) for number in _DATABASE_ABSENT},
    **{number: Meaning(FailureKind.UNAVAILABLE, DATABASE, number) for number in _DATABASE_CLOSED},
    17835: Meaning(FailureKind.TLS, number=17835),
    **dict.fromkeys((17828, 17832, 17836), Meaning(FailureKind.GARBAGE)),
    # of the network, in Windows' numbers: SQL Server's drivers use them everywhere
    **dict.fromkeys((64, 109, 121, 232, 233, 10053, 10054), Meaning(FailureKind.CLOSED)),
    **dict.fromkeys((10051, 10060, 10065), Meaning(FailureKind.SILENT)),
    258: Meaning(FailureKind.NO_ANSWER),
    10061: Meaning(FailureKind.REFUSED),
    **dict.fromkeys((11001, 11002, 11004), Meaning(FailureKind.NAME)),
    # of FreeTDS (dblib's msgno)
    20003: Meaning(FailureKind.NO_ANSWER),
    20009: Meaning(FailureKind.REFUSED),
    20017: Meaning(FailureKind.CLOSED),
}
# What says nothing, whatever else stands beside it: changed database, changed language.
_CHATTER = (5701, 5703)
# Why 18456 refused, where a driver or the server's log tells it.
_STATES_OF_18456 = {
    **dict.fromkeys((16, 27, 38, 40, 46, 126), Meaning(FailureKind.MISSING, DATABASE, 4060)),
    13: Meaning(FailureKind.UNAVAILABLE, number=17142),
    23: Meaning(FailureKind.UNAVAILABLE, number=17188),
    18: Meaning(FailureKind.AUTHENTICATION, number=18488),
    7: Meaning(FailureKind.AUTHENTICATION, number=18470),
}
# "TCP Provider: Error code 0x68": of the system under the driver, which is Linux here.
_ERRNO = {
    **dict.fromkeys((32, 103, 104), Meaning(FailureKind.CLOSED)),
    **dict.fromkeys((101, 110, 113), Meaning(FailureKind.SILENT)),
    111: Meaning(FailureKind.REFUSED),
}
_SQLSTATES = {
    "28000": Meaning(FailureKind.AUTHENTICATION),
    "28P01": Meaning(FailureKind.AUTHENTICATION),
    "42501": Meaning(FailureKind.PERMISSION),
    "HYT00": Meaning(FailureKind.NO_ANSWER),
    "HYT01": Meaning(FailureKind.NO_ANSWER),
    "57014": Meaning(FailureKind.NO_ANSWER),
    "HY008": Meaning(FailureKind.NO_ANSWER),
    "08S01": Meaning(FailureKind.CLOSED),
    "08007": Meaning(FailureKind.CLOSED),
    "IM002": Meaning(FailureKind.MISSING, DRIVER),
    "IM003": Meaning(FailureKind.MISSING, DRIVER),
    "IM004": Meaning(FailureKind.MISSING, DRIVER),
    "3D000": Meaning(FailureKind.MISSING, DATABASE),
    "57P03": Meaning(FailureKind.UNAVAILABLE),
    "53300": Meaning(FailureKind.UNAVAILABLE),
}
# Drivers give 08001, 42000, 01000 or HY000 for many things, and psqlODBC one number for all: then the words decide.
_WORDS = (
    (r"can't open lib|file not found", Meaning(FailureKind.MISSING, DRIVER)),
    (
        r"database .* does not exist|cannot open (user default )?database",
        Meaning(FailureKind.MISSING, DATABASE),
    ),
    (
        r"password authentication failed|login failed|no password supplied",
        Meaning(FailureKind.AUTHENTICATION),
    ),
    (
        r"no pg_hba\.conf entry|role .* does not exist|permission (was )?denied",
        Meaning(FailureKind.PERMISSION),
    ),
    (r"\bssl|\btls|certificate", Meaning(FailureKind.TLS)),
    (r"locating server/instance", Meaning(FailureKind.REFUSED)),
    (r"timeout expired|timed out", Meaning(FailureKind.NO_ANSWER)),
    (
        r"service (has been|is) paused|starting up|shutting down|too many clients|recovery mode",
        Meaning(FailureKind.UNAVAILABLE),
    ),
    (r"closed the connection|connection reset|forcibly closed|terminat", Meaning(FailureKind.CLOSED)),
    (r"protocol|expected authentication request|invalid response", Meaning(FailureKind.GARBAGE)),
    (r"connection refused|actively refused", Meaning(FailureKind.REFUSED)),
)
_UNKNOWN = Meaning(FailureKind.ERROR)
_SPLIT = re.compile(r";\s*(?=\[\w{5}\]\s)")
_STATE = re.compile(r"\[(\w{5})\]")
_NUMBER = re.compile(r"\((-?\d+)\)(?: \(SQL\w+\))?\s*$")
_ERROR_CODE = re.compile(r"Error code 0x([0-9A-Fa-f]+)")
_STATE_OF_LOGIN = re.compile(r"\bState:? (\d+)\b", re.IGNORECASE)
_DATABASE_OF_LOGIN = re.compile(r"Reason: Failed to open the .*database", re.IGNORECASE)
# What decides first, where records say different things. What the driver adds to everything stands last.
_TELLING = (
    FailureKind.UNAVAILABLE,
    FailureKind.PERMISSION,
    FailureKind.AUTHENTICATION,
    FailureKind.TLS,
    FailureKind.GARBAGE,
    FailureKind.NAME,
    FailureKind.REFUSED,
    FailureKind.CLOSED,
    FailureKind.SILENT,
    FailureKind.MISSING,
    FailureKind.NO_ANSWER,
    FailureKind.ERROR,
)
_GENERAL_NUMBERS = (4060, 18456)


def by_weight(state: str, words: str) -> list[Record]:
    """Return the records of an error, the most telling first. ``state`` is that of a record that has none of its own."""
    records = [Record(text, meaning) for text, meaning in _read(state, words) if meaning is not None]
    return sorted(records, key=_weight) or [Record(words, _UNKNOWN)]


def _weight(record: Record) -> tuple[bool, bool, int, bool]:
    meaning = record.meaning
    return (
        meaning.rung != DRIVER,
        meaning.rung != DATABASE,
        _TELLING.index(meaning.kind),
        meaning.number in _GENERAL_NUMBERS,
    )


def _read(state: str, words: str) -> Iterator[tuple[str, Meaning | None]]:
    for text in _SPLIT.split(words):
        own = _STATE.match(text)
        yield text, _meaning(own.group(1) if own else state, text)


def _meaning(state: str, text: str) -> Meaning | None:
    """Return what one record says; None when it is no error at all."""
    found = _NUMBER.search(text)
    number = int(found.group(1)) if found else None
    if number in _CHATTER:
        return None
    if number == 18456:
        return _refused_login(text)
    code = _ERROR_CODE.search(text)
    of_system = _ERRNO.get(int(code.group(1), 16)) if code else None
    known = _NUMBERS.get(number) if number is not None else None
    if of_system or known:
        return of_system or known
    lowered = text.lower()
    by_words = next((meaning for pattern, meaning in _WORDS if re.search(pattern, lowered)), _UNKNOWN)
    return _SQLSTATES.get(state, by_words)


def _refused_login(text: str) -> Meaning:
    state = _STATE_OF_LOGIN.search(text)
    if _DATABASE_OF_LOGIN.search(text):
        return _STATES_OF_18456[38]
    if "service is paused" in text:
        return _STATES_OF_18456[13]
    return _STATES_OF_18456.get(int(state.group(1)) if state else 1, _NUMBERS[18456])
