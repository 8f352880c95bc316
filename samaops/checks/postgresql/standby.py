"""Judge the standbys by what they say of themselves; how far they are behind, the primary says (``storage.py``)."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access, check
from samaops.facts.postgresql import StandbyFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import size

access(
    "postgresql.standby.unreachable",
    StandbyFacts,
    title=lambda standby: _("Standby {name} answers").format(name=standby.name),
)


@check("postgresql.standby.promoted", StandbyFacts)
def promoted(standby: StandbyFacts, context: Context) -> Iterator[Finding]:
    if standby.in_recovery:
        yield context.ok(_("{name} is a standby: it takes no writes").format(name=standby.name))
        return
    title = _("{name} is no standby any more: it takes writes beside the database that it should follow")
    yield context.crit(title.format(name=standby.name), evidence={"in_recovery": False})


@check("postgresql.standby.disconnected", StandbyFacts)
def disconnected(standby: StandbyFacts, context: Context) -> Iterator[Finding]:
    if not standby.in_recovery:
        yield context.skipped(_("it follows nobody"))
        return
    evidence = {
        "receivers": standby.receivers,
        "receiver_status": standby.receiver_status,
        "waiting_bytes": standby.waiting_bytes,
        "replayed_seconds": standby.replayed_seconds,
    }
    if standby.receivers:
        title = _("Standby {name} receives what is written, {size} of it not replayed yet")
        words = {"name": standby.name, "size": size(standby.waiting_bytes or 0)}
        yield context.ok(title.format(**words), evidence=evidence)
        return
    title = _(
        "Standby {name} receives nothing: it stays where it is, and a failover to it would lose the rest"
    )
    yield context.crit(title.format(name=standby.name), evidence=evidence)
