"""Take a member of the balancer's pool out, and put it back.

``drain_step`` and ``enable_step`` are also the steps of a larger plan, between which the member is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.config import consistency
from samaops.config.balancer_settings import LoadBalancer
from samaops.config.settings import ApiInstance
from samaops.errors import RefusedError, UsageError
from samaops.facts.api import ApiFacts
from samaops.facts.loadbalancer import ENABLED, OFFLINE, BigIpFacts, MemberFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site

DRAIN, SET = "balancer.drain", "balancer.set"
# The members as the balancer has them, and as they answer themselves.
POOL = ("loadbalancer.member",)
LOOKS = (*POOL, "api")
# How long connections are waited for, in seconds, where nobody says.
WITHIN_SECONDS = 30.0
LEAST_SECONDS, MOST_SECONDS = 1.0, 3600.0
# The log-in to the F5, a read before and after, and the start of a watchdog.
_SPARE_SECONDS = 40.0


class Draining(Struct, frozen=True):
    """Which member to take out, how long its connections are waited for, and when a watchdog puts it back.

    Times in seconds; without ``guard_seconds`` there is no watchdog. ``earlier`` is what the watchdog sets it to.
    """

    member: str
    within: float
    earlier: str = ENABLED
    guard_seconds: float = 0.0


class Setting(Struct, frozen=True):
    """What to set a member to; its watchdog ends."""

    member: str
    setting: str


@reading("balancer.setting", codes=POOL)
def setting_of(snapshot: Snapshot, member: str) -> Scalar:
    """Return what a person has set a member to: enabled, disabled, offline."""
    found = _member(snapshot, member)
    if not found.setting:
        words = ", ".join(filter(None, (found.monitor_status, found.session, found.reason))) or "?"
        raise UnreadableError(_("what {name} is set to, with {words}").format(name=member, words=words))
    return found.setting


@reading("balancer.gets_connections", codes=POOL)
def gets_connections(snapshot: Snapshot, member: str) -> Scalar:
    """Return whether the balancer gives a member new connections."""
    return _member(snapshot, member).is_serving


@reading("balancer.may_leave", codes=LOOKS)
def may_leave(
    snapshot: Snapshot, member: str, expected_status: str, least: int | str, *others: str
) -> Scalar:
    """Return whether enough others serve without a member, or it is out already.

    ``others`` are names in the pool, each followed by that of its API instance ("": none is known).
    """
    if _member(snapshot, member).setting == OFFLINE:
        return True
    pairs = zip(others[::2], others[1::2], strict=True)
    serving = sum(_serves(snapshot, name, instance, expected_status) for name, instance in pairs)
    return serving >= int(least)


@reading("balancer.may_enter", codes=LOOKS)
def may_enter(snapshot: Snapshot, member: str, expected_status: str, instance: str) -> Scalar:
    """Return whether a member serves its own health body, or is in already."""
    return _member(snapshot, member).setting == ENABLED or _answers(snapshot, instance, expected_status)


def _serves(snapshot: Snapshot, name: str, instance: str, expected_status: str) -> bool:
    """Return whether the balancer gives a member connections, and it answers well itself.

    Of one whose instance is not known, the balancer's monitor must say so.
    """
    member = facts_in(snapshot, BigIpFacts).named(name)
    if member is None or not member.is_serving:
        return False
    return _answers(snapshot, instance, expected_status) if instance else member.state == "serving"


def _answers(snapshot: Snapshot, instance: str, expected_status: str) -> bool:
    return any(
        facts.name == instance and facts.answer.serves(expected_status)
        for _observation, facts in snapshot.facts_of(ApiFacts)
    )


def _member(snapshot: Snapshot, name: str) -> MemberFacts:
    member = facts_in(snapshot, BigIpFacts).named(name)
    if member is None:
        raise UnreadableError(_("the pool has no member {name}").format(name=name))
    return member


def configured(site: Site) -> LoadBalancer:
    """Return the section of a balancer that can be controlled. Raises UsageError."""
    section = site.settings.loadbalancer
    if section is None or (section.bigip is None and section.commands is None):
        text = _("[loadbalancer.bigip] or [loadbalancer.commands] is not configured")
        raise UsageError(text, hint="samaops config show")
    return section


def member_named(snapshot: Snapshot, site: Site, name: str) -> MemberFacts:
    """Return a member by the balancer's name of it, by its address or its API instance's name. Raises UsageError."""
    pool = facts_in(snapshot, BigIpFacts)
    found = pool.named(name) or next(
        (member for member in pool.members if name in (member.address, _instance_name(site, member))), None
    )
    if found is None:
        names = dict.fromkeys(
            each for member in pool.members for each in (member.name, _instance_name(site, member)) if each
        )
        text = _("The pool {pool} has no member {name!r}").format(pool=pool.pool, name=name)
        raise UsageError(text, hint=consistency.not_one_of(name, names))
    if found.is_name:
        text = _("{name} only stands for the members to which it resolves")
        raise RefusedError(text.format(name=found.name), hint="samaops balancer list")
    return found


def instance_of(site: Site, member: MemberFacts) -> ApiInstance | None:
    """Return the API instance that a member is: by its address, else by its name."""
    return site.member_at(member.address) or site.member(member.name)


def drain_step(
    snapshot: Snapshot,
    site: Site,
    member: MemberFacts,
    within: float = WITHIN_SECONDS,
    guard_seconds: float = 0.0,
) -> Step:
    """Return the step that takes a member out and waits for its connections, at most ``within`` seconds.

    With ``guard_seconds`` a watchdog puts it back so long after it began, whatever has become of us. Its undo sets the
    member to what it was before. Raises UnreadableError.
    """
    name, earlier = member.name, str(setting_of(snapshot, member.name))
    draining = Draining(name, within, earlier, guard_seconds)
    return Step(
        id="balancer.drain",
        title=_("Take {name} out of the balancer's pool").format(name=name),
        risk=Risk.DISRUPTIVE,
        operation=_operation(site, DRAIN, draining, _SPARE_SECONDS + within),
        undo=_operation(site, SET, Setting(name, earlier)),
        needs=(_may_leave(snapshot, site, member),),
        before=(_is(name, earlier),),
        after=(_is(name, OFFLINE),),
        servers=_servers(site),
        about=f"loadbalancer/{name}",
    )


def enable_step(site: Site, member: MemberFacts, earlier: str = OFFLINE, guard_seconds: float = 0.0) -> Step:
    """Return the step that puts a member back, once it serves its own health body.

    ``earlier`` is what it is set to before. ``guard_seconds`` is for its undo, which takes the member out again.
    Raises RefusedError where it is not known which API instance it is.
    """
    name, instance = member.name, instance_of(site, member)
    if instance is None:
        text = _("It is not known which API instance {name} is: nothing would show that it serves")
        raise RefusedError(
            text.format(name=name), hint=_("[[api.instances]]: its url has to name the address")
        )
    if earlier == OFFLINE:
        back = _operation(site, DRAIN, Draining(name, 0.0, ENABLED, guard_seconds), _SPARE_SECONDS)
    else:
        back = _operation(site, SET, Setting(name, earlier))
    serves = _("{name} serves on its health path").format(name=instance.name)
    gets = _("the balancer gives {name} connections").format(name=name)
    return Step(
        id="balancer.enable",
        title=_("Put {name} back into the balancer's pool").format(name=name),
        risk=Risk.SAFE,
        operation=_operation(site, SET, Setting(name, ENABLED)),
        undo=back,
        needs=(Condition("balancer.may_enter", (name, site.healthy_status(), instance.name), True, serves),),
        before=(_is(name, earlier),),
        after=(_is(name, ENABLED), Condition("balancer.gets_connections", (name,), True, gets)),
        servers=_servers(site),
        about=f"loadbalancer/{name}",
    )


def _operation(site: Site, kind: str, of: Draining | Setting, seconds: float = _SPARE_SECONDS) -> Operation:
    """Return an operation; a command runs on a server where the balancer is controlled by such, or for a watchdog."""
    is_on_server = configured(site).bigip is None or (isinstance(of, Draining) and of.guard_seconds > 0)
    return Operation(kind, asdict(of), watchdog_server(site) if is_on_server else None, seconds)


def watchdog_server(site: Site) -> str | None:
    """Return the server on which a watchdog works: where the commands run, or one that reaches the F5 too."""
    section = configured(site)
    if section.bigip is None:
        return section.commands.server if section.commands is not None else None
    return section.bigip.server or next(iter(site.servers_of("api")), None)


def _servers(site: Site) -> tuple[str, ...]:
    """Return the servers whose members are read; a balancer that is none of our servers is locked with them."""
    return site.servers_of("api")


def _is(name: str, setting: str) -> Condition:
    texts = {
        ENABLED: _("{name} is enabled in the pool"),
        OFFLINE: _("{name} is forced offline in the pool"),
    }.get(setting, _("{name} is disabled in the pool"))
    return Condition("balancer.setting", (name,), setting, texts.format(name=name))


def _may_leave(snapshot: Snapshot, site: Site, member: MemberFacts) -> Condition:
    least = configured(site).least_serving
    pairs: list[str] = []
    for other in _others(snapshot, member):
        instance = instance_of(site, other)
        pairs += [other.name, instance.name if instance else ""]
    text = _("at least {least} other members serve").format(least=least)
    if least == 1:
        text = _("another member serves")
    return Condition("balancer.may_leave", (member.name, site.healthy_status(), least, *pairs), True, text)


def _others(snapshot: Snapshot, member: MemberFacts) -> Iterator[MemberFacts]:
    for other in facts_in(snapshot, BigIpFacts).members:
        if other.name != member.name and not other.is_name:
            yield other


def _looks(site: Site, _name: str, within: str = "") -> tuple[str, ...]:
    configured(site)
    if within and not LEAST_SECONDS <= float(within) <= MOST_SECONDS:
        text = _("{seconds:g} is not between {least:g} and {most:g} seconds")
        words = {"seconds": float(within), "least": LEAST_SECONDS, "most": MOST_SECONDS}
        raise UsageError(text.format(**words))
    return LOOKS


def _typed(name: str, within: str) -> tuple[str, ...]:
    return (name, "--within", within)


@verb("balancer drain", looks=_looks, typed=_typed)
def plan_drain(snapshot: Snapshot, site: Site, name: str, within: str) -> Plan:
    """Plan that a member gets nothing new, and that what it has is waited for.

    Guard: enough others serve, by the balancer's word and by their own.
    """
    member = member_named(snapshot, site, name)
    title = _("Take {name} out of the balancer's pool").format(name=member.name)
    plan = Plan("balancer drain", (member.name, within), title, target=member.name)
    if setting_of(snapshot, member.name) == OFFLINE:
        text = _("{name} is forced offline already").format(name=member.name)
        return replace(plan, nothing_to_do=text)
    section = configured(site)
    if section.bigip is None and member.setting != ENABLED:
        raise UnreadableError(_("what {name} is set to").format(name=member.name))
    step = drain_step(snapshot, site, member, float(within))
    refuse_last(snapshot, site, member)
    return replace(plan, steps=(step,), notes=tuple(_notes(site, member, within)))


def refuse_last(snapshot: Snapshot, site: Site, member: MemberFacts) -> None:
    """Raise RefusedError where too few would serve without a member."""
    least = configured(site).least_serving
    others = list(_others(snapshot, member))
    serving = [
        other.name
        for other in others
        if _serves(snapshot, other.name, _instance_name(site, other), site.healthy_status())
    ]
    if len(serving) < least:
        text = _("Without {name} {count} of {all} other members would serve; at least {least} must")
        words = {"name": member.name, "count": len(serving), "all": len(others), "least": least}
        raise RefusedError(text.format(**words), hint=typed(site, "balancer list"))


def _instance_name(site: Site, member: MemberFacts) -> str:
    instance = instance_of(site, member)
    return instance.name if instance else ""


def _notes(site: Site, member: MemberFacts, within: str) -> Iterator[str]:
    text = _("Requests under way are waited for, at most {seconds} s; new ones go to the others at once")
    yield text.format(seconds=within)
    command = typed(site, f"balancer enable {operands(member.name)}")
    yield _("It stays out until: {command}").format(command=command)
    if configured(site).bigip is not None:
        yield _("It is not saved on the F5: its running configuration alone has it")


@verb("balancer enable", looks=_looks)
def plan_enable(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan that a member gets requests again.

    Guard: it serves its own health body now.
    """
    member = member_named(snapshot, site, name)
    title = _("Put {name} back into the balancer's pool").format(name=member.name)
    plan = Plan("balancer enable", (member.name,), title, target=member.name)
    earlier = str(setting_of(snapshot, member.name))
    if earlier == ENABLED:
        return replace(plan, nothing_to_do=_("{name} is enabled already").format(name=member.name))
    step = enable_step(site, member, earlier)
    instance = _instance_name(site, member)
    if not _answers(snapshot, instance, site.healthy_status()):
        text = _("{name} does not serve on its own health path: customers would get its errors")
        raise RefusedError(text.format(name=instance), hint=typed(site, "diagnose --only api"))
    cures = (f"loadbalancer.member.down@loadbalancer/{member.name}",)
    return replace(plan, steps=(step,), cures=cures)
