"""Judge the balancer's own view of pool and virtual server; its codes are those of loadbalancer."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.loadbalancer import AVAILABLE, BigIpFacts, MemberFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops
from samaops.site.shell_words import quoted

access(
    "loadbalancer.management.unreachable",
    BigIpFacts,
    title=lambda bigip: _("The balancer shows the pool {pool}: {count} members").format(
        pool=bigip.pool, count=len(bigip.members)
    ),
)


# What each state of a member means; ``{name}`` and ``{reason}`` are the F5's words.
_MEMBER_STATES = {
    "serving": (Status.OK, N_("The balancer gives connections to {name}")),
    "unwatched": (Status.OK, N_("The balancer gives connections to {name}, which no monitor looks at")),
    "taken-out": (Status.WARNING, N_("The pool member {name} was taken out by a person: {reason}")),
    "limit": (
        Status.WARNING,
        N_("The pool member {name} is at its limit and gets no new connections: {reason}"),
    ),
    "unavailable": (Status.WARNING, N_("The pool member {name} gets no new connections for now: {reason}")),
    "down": (Status.CRITICAL, N_("The pool member {name} is down by its monitor: {reason}")),
    "node-down": (Status.CRITICAL, N_("The pool member {name} is down because its node is: {reason}")),
    "irule-down": (Status.CRITICAL, N_("The pool member {name} was marked down by an iRule: {reason}")),
    "resume": (
        Status.CRITICAL,
        N_(
            "The pool member {name} stays down until a person resumes it, whatever its monitor sees: {reason}"
        ),
    ),
    "offline": (Status.CRITICAL, N_("The pool member {name} is offline: {reason}")),
    "unlicensed": (Status.CRITICAL, N_("The F5 has no licence to serve its member {name}: {reason}")),
    "checking": (Status.UNKNOWN, N_("The F5's monitor has no answer of {name} yet: {reason}")),
    "fqdn-up": (Status.OK, N_("The F5 resolves {name}")),
    "fqdn-up-no-address": (Status.CRITICAL, N_("The F5 gets no address for {name}: {reason}")),
    "fqdn-down": (Status.CRITICAL, N_("The F5 cannot resolve {name}: {reason}")),
    "fqdn-checking": (Status.UNKNOWN, N_("The F5 has not resolved {name} yet: {reason}")),
}
_OTHER_STATE = (Status.UNKNOWN, N_("The balancer says of {name} what is not known here: {words}"))


@check("loadbalancer.member.down", BigIpFacts)
def members(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    for member in bigip.members:
        status, title = _MEMBER_STATES.get(member.state, _OTHER_STATE)
        words = (member.availability, member.enabled, member.monitor_status, member.session, member.reason)
        yield context.about(f"loadbalancer/{member.name}").finding(
            status,
            _(title).format(
                name=member.name, reason=member.reason or "?", words=", ".join(filter(None, words)) or "?"
            ),
            evidence=_evidence(member, context),
            hint=_members_command(bigip, context),
        )


@check("loadbalancer.pool.down", BigIpFacts)
def pool(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    members = [member for member in bigip.members if not member.is_name]
    serving = [member.name for member in members if member.is_serving]
    unclear = [member.name for member in members if member.state in ("", "checking")]
    names = [member.name for member in members]
    evidence = {"pool": bigip.pool, "serving": serving, "members": names}
    hint = _members_command(bigip, context)
    if serving:
        title = _("{count} of {all} members of {pool} are given connections").format(
            count=len(serving), all=len(members), pool=bigip.pool
        )
        yield context.ok(title, value=len(serving), evidence=evidence)
    elif unclear:
        title = _("Whether the pool {pool} has a member to send to is not known: {names}").format(
            pool=bigip.pool, names=", ".join(unclear)
        )
        yield context.unknown(title, evidence=evidence, hint=hint)
    else:
        title = _("The pool {pool} has no member to send to").format(pool=bigip.pool)
        yield context.crit(title, value=0, evidence=evidence, hint=hint)


@check("loadbalancer.virtual.down", BigIpFacts, needs=("virtual",))
def virtual(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    if not bigip.virtual_server:
        return  # its commands tell its members alone
    evidence = {
        "virtual_server": bigip.virtual_server,
        "availability": bigip.virtual_availability,
        "enabled": bigip.virtual_enabled,
        "reason": bigip.virtual_reason,
    }
    hint = f"tmsh show ltm virtual {quoted(bigip.virtual_server)}"
    name, state, reason = bigip.virtual_server, bigip.virtual_availability, bigip.virtual_reason or "?"
    if (bigip.virtual_enabled or "").startswith("disabled"):
        title = _("The virtual server {name} was disabled by a person: {reason}")
        yield context.crit(title.format(name=name, reason=reason), evidence=evidence, hint=hint)
    elif state in (AVAILABLE, "unknown"):
        yield context.ok(_("The virtual server {name} is available").format(name=name))
    elif state == "unavailable":
        title = _("The virtual server {name} takes no new connections for now: {reason}")
        yield context.crit(title.format(name=name, reason=reason), evidence=evidence, hint=hint)
    elif state in ("offline", "unlicensed"):
        title = _("The virtual server {name} does not serve: {state}, {reason}")
        yield context.crit(title.format(name=name, state=state, reason=reason), evidence=evidence, hint=hint)
    elif state is None:
        yield context.unknown(_("The F5 told nothing of {name}").format(name=name), evidence=evidence)
    else:
        title = _(_OTHER_STATE[1]).format(name=name, words=f"{state}, {reason}")
        yield context.unknown(title, evidence=evidence, hint=hint)


@check("loadbalancer.monitor.weak", BigIpFacts, needs=("monitors",))
def looks_at_body(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    if not bigip.virtual_server:
        return
    monitors = bigip.monitors or ()
    evidence = {"monitors": {monitor.name: monitor.receive for monitor in monitors}, "pool": bigip.pool}
    demanding = [monitor.name for monitor in monitors if monitor.receive]
    if demanding:
        title = _("The monitor {name} looks for a text in the answer").format(name=", ".join(demanding))
        yield context.ok(title, evidence=evidence)
    elif not monitors:
        title = _("The pool {pool} has no monitor: a dead member stays in it").format(pool=bigip.pool)
        yield context.warn(title, evidence=evidence, hint=f"tmsh list ltm pool {quoted(bigip.pool)} monitor")
    else:
        names = ", ".join(monitor.name for monitor in monitors)
        title = _("The monitor {name} accepts any answer, also an error").format(name=names)
        yield context.warn(
            title, evidence=evidence, hint=f"tmsh list ltm monitor http {quoted(monitors[0].name)}"
        )


def _members_command(bigip: BigIpFacts, context: Context) -> str:
    """Return what shows the members; those who look after an F5 know its own words for that."""
    if bigip.virtual_server:
        return f"tmsh show ltm pool {quoted(bigip.pool)} members"
    return samaops(context.site, "balancer list")


def _evidence(member: MemberFacts, context: Context) -> Evidence:
    instance = context.site.member_at(member.address) or context.site.member(member.name)
    return {
        "member": member.name,
        "instance": instance.name if instance else "",
        "availability": member.availability,
        "enabled": member.enabled,
        "reason": member.reason,
        "monitor_status": member.monitor_status,
        "session": member.session,
        "forced": member.is_forced,
        "state": member.state,
        "current_connections": member.current_connections,
    }
