"""What repairs a pool that somebody paused or disabled: a verb of samaops, for exactly what is held."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import engine
from samaops.config.settings import Settings
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
