"""Let Redis save to disk now."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.changes.redis.server import configured, facts
from samaops.changes.verbs import verb
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Plan, Risk, Step
from samaops.model.quantities import duration, size
from samaops.site.site import Site

SAVE = "redis.save"
_SECONDS = 600.0


def _looks(site: Site) -> tuple[str, ...]:
    configured(site)
    return ("redis.persistence",)


@verb("redis save", looks=_looks)
def plan_save(snapshot: Snapshot, site: Site) -> Plan:
    """Plan a background save (BGSAVE), of which is waited for the end. Where Redis refuses writes for a save that failed,
    one that ends well lets it take them again.
    """
    seen = facts(snapshot)
    title = _("Let Redis save its data to disk, in the background")
    plan = Plan("redis save", (), title, target="redis")
    step = Step(
        "redis.save",
        title,
        Risk.SAFE,
        operation=Operation(SAVE, {}, configured(site).server, _SECONDS),
        before=(),
        after=(),
        no_undo=_("the file that it replaces was older"),
        servers=site.servers_of("redis"),
    )
    text = _(
        "It forks: {used} of data, the last fork took {ms:.0f} ms; what is written meanwhile is held twice"
    )
    forks = text.format(used=size(seen.memory.used), ms=seen.persistence.fork_microseconds / 1000)
    last = _("The last save was {age} ago, with {changes} changes since").format(
        age=duration(seen.persistence.seconds_since_save), changes=seen.persistence.changes_since_save
    )
    return replace(plan, steps=(step,), notes=(last, forks))
