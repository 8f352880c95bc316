"""What repairs a pool that somebody paused or disabled: a verb of samaops, for exactly what is held."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import engine
from samaops.config.settings import Settings
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import seen
from tests.unit.checks.test_pgbouncer import CONSOLE, DATABASE, HEALTHY

SITE = Site(Settings.model_validate({"pgbouncer": {}, "servers": {"db": {"address": "10.0.0.1"}}}))
PAUSED, DISABLED = replace(DATABASE, is_paused=True), replace(DATABASE, is_disabled=True)


@pytest.mark.parametrize(
    ("changes", "command", "undo"),
    [
        ({"databases": (PAUSED,)}, "samaops pool resume samaconso", ()),
        ({"databases": (PAUSED, replace(PAUSED, name="other"))}, "samaops pool resume", ()),
        ({"is_held": True}, "samaops pool resume", ()),
        ({"databases": (DISABLED,)}, "samaops pool enable samaconso", ("samaops pool disable samaconso",)),
    ],
)
def test_what_is_held_is_let_go_by_a_verb(
    changes: dict[str, Any], command: str, undo: tuple[str, ...]
) -> None:
    look = snapshot(seen("pgbouncer/db", replace(HEALTHY, console=replace(CONSOLE, **changes)), "db"))
    findings = engine.judge(look, SITE)
    _findings, causes = graph.explain(tuple(findings), SITE)
    (fix,) = next(cause.fixes for cause in causes if cause.id.startswith("pgbouncer-"))
    assert fix.commands == (command,)
    assert fix.undo == undo


def different(system: str, setting: str, actual: str, expected: str) -> Finding:
    values = {setting: {"actual": actual, "expected": expected}}
    return Finding(
        f"{system}.settings.different", Status.WARNING, f"{system}/db", "", evidence={"different": values}
    )


@pytest.mark.parametrize(
    ("finding", "symptom", "command", "undo"),
    [
        (different("pgbouncer", "default_pool_size", "2", "20"), "pgbouncer.pool.waiting",
         "samaops pool set-size 20", ("samaops pool set-size 2",)),
        (different("postgresql", "work_mem", "4MB", "16MB"), "postgresql.temp.high",
         "samaops db set work_mem 16MB", ("samaops db set work_mem 4MB",)),
        (different("postgresql", "shared_buffers", "128MB", "8GB"), "postgresql.cache.low",
         'samaops db psql -- -c "SHOW shared_buffers"', ()),
    ],
)  # fmt: skip
def test_the_guides_value_comes_back_by_a_verb_where_no_restart_is_needed(
    finding: Finding, symptom: str, command: str, undo: tuple[str, ...]
) -> None:
    harm = Finding(symptom, Status.CRITICAL, f"{symptom.partition('.')[0]}/db", "")
    _findings, causes = graph.explain((finding, harm), SITE)
    (fix,) = next(cause.fixes for cause in causes if cause.id == "setting-differs")
    assert fix.commands[0] == command
    assert fix.undo == undo
