"""Roots in the balancer: a member that is kept out, though it serves; and an address that fails before members that serve."""

from __future__ import annotations

from samaops.causes.effects import codes, name_of
from samaops.causes.root import Rank, Root, each, root, safe, together, words_of
from samaops.causes.topology import effects_of_system
from samaops.causes.view import View, failed
from samaops.i18n import _
from samaops.model.cause import Verdict
from samaops.model.finding import Finding
from samaops.site.commands import samaops
from samaops.site.shell_words import operands, quoted

_NOBODY_LEFT = codes("loadbalancer.pool.down", "loadbalancer.virtual.down", "loadbalancer.vip.*")
_BY_ITS_MONITOR = ("down", "resume")


@root(
    "member-taken-out",
    "monitor-does-not-match",
    on="loadbalancer.member.down",
    rank=Rank.PART,
    runbook="api-down",
    effects=_NOBODY_LEFT,
    distinguished_from=("api-unhealthy", "api-down"),
)
def member_kept_out(finding: Finding, view: View) -> Root | None:
    """A person took it out, or a monitor looks for what it never says; it serves when it is asked itself."""
    instance, state = str(finding.evidence.get("instance") or ""), finding.evidence.get("state")
    subject = f"api/{instance}"
    well = [
        health
        for code in ("api.health.failing", "api.health.wrong_body")
        for health in view.ok(code)
        if health.subject == subject
    ]
    if len(well) < 2:
        return None  # it is out because it does not serve, or nobody knows whether it does
    # Only where nobody is left do customers notice.
    effects = _NOBODY_LEFT if view.bad("loadbalancer.pool.down") else ()
    spoken = (words_of(finding), *(health.title for health in well))
    if state == "taken-out":
        text = _("Ask who took it out and why; then put it back: it serves")
        enable = samaops(view.site, f"balancer enable {operands(instance)}")
        return Root(
            fixes=(safe("balancer.enable", text, enable),), speaks_for=spoken, effects=effects, is_proof=True
        )
    if state not in _BY_ITS_MONITOR:
        return None
    title = _("The balancer's monitor takes {name} for down, and it serves")
    text = _("Ask the network team what the monitor sends and expects; it must fit what the member answers")
    member = view.site.member(instance)
    look = f"curl -si -m 5 {quoted(member.url)}/health" if member else samaops(view.site, "balancer list")
    return Root(
        title.format(name=name_of(finding)),
        (safe("loadbalancer.monitor", text, look),),
        id="monitor-does-not-match",
        speaks_for=spoken,
        effects=effects,
        is_proof=True,
    )


@root(
    "keepalive-shorter-than-balancer",
    on=together("api.keepalive.short"),
    rank=Rank.PART,
    runbook="api-down",
)
def keepalive_shorter(_finding: Finding, view: View) -> Root:
    """The balancer sends a request on a connection that the member just ends: a rare 502 at low load."""
    text = _(
        "Let the members keep idle connections longer than the balancer (--timeout-keep-alive), one after the other"
    )
    members = view.bad("api.keepalive.short")
    return Root(
        fixes=(safe("api.keepalive", text, "ps -eo args | grep -F uvicorn"),),
        verdict=Verdict.PROBABLE,
        speaks_for=tuple(words_of(member) for member in members),
        triggers=members,
    )


@root(
    "loadbalancer-fault",
    on=each(failed("loadbalancer.vip.unreachable"), "loadbalancer.vip.failing"),
    rank=Rank.WORK,
    runbook="api-down",
    effects=effects_of_system("loadbalancer"),
)
def loadbalancer_fault(finding: Finding, view: View) -> Root:
    """The virtual address fails while members answer."""
    text = _("Ask the network team for the state of the pool members: down by monitor, or forced offline?")
    members = [
        _("{name} answers directly").format(name=name_of(member))
        for member in view.ok("api.member.unreachable")
    ]
    return Root(
        fixes=(safe("loadbalancer.members", text, "tmsh show ltm pool samaconso_api_pool members"),),
        # Without a member that was seen to serve, the fault may as well be behind it.
        verdict=Verdict.CONFIRMED if members else Verdict.PROBABLE,
        speaks_for=(words_of(finding), *members),
    )
