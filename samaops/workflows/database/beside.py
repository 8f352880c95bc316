"""Which work on the database goes together: the table that the verbs themselves keep to."""

from __future__ import annotations

from itertools import combinations_with_replacement

from samaops.changes import beside
from samaops.changes.beside import Verdict, Work
from samaops.i18n import N_, _
from samaops.model.table import Column, Table

TOPIC = "beside"
_SHOWN = {Verdict.YES: N_("yes"), Verdict.OTHER_TABLE: N_("other tables only"), Verdict.NO: N_("no")}


def table() -> Table:
    """Return each pair of works, whether they go together, and why not."""
    columns = (
        Column("work", _("work"), is_copied=True),
        Column("beside", _("beside"), is_copied=True),
        Column("at_once", _("at once")),
        Column("reason", _("why")),
    )
    rows = tuple(
        {
            "work": str(work),
            "beside": str(other),
            "verdict": str(rule.verdict),
            "at_once": _(_SHOWN[rule.verdict]),
            "reason": _(rule.reason),
        }
        for work, other in combinations_with_replacement(Work, 2)
        for rule in (beside.rule(work, other),)
    )
    answer = _("Which work on one database may go on beside which; samaops begins none beside what says no")
    return Table("beside", columns, rows, answer, answer=answer)
