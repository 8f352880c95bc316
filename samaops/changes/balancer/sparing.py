"""A member that is restarted is spared by the balancer meanwhile: taken out before, put back once it serves again."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops.changes.balancer import members as balancer
from samaops.changes.readings import UnreadableError, facts_in
from samaops.errors import UsageError
from samaops.facts.loadbalancer import ENABLED, OFFLINE, BigIpFacts, MemberFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Scalar, Step
from samaops.site.site import Site

PUT_BACK = "balancer.put_back"
# How long a member that was begun to be restarted may take to serve again.
SERVE_SECONDS = 60.0
_SPARE_SECONDS = 40.0


class PuttingBack(Struct, frozen=True):
    """What to set a member to, once its API instance serves: else it stays out. Times in seconds."""

    member: str
    setting: str
    instance: str
    within: float


class Spared(Struct, frozen=True):
    """Who is spared: names of API instances that leave together, beside how many others, and how long at most."""

    names: tuple[str, ...]
    least: int
    within: float
    guard_seconds: float


def is_controlled(site: Site) -> bool:
    """Return whether the balancer can be told to spare a member."""
    section = site.settings.loadbalancer
    return section is not None and (section.bigip is not None or section.commands is not None)


def drain_step(snapshot: Snapshot, site: Site, name: str, spared: Spared) -> Step:
    """Return the step that takes a member out of the pool; its undo puts it back where it serves.

    Raises UnreadableError.
    """
    member = balancer.member_named(snapshot, site, name)
    step = balancer.drain_step(snapshot, site, member, spared.within, spared.guard_seconds)
    earlier = str(balancer.setting_of(snapshot, member.name))
    assert step.undo is not None
    seconds = _SPARE_SECONDS + SERVE_SECONDS
    back = PuttingBack(member.name, earlier, name, SERVE_SECONDS)
    undo = Operation(PUT_BACK, asdict(back), step.undo.server, seconds)
    return replace(step, needs=(_others_serve(snapshot, site, member, spared),), undo=undo)


def enable_step(snapshot: Snapshot, site: Site, name: str, *, ends_part: bool = False) -> Step:
    """Return the step that puts a member back once it serves; what it has been out for is over then. Raises UnreadableError."""
    step = balancer.enable_step(site, balancer.member_named(snapshot, site, name))
    return replace(step, undo=None, no_undo=_("it was in the pool before"), ends_part=ends_part)


def is_out(snapshot: Snapshot, site: Site, name: str) -> Condition:
    """Return the condition that a member is still out of the pool. Raises UnreadableError."""
    member = balancer.member_named(snapshot, site, name)
    text = _("{name} is forced offline in the pool").format(name=member.name)
    return Condition("balancer.setting", (member.name,), OFFLINE, text)


def _others_serve(snapshot: Snapshot, site: Site, member: MemberFacts, spared: Spared) -> Condition:
    pairs: list[str] = []
    for other, instance in _others(snapshot, site, spared):
        pairs += [other.name, instance]
    text = _("at least {least} other members serve").format(least=spared.least)
    if spared.least == 1:
        text = _("another member serves")
    of: tuple[Scalar, ...] = (member.name, site.healthy_status(), spared.least, *pairs)
    return Condition("balancer.may_leave", of, True, text)


def _others(snapshot: Snapshot, site: Site, spared: Spared) -> Iterator[tuple[MemberFacts, str]]:
    """Yield the members that stay, each with the name of its API instance, "" where none is known."""
    for other in facts_in(snapshot, BigIpFacts).members:
        instance = balancer.instance_of(site, other)
        if not other.is_name and (instance is None or instance.name not in spared.names):
            yield other, instance.name if instance else ""


def obstacle(snapshot: Snapshot, site: Site, name: str) -> str:
    """Return why a member that serves is not taken out of the pool first; "" where it can be.

    Raises RefusedError where too few others would be left in the pool.
    """
    try:
        member = balancer.member_named(snapshot, site, name)
        setting = str(balancer.setting_of(snapshot, member.name))
    except UnreadableError as error:
        return str(error)
    except UsageError as error:
        return error.message
    if setting != ENABLED:
        return _("{name} is out of it already").format(name=member.name)
    balancer.refuse_last(snapshot, site, member)
    return ""
