"""Judge the F5's own view of pool and virtual server; its codes are those of loadbalancer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.loadbalancer import AVAILABLE, BigIpFacts, MemberFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding

TMSH_MEMBERS = "tmsh show ltm pool samaconso_api_pool members"
TMSH_MONITOR = "tmsh list ltm monitor http http_health_samaconso"


@check(
    "loadbalancer.management.unreachable",
    title=N_("The F5's management interface answers"),
    facts=BigIpFacts,
    access=True,
    explain=Explanation(
        meaning=N_("Only the F5's own view is missing; customers are served through another interface."),
        confirm=("curl -sk -u samaops https://<f5>/mgmt/tm/ltm/pool/~Common~samaconso_api_pool",),
        fix=N_(
            "Ask the network team for the management address, the user's role (guest is enough) and iControl REST."
        ),
    ),
)
def answers(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    title = _("The F5 shows the pool {pool}: {count} members").format(
        pool=bigip.pool, count=len(bigip.members)
    )
    yield context.ok(title)


@check(
    "loadbalancer.member.down",
    title=N_("Each pool member is given connections"),
    facts=BigIpFacts,
    explain=Explanation(
        meaning=N_(
            "The F5 sends nothing to this member. Offline and enabled: its monitor found it down. Disabled or "
            "forced: a person took it out, and it stays out until a person brings it back."
        ),
        confirm=(TMSH_MEMBERS, "curl -si -m 5 http://<serveur api>:8001/health"),
        fix=N_(
            "Down by the monitor: repair the member, or the body its monitor looks for. Forced: ask the network "
            "team who did it and why, then have it enabled."
        ),
        avoid=N_("Do not enable a member that was taken out on purpose before you know why."),
    ),
)
def members(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    for member in bigip.members:
        yield _judge_member(member, context, f"tmsh show ltm pool {bigip.pool} members")


def _judge_member(member: MemberFacts, context: Context, hint: str) -> Finding:
    fields: dict[str, Any] = {"subject": f"loadbalancer/{member.name}", "evidence": _evidence(member)}
    words = {"name": member.name, "reason": member.reason}
    if member.is_serving:
        return context.ok(_("The F5 gives connections to {name}").format(**words), **fields)
    fields["hint"] = hint
    if member.is_forced:
        title = _("The F5 member {name} was taken out by a person: {reason}")
        return context.warn(title.format(**words), **fields)
    title = _("The F5 member {name} is down by its monitor: {reason}")
    return context.crit(title.format(**words), **fields)


@check(
    "loadbalancer.pool.down",
    title=N_("The pool has a member to send to"),
    facts=BigIpFacts,
    explain=Explanation(
        meaning=N_("The F5 has no member left: it accepts customers' connections and resets them."),
        confirm=(TMSH_MEMBERS,),
        fix=N_(
            "When the members answer directly, the monitor is wrong or they were taken out; else look at api."
        ),
        avoid=N_("Do not remove the monitor to make the pool green."),
    ),
)
def pool(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    serving = [one.name for one in bigip.members if one.is_serving]
    evidence = {"pool": bigip.pool, "serving": serving, "members": [one.name for one in bigip.members]}
    if serving:
        title = _("{count} of {all} members of {pool} are given connections").format(
            count=len(serving), all=len(bigip.members), pool=bigip.pool
        )
        yield context.ok(title, value=len(serving), evidence=evidence)
    else:
        title = _("The pool {pool} has no member to send to").format(pool=bigip.pool)
        yield context.crit(title, value=0, evidence=evidence, hint=f"tmsh show ltm pool {bigip.pool} members")


@check(
    "loadbalancer.virtual.down",
    title=N_("The virtual server is available and enabled"),
    facts=BigIpFacts,
    needs=("virtual",),
    explain=Explanation(
        meaning=N_("The F5 itself says that the address of the customers does not serve, or was disabled."),
        confirm=("tmsh show ltm virtual samaconso_api_vip",),
        fix=N_(
            "Disabled: ask the network team who did it. Offline: its pool has no member, see loadbalancer.pool.down."
        ),
    ),
)
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


@check(
    "loadbalancer.monitor.weak",
    title=N_("The pool's monitor looks at the body"),
    facts=BigIpFacts,
    needs=("monitors",),
    explain=Explanation(
        meaning=N_(
            "Without a receive string an HTTP monitor takes any answer for good, also a 500: a sick member stays in "
            'the pool. The guide\'s monitor receives "running".'
        ),
        confirm=(TMSH_MONITOR,),
        fix=N_(
            'Have the network team set recv "running" on the monitor, after each member was seen to send it.'
        ),
        avoid=N_(
            "Do not set a receive string that one of the members does not send: it goes out of the pool at once."
        ),
    ),
)
def monitor(bigip: BigIpFacts, context: Context) -> Iterator[Finding]:
    found = bigip.monitors or ()
    evidence: dict[str, Any] = {"monitors": {one.name: one.receive for one in found}, "pool": bigip.pool}
    if any(one.receive for one in found):
        names = ", ".join(one.name for one in found if one.receive)
        yield context.ok(
            _("The monitor {name} looks for a text in the answer").format(name=names), evidence=evidence
        )
    elif not found:
        title = _("The pool {pool} has no monitor: a dead member stays in it").format(pool=bigip.pool)
        yield context.warn(title, evidence=evidence, hint=f"tmsh list ltm pool {bigip.pool} monitor")
    else:
        names = ", ".join(one.name for one in found)
        title = _("The monitor {name} accepts any answer, also an error").format(name=names)
        yield context.warn(title, evidence=evidence, hint=f"tmsh list ltm monitor http {found[0].name}")


def _evidence(member: MemberFacts) -> dict[str, Any]:
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
