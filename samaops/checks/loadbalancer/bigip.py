"""Judge the F5's own view of pool and virtual server; its codes are those of loadbalancer."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.loadbalancer import AVAILABLE, BigIpFacts, MemberFacts
from samaops.i18n import _
from samaops.model.finding import Finding

access(
    "loadbalancer.management.unreachable",
    BigIpFacts,
    title=lambda bigip: _("The F5 shows the pool {pool}: {count} members").format(
        pool=bigip.pool, count=len(bigip.members)
    ),
)


@check("loadbalancer.member.down", BigIpFacts)
def members(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    hint = f"tmsh show ltm pool {bigip.pool} members"
    for member in bigip.members:
        about = context.about(f"loadbalancer/{member.name}")
        evidence = _evidence(member)
        if member.is_serving:
            title = _("The F5 gives connections to {name}").format(name=member.name)
            yield about.ok(title, evidence=evidence)
        elif member.is_forced:
            title = _("The F5 member {name} was taken out by a person: {reason}")
            title = title.format(name=member.name, reason=member.reason)
            yield about.warn(title, evidence=evidence, hint=hint)
        else:
            title = _("The F5 member {name} is down by its monitor: {reason}")
            title = title.format(name=member.name, reason=member.reason)
            yield about.crit(title, evidence=evidence, hint=hint)


@check("loadbalancer.pool.down", BigIpFacts)
def pool(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    serving = [member.name for member in bigip.members if member.is_serving]
    names = [member.name for member in bigip.members]
    evidence = {"pool": bigip.pool, "serving": serving, "members": names}
    if serving:
        title = _("{count} of {all} members of {pool} are given connections").format(
            count=len(serving), all=len(bigip.members), pool=bigip.pool
        )
        yield context.ok(title, value=len(serving), evidence=evidence)
    else:
        title = _("The pool {pool} has no member to send to").format(pool=bigip.pool)
        yield context.crit(title, value=0, evidence=evidence, hint=f"tmsh show ltm pool {bigip.pool} members")


@check("loadbalancer.virtual.down", BigIpFacts, needs=("virtual",))
def virtual(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    evidence = {
        "virtual_server": bigip.virtual_server,
        "availability": bigip.virtual_availability,
        "enabled": bigip.virtual_enabled,
        "reason": bigip.virtual_reason,
    }
    is_enabled = (bigip.virtual_enabled or "enabled") == "enabled"
    if bigip.virtual_availability in (AVAILABLE, "unknown") and is_enabled:
        yield context.ok(_("The virtual server {name} is available").format(name=bigip.virtual_server))
    elif bigip.virtual_availability is None:
        yield context.unknown(
            _("The F5 told nothing of {name}").format(name=bigip.virtual_server), evidence=evidence
        )
    else:
        title = _("The virtual server {name} does not serve: {state}, {enabled}, {reason}").format(
            name=bigip.virtual_server,
            state=bigip.virtual_availability,
            enabled=bigip.virtual_enabled,
            reason=bigip.virtual_reason,
        )
        yield context.crit(title, evidence=evidence, hint=f"tmsh show ltm virtual {bigip.virtual_server}")


@check("loadbalancer.monitor.weak", BigIpFacts, needs=("monitors",))
def looks_at_body(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    monitors = bigip.monitors or ()
    evidence = {"monitors": {monitor.name: monitor.receive for monitor in monitors}, "pool": bigip.pool}
    demanding = [monitor.name for monitor in monitors if monitor.receive]
    if demanding:
        title = _("The monitor {name} looks for a text in the answer").format(name=", ".join(demanding))
        yield context.ok(title, evidence=evidence)
    elif not monitors:
        title = _("The pool {pool} has no monitor: a dead member stays in it").format(pool=bigip.pool)
        yield context.warn(title, evidence=evidence, hint=f"tmsh list ltm pool {bigip.pool} monitor")
    else:
        names = ", ".join(monitor.name for monitor in monitors)
        title = _("The monitor {name} accepts any answer, also an error").format(name=names)
        yield context.warn(title, evidence=evidence, hint=f"tmsh list ltm monitor http {monitors[0].name}")


def _evidence(member: MemberFacts) -> Evidence:
    return {
        "member": member.name,
        "availability": member.availability,
        "enabled": member.enabled,
        "reason": member.reason,
        "monitor_status": member.monitor_status,
        "session": member.session,
        "forced": member.is_forced,
        "current_connections": member.current_connections,
    }
