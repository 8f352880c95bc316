"""The members of the balancer's pool as a list, as the balancer has them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from samaops.changes.balancer.members import POOL, configured, instance_of
from samaops.facts.loadbalancer import DISABLED, OFFLINE, BigIpFacts, MemberFacts
from samaops.i18n import N_, _, joined
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import diagnose
from samaops.workflows.lists import table

_STATES = {
    "serving": N_("serves"),
    "unwatched": N_("serves (no monitor)"),
    "taken-out": N_("taken out"),
    "limit": N_("at its limit, gets nothing new"),
    "unavailable": N_("gets nothing new for now"),
    "down": N_("down by its monitor"),
    "node-down": N_("down, its node is"),
    "irule-down": N_("marked down by an iRule"),
    "resume": N_("down until a person resumes it"),
    "offline": N_("offline"),
    "unlicensed": N_("not licensed"),
    "checking": N_("its monitor has no answer yet"),
    "fqdn-up": N_("a name that resolves"),
    "fqdn-up-no-address": N_("a name without address"),
    "fqdn-down": N_("a name that cannot be resolved"),
    "fqdn-checking": N_("a name not resolved yet"),
}
_TAKEN_OUT = {
    OFFLINE: N_("taken out (forced offline)"),
    DISABLED: N_("taken out (disabled), keeps its sessions"),
}


def members(site: Site) -> Table:
    """Return the members: those that get nothing first. Raises UsageError, UnavailableError."""
    configured(site)
    message = _("Could not look at the pool of the balancer: {reason}")
    pool = diagnose.facts_of(site, POOL[0], BigIpFacts, message)
    shown = sorted(pool.members, key=lambda member: (member.is_serving, member.name))
    rows = [_row(site, member) for member in shown]
    columns = (
        Column("member", _("member"), is_copied=True),
        Column("instance", _("API instance")),
        Column("words", _("state")),
        Column("connections", _("connections"), True),
        Column("address", _("address")),
    )
    answer, commands = _answer(site, pool)
    return replace(table(site, "balancer_members", columns, rows, answer), commands=commands)


def _row(site: Site, member: MemberFacts) -> dict[str, Any]:
    instance = instance_of(site, member)
    return {
        "member": member.name,
        "instance": instance.name if instance else None,
        "server": instance.server if instance else None,
        "words": _said(member),
        "state": member.state or None,
        "setting": member.setting or None,
        "is_serving": member.is_serving,
        "connections": member.current_connections,
        "address": member.address or None,
        "reason": member.reason or None,
    }


def _said(member: MemberFacts) -> str:
    """Return a state in plain words; one that is not known here in the balancer's own."""
    if member.state == "taken-out" and member.setting in _TAKEN_OUT:
        return _(_TAKEN_OUT[member.setting])
    known = _STATES.get(member.state)
    return _(known) if known else f"{member.availability} {member.monitor_status} {member.reason}".strip()


def _answer(site: Site, pool: BigIpFacts) -> tuple[str, tuple[str, ...]]:
    """Return what the list says, and what to type next."""
    members = [member for member in pool.members if not member.is_name]
    serving = sum(member.is_serving for member in members)
    text = _("{count} of {all} members of {pool} are given connections")
    words = [text.format(count=serving, all=len(members), pool=pool.pool)]
    out = [member.name for member in members if member.is_forced]
    if out:
        words.append(_("taken out by a person: {names}").format(names=", ".join(out)))
    commands = tuple(typed(site, f"balancer enable {name}") for name in out)
    return joined(words), commands
