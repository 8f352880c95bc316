"""The judgement of what samaops knows of the backups, on data alone."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.config.settings import Settings
from samaops.facts.backup import BackupFacts, BackupFile, CatalogueFacts
from samaops.facts.backup_run import Catalogue, Grade, Grades, Left, Physical, Run, Stanza, Survey
from samaops.facts.observation import Observation
from tests.unit.checks.judging import findings, seen, statuses

NOW = 1_795_000_000.0
DAY = 86_400.0
MB = 1024 * 1024


def at(days: float) -> str:
    """Return the moment so many days ago."""
    return datetime.fromtimestamp(NOW - days * DAY, timezone.utc).isoformat(timespec="seconds")


def proof(days: float, *, is_good: bool = True, reason: str = "") -> Grade:
    return Grade(at(days), is_good, reason, 1.0)


def own_id(days: float) -> str:
    moment = datetime.fromtimestamp(NOW - days * DAY, timezone.utc)
    return f"{moment:%Y%m%dT%H%M%SZ}-00aa"


def run(days: float, state: str = "ok", **changes: Any) -> Run:
    """Return a run of samaops of so many days ago, proved when it was made."""
    made = Grades(stored=proof(days), readable=proof(days)) if state == "ok" else Grades()
    row = Run(
        own_id(days), "samaconso", state, "dump", at(days), at(days - 0.01), bytes=100 * MB, grades=made
    )
    return replace(row, **changes)


def dump(days: float, **changes: Any) -> Run:
    """Return a dump of the guide of so many days ago, which nobody has read."""
    row = Run(f"samaconso_{days:g}.backup", "samaconso", "ok", "guide", at(days), at(days), bytes=100 * MB)
    return replace(row, **changes)


def survey(*runs: Run, **changes: Any) -> Survey:
    own = tuple(row for row in runs if row.engine == "dump")
    dumps = tuple(row for row in runs if row.engine == "guide")
    rows = tuple(row for row in runs if row.engine == "dump" or row.grades != Grades() or row.pinned)
    values: dict[str, Any] = {
        "catalogue": Catalogue(rows), "left": (), "whole": tuple(row.id for row in own if row.state == "ok"),
        "dumps": dumps, "free_bytes": 10_000 * MB, "is_on_data_disk": False, "epoch": NOW, "processors": 4,
        "majors": (15,), "programs": ("age",), **changes,
    }  # fmt: skip
    return Survey(**values)


def facts(*runs: Run, **changes: Any) -> CatalogueFacts:
    return CatalogueFacts("/data/backups/postgresql", survey(*runs, **changes))


def catalogue(of: CatalogueFacts, server: str = "db") -> Observation:
    """Return the look at the catalogue that gave these facts."""
    return replace(seen(f"backup_catalogue/{server}", of, server), system="backup")


PHYSICAL = Physical("20261101-020000F", "full", NOW - DAY, NOW - DAY, MB, 9 * MB, 1)
KEYED: dict[str, Any] = {"recipient": "age1" + "q" * 58}
COPIED: dict[str, Any] = {"copies": [{"name": "workers", "server": "workers"}]}
BAD = Grades(stored=proof(0.1, is_good=False, reason="globals.sql has another sum"))
CASES: list[tuple[str, CatalogueFacts, dict[str, Any], str | None]] = [
    ("backup.catalogue.unreadable", facts(), {}, "ok"),
    ("backup.catalogue.unreadable", CatalogueFacts("/d", None, "sudo: a password is required"), {}, "ok"),
    ("backup.catalogue.unreadable", facts(catalogue=Catalogue(unreadable=(("x.json", "no"),))), {}, "warning"),
    ("backup.run.failed", facts(), {}, None),
    ("backup.run.failed", facts(run(0.2), run(1, "failed")), {}, "ok"),
    ("backup.run.failed", facts(run(0.2, "failed", reason="out of tape"), run(1)), {}, "critical"),
    ("backup.run.failed", facts(run(0.2, "started"), run(1)), {}, "critical"),
    ("backup.run.failed", facts(run(0.2, "started"), left=(Left(own_id(0.2) + ".partial", True, NOW, 1),)), {}, "ok"),
    ("backup.run.failed", facts(run(0.2), whole=()), {}, "critical"),
    ("backup.grade.damaged", facts(run(0.2)), {}, "ok"),
    ("backup.grade.damaged", facts(), {}, None),
    ("backup.grade.damaged", facts(run(0.2, grades=BAD), run(1)), {}, "critical"),
    ("backup.grade.damaged", facts(run(0.2), run(1, grades=BAD)), {}, "warning"),
    ("backup.grade.damaged", facts(run(0.2), dump(1, grades=BAD)), {}, "warning"),
    ("backup.grade.old", facts(run(0.2), run(3)), {}, "ok"),
    ("backup.grade.old", facts(run(0.2, grades=Grades()), run(3)), {}, "warning"),
    ("backup.grade.old", facts(run(0.2), run(40)), {}, "warning"),
    ("backup.grade.old", facts(run(0.2), run(40, grades=Grades(restored=proof(2)))), {}, "ok"),
    ("backup.grade.old", facts(dump(40)), {}, None),
    # a clock that was an hour and more ahead then, or is behind now, makes nothing young
    ("backup.grade.old", facts(run(0.2), run(40, grades=Grades(restored=proof(-0.1)))), {}, "unknown"),
    ("backup.copy.missing", facts(run(-0.1, copies={"workers": at(-0.1)})), COPIED, "unknown"),
    ("backup.place.same_disk", facts(run(1)), {}, "ok"),
    ("backup.place.same_disk", facts(run(1), is_on_data_disk=True), {}, "warning"),
    ("backup.place.same_disk", facts(run(1, copies={"workers": at(1)}), is_on_data_disk=True), {}, "ok"),
    ("backup.place.same_disk", facts(run(1), is_on_data_disk=None), {}, "unknown"),
    ("backup.place.same_disk", facts(dump(1), is_on_data_disk=True), {}, None),
    ("backup.copy.missing", facts(run(3)), {}, None),
    ("backup.copy.missing", facts(run(0.5), run(1.5)), COPIED, "warning"),
    ("backup.copy.missing", facts(run(0.5), run(3)), COPIED, "critical"),
    ("backup.copy.missing", facts(run(0.5, copies={"workers": at(0.4)}), run(3)), COPIED, "ok"),
    ("backup.copy.missing", facts(run(0.5), run(3, copies={"workers": at(2.9)})), COPIED, "critical"),
    ("backup.key.missing", facts(run(1)), {}, "warning"),
    ("backup.key.missing", facts(run(1)), KEYED, "ok"),
    ("backup.key.missing", facts(run(1), programs=()), KEYED, "critical"),
    ("backup.key.missing", facts(dump(1)), {}, None),
    ("backup.stanza.error", facts(run(1)), {}, None),
    ("backup.stanza.error", facts(stanza=Stanza("x", 0, "ok", (PHYSICAL,))), {}, "ok"),
    ("backup.stanza.error", facts(stanza=Stanza("x", 2, "no valid backups")), {}, "ok"),
    ("backup.stanza.error", facts(stanza=Stanza("x", 1, "missing stanza path")), {}, "critical"),
    ("backup.stanza.error", facts(stanza=Stanza("x", -1, "", reason="no answer")), {}, "unknown"),
    ("backup.full.old", facts(run(1)), {}, None),
    ("backup.full.old", facts(stanza=Stanza("x", 0, "ok", (PHYSICAL,))), {}, "ok"),
    ("backup.full.old", facts(stanza=Stanza("x", 0, "ok", (replace(PHYSICAL, stopped=NOW - 10 * DAY),))), {}, "warning"),
    ("backup.full.old", facts(stanza=Stanza("x", 0, "ok", (replace(PHYSICAL, stopped=NOW - 17 * DAY),))), {}, "critical"),
    ("backup.full.old", facts(stanza=Stanza("x", 2, "no valid backups")), {}, "critical"),
    ("backup.full.old", facts(stanza=Stanza("x", 1, "missing stanza path")), {}, None),
    ("backup.pages.damaged", facts(stanza=Stanza("x", 0, "ok", (PHYSICAL,))), {}, "ok"),
    ("backup.pages.damaged", facts(stanza=Stanza("x", 0, "ok", (replace(PHYSICAL, has_error=True),))), {}, "critical"),
    ("backup.pages.damaged", facts(stanza=Stanza("x", 0, "ok", (replace(PHYSICAL, label="20261031-020000F", has_error=True), PHYSICAL))), {}, "warning"),
    # What pgBackRest has lies in its own repository, and is copied by it.
    ("backup.place.same_disk", facts(stanza=Stanza("x", 0, "ok", (PHYSICAL,)), is_on_data_disk=True), {}, None),
    ("backup.copy.missing", facts(stanza=Stanza("x", 0, "ok", (PHYSICAL,))), COPIED, None),
    # A recovery that failed is a restore that failed.
    ("backup.run.failed", facts(run(0.2, "failed", recovered_to=at(0.2)), run(1)), {}, "ok"),
    ("backup.key.here", facts(run(1)), {}, None),
    ("backup.key.here", facts(run(1)), KEYED, "warning"),
    ("backup.key.here", facts(run(1)), {**KEYED, "drill": {"identity": {"env": "K"}}}, "warning"),
    ("backup.key.here", facts(run(1)), {**KEYED, "key_kept": "the safe"}, "ok"),
    ("backup.key.here", facts(dump(1)), KEYED, None),
]  # fmt: skip


def settings(**backup: Any) -> Settings:
    return Settings.model_validate({"backup": backup})


@pytest.mark.parametrize(("code", "known", "backup", "expected"), CASES)
def test_what_the_catalogue_says_is_judged(
    code: str, known: CatalogueFacts, backup: dict[str, Any], expected: str | None
) -> None:
    found = statuses(code, catalogue(known), settings=settings(**backup))
    assert list(found.values()) == ([] if expected is None else [expected])


def test_a_reason_stands_in_the_finding() -> None:
    known = facts(run(0.2, "failed", reason="the hook before: out of tape"))
    (finding,) = findings("backup.run.failed", catalogue(known), settings=settings()).values()
    assert finding.title == "The last backup failed: the hook before: out of tape"
    assert finding.hint == "samaops backup create"


def files(*hours: float) -> BackupFacts:
    made = tuple(BackupFile(f"samaconso_{age:g}.backup", 1000, NOW - age * 3600) for age in hours)
    return BackupFacts("/data/backups/postgresql", "samaconso_*.backup", NOW, True, made, ())


def judged(code: str, backup: BackupFacts, *runs: Run, **keys: Any) -> str:
    observations = (seen("backup/db", backup, "db"), catalogue(facts(*runs)))
    return statuses(code, *observations, settings=settings(**keys)).get("backup/db", "none")


def test_the_newest_backup_is_that_of_samaops_or_of_the_guide() -> None:
    assert judged("backup.newest.missing", files()) == "critical"
    assert judged("backup.newest.missing", files(), run(0.2)) == "ok"
    assert judged("backup.newest.old", files(60)) == "critical"
    assert judged("backup.newest.old", files(60), run(0.2)) == "ok"
    assert judged("backup.newest.old", files(60), run(0.2, "failed")) == "critical"
    # They are packed otherwise: none is compared with one of the other kind.
    assert judged("backup.size.changed", files(60), run(0.2), run(1)) == "ok"
    assert judged("backup.size.changed", files(60), run(0.2, bytes=MB), run(1)) == "warning"


def test_what_the_policy_keeps_is_not_too_old() -> None:
    young = [run(days) for days in (0.2, 1, 2, 3)]
    monthly = dump(45, grades=Grades(readable=proof(1)))
    old = files(45 * 24)
    assert judged("backup.retention.exceeded", old) == "warning"
    named = BackupFacts(
        old.directory, old.pattern, NOW, True, (BackupFile(monthly.id, 1000, NOW - 45 * DAY),), ()
    )
    assert judged("backup.retention.exceeded", named, *young, monthly) == "ok"
    assert judged("backup.retention.exceeded", named, *young, monthly, weekly=0, monthly=0) == "warning"
    assert (
        judged("backup.retention.exceeded", files(1), *young, run(45, grades=Grades()), weekly=0, monthly=0)
        == "warning"
    )
