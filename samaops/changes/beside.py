"""Who may work on a database beside whom: one table, for all verbs that tend it, and for whoever asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum

from msgspec import Struct

from samaops.facts.postgresql_changes import Backend
from samaops.i18n import N_


class Work(str, Enum):
    """A kind of work on a database."""

    VACUUM = "vacuum"
    ANALYZE = "analyze"
    FULL = "vacuum full"
    REINDEX = "reindex"
    INDEX = "index build"
    DUMP = "dump"
    BACKUP = "base backup"
    RESTORE = "restore"
    MIGRATION = "migration"
    ROLLBACK = "rollback"

    def __str__(self) -> str:
        return self.value


class Verdict(str, Enum):
    """Whether both may work at once."""

    YES = "yes"
    OTHER_TABLE = "other tables only"
    NO = "no"

    def __str__(self) -> str:
        return self.value


class Rule(Struct, frozen=True):
    """Whether two kinds of work go together, and why not."""

    verdict: Verdict
    reason: str


_TOGETHER = Rule(Verdict.YES, N_("neither waits for the other"))
_HELD = Rule(Verdict.YES, N_("the dump's snapshot keeps what died since: the vacuum removes less"))
_SAME_LOCK = Rule(
    Verdict.OTHER_TABLE, N_("on one table only one of them gets the lock; the other is left out")
)
_SNAPSHOT = Rule(Verdict.NO, N_("it would wait until the last transaction of the other ends"))
_DEADLOCK = Rule(Verdict.NO, N_("two of them wait for each other: on one table that is a deadlock"))
_SHAPE = Rule(Verdict.NO, N_("the other changes the shape of tables, or all of their data"))
_EXCLUSIVE = Rule(Verdict.NO, N_("it keeps everybody from the table, and the disk it needs is counted once"))
_DISK = Rule(Verdict.YES, N_("both write: the disk and the log carry both"))

_RULES: dict[frozenset[Work], Rule] = {}


def _rule(work: Work, others: Iterable[Work], rule: Rule) -> None:
    for other in others:
        _RULES[frozenset((work, other))] = rule


_rule(Work.VACUUM, (Work.VACUUM, Work.ANALYZE, Work.REINDEX, Work.INDEX), _SAME_LOCK)
_rule(Work.VACUUM, (Work.DUMP,), _HELD)
_rule(Work.VACUUM, (Work.BACKUP,), _TOGETHER)
_rule(Work.ANALYZE, (Work.ANALYZE, Work.REINDEX, Work.INDEX), _SAME_LOCK)
_rule(Work.ANALYZE, (Work.DUMP, Work.BACKUP), _TOGETHER)
_rule(Work.REINDEX, (Work.REINDEX, Work.INDEX), _DEADLOCK)
_rule(Work.REINDEX, (Work.DUMP,), _SNAPSHOT)
_rule(Work.REINDEX, (Work.BACKUP,), _DISK)
_rule(Work.INDEX, (Work.INDEX,), _DEADLOCK)
_rule(Work.INDEX, (Work.DUMP,), _SNAPSHOT)
_rule(Work.INDEX, (Work.BACKUP,), _DISK)
_rule(Work.DUMP, (Work.DUMP, Work.BACKUP), _TOGETHER)
_rule(Work.BACKUP, (Work.BACKUP,), _TOGETHER)
_rule(Work.FULL, Work, _EXCLUSIVE)
_rule(Work.FULL, (Work.VACUUM, Work.ANALYZE), _SAME_LOCK)
for _work in (Work.RESTORE, Work.MIGRATION, Work.ROLLBACK):
    _rule(_work, Work, _SHAPE)

# What a session is at, by the name it gives itself and by its statement. The first that fits.
_NAMES = (
    (Work.DUMP, r"pg_dump|pg_dumpall|samaops backup"),
    (Work.RESTORE, r"pg_restore|samaops restore"),
    (Work.BACKUP, r"pg_basebackup|pgbackrest|barman"),
    (Work.MIGRATION, r"alembic|flyway|liquibase"),
    (Work.ROLLBACK, r"samaops rollback"),
)
_STATEMENTS = (
    (Work.FULL, r"vacuum\s*\(?[^)]*\bfull\b|cluster\b"),
    (Work.VACUUM, r"(autovacuum: )?vacuum\b"),
    (Work.ANALYZE, r"(autovacuum: )?analyze\b"),
    (Work.REINDEX, r"reindex\b"),
    (Work.INDEX, r"(create\s+(unique\s+)?|drop\s+)index\b"),
    (Work.MIGRATION, r"alter\s+(table|type|schema)\b"),
)


def rule(work: Work, other: Work) -> Rule:
    """Return whether two kinds of work go together."""
    return _RULES[frozenset((work, other))]


def work_of(backend: Backend) -> Work | None:
    """Return what a session is at; None for everybody's daily work."""
    for work, pattern in _NAMES:
        if re.match(pattern, backend.application, re.IGNORECASE):
            return work
    if backend.state != "active" and not backend.query.startswith("autovacuum"):
        return None
    for work, pattern in _STATEMENTS:
        if re.match(pattern, backend.query.lstrip(), re.IGNORECASE):
            return work
    return None


def in_the_way(
    work: Work, backends: Iterable[Backend], database: str
) -> Iterator[tuple[Backend, Work, Rule]]:
    """Yield who works on this database now beside whom ``work`` must not begin."""
    for backend in backends:
        other = work_of(backend)
        if other is None or backend.is_ours or backend.database not in ("", database):
            continue
        between = rule(work, other)
        if between.verdict is Verdict.NO:
            yield backend, other, between
