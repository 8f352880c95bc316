"""The root in a setting of PostgreSQL or PgBouncer that is not the guide's, and does harm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from samaops.causes.effects import codes
from samaops.causes.root import Rank, Root, each, root, safe, words_of
from samaops.causes.topology import POOL_RUNS_DRY
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.site.commands import console, direct, samaops, sql_name
from samaops.site.shell_words import operands


class _Mechanism(Struct, frozen=True):
    """What a setting produces when it is lower than the guide's value, or when it is another one.

    ``verb`` of samaops puts another value of it in force without a restart, "" where none does.
    """

    setting: str
    symptoms: tuple[str, ...]
    is_worse_lower: bool = True
    verb: str = ""


_MECHANISMS = (
    _Mechanism("default_pool_size", POOL_RUNS_DRY, verb="pool set-size"),
    _Mechanism("reserve_pool_size", POOL_RUNS_DRY),
    _Mechanism("query_wait_timeout", ("pgbouncer.query.failed",)),
    _Mechanism("max_client_conn", ("pgbouncer.clients.high", "pgbouncer.query.failed")),
    _Mechanism("pool_mode", POOL_RUNS_DRY, is_worse_lower=False),
    _Mechanism(
        "max_connections",
        ("postgresql.connections.high", "pgbouncer.pool.oversized", "pgbouncer.login.stuck"),
    ),
    _Mechanism("work_mem", ("postgresql.temp.high",), verb="db set work_mem"),
    _Mechanism("shared_buffers", ("postgresql.cache.low",)),
)
# Where one of these is found, it holds the sessions, whatever the settings are.
_HOLDERS = (
    "postgresql.locks.*",
    "postgresql.transaction.idle",
    "postgresql.service.unreachable",
    "pgbouncer.pool.paused",
    "pgbouncer.database.disabled",
)


@root(
    "setting-differs",
    on=each("pgbouncer.settings.different", "postgresql.settings.different"),
    rank=Rank.STATE,
    runbook="db-slow",
    effects=codes(*dict.fromkeys(symptom for mechanism in _MECHANISMS for symptom in mechanism.symptoms)),
)
def setting_differs(finding: Finding, view: View) -> Iterator[Root]:
    """A setting is not the guide's, and what is seen is what it does."""
    if any(view.not_ok(code) for code in _HOLDERS):
        return
    different = finding.evidence.get("different") or {}
    for mechanism in _MECHANISMS:
        name = next((name for name in different if name.rpartition(".")[2] == mechanism.setting), None)
        seen = [symptom for code in mechanism.symptoms for symptom in view.bad(code)]
        if name is None or not seen or not _is_worse(mechanism, different[name]):
            continue
        actual, expected = (str(different[name].get(key)) for key in ("actual", "expected"))
        title = _("{name} is {actual} in place of the guide's {expected}: {symptom}")
        yield Root(
            title.format(name=name, actual=actual, expected=expected, symptom=seen[0].title),
            (_back(finding, view, mechanism, name, actual, expected),),
            Verdict.PROBABLE,
            speaks_for=(words_of(finding), *(symptom.title for symptom in seen)),
            effects=codes(*mechanism.symptoms),
        )
        return


def _back(finding: Finding, view: View, mechanism: _Mechanism, name: str, actual: str, expected: str) -> Fix:
    """Return how the guide's value comes back: by a verb of ours, or by hand after a look."""
    if mechanism.verb:
        text = _("Put the guide's value back, at once and without a restart; ask who set it and why")
        there, before = (
            samaops(view.site, f"{mechanism.verb} {operands(value)}") for value in (expected, actual)
        )
        return safe("setting.back", text, there, undo=before)
    text = _("Ask who set it and why; put the guide's value back and load it again")
    look = (
        console(view.site, "SHOW CONFIG")
        if finding.system == "pgbouncer"
        else direct(view.site, f"SHOW {sql_name(name)}")
    )
    return safe("setting.look", text, look)


def _is_worse(mechanism: _Mechanism, values: Mapping[str, object]) -> bool:
    actual, expected = (_quantity(str(values.get(key))) for key in ("actual", "expected"))
    return not mechanism.is_worse_lower or (actual is not None and expected is not None and actual < expected)


def _quantity(text: str) -> float | None:
    """Return a number with PostgreSQL's units of sizes; None when it is none."""
    match = re.fullmatch(r"(\d+)\s*([kMGT]?)B?", text.strip())
    return None if match is None else float(match[1]) * 1024 ** " kMGT".index(match[2] or " ")
