"""Judge the quotas of users, groups and projects: who is refused though the disk has space."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, check
from samaops.facts.servers import Quota, Quotas, QuotaUse, ServerFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.model.quantities import size
from samaops.model.status import Status
from samaops.site.shell_words import operands

_WHOSE = {"user": N_("user {name}"), "group": N_("group {name}"), "project": N_("project {name}")}
_FLAGS = {"user": "-u", "group": "-g", "project": "-P"}
_SHOWN = 10


# At the hard limit, or over the soft one when its grace is over, the kernel refuses more (EDQUOT): quota(1), setquota(8).
@check("servers.disk.quota", ServerFacts, needs=("quotas",), warning=90, critical=100, unit="%")
def quotas(server: ServerFacts, context: Context) -> Iterator[Finding]:
    if server.quotas is None:
        yield context.skipped(_("nobody asked for quotas"))
        return
    if not server.quotas:
        yield context.ok(_("No file system enforces quotas"), value=0)
    for mount in dict.fromkeys(each.mount for each in server.quotas):
        of_mount = [each for each in server.quotas if each.mount == mount]
        yield _of_mount(mount, of_mount, context.about(f"{context.subject}:{mount}"))


def _of_mount(mount: str, quotas: list[Quotas], context: Context) -> Finding:
    near = sorted((quota for each in quotas for quota in each.near), key=_order, reverse=True)
    unseen = next((each for each in quotas if each.unseen), None)
    evidence: Evidence = {"mount": mount, "limited": sum(each.limited for each in quotas)}
    if near and (unseen is None or _fullest(near[0])[1].refuses):
        return _worst(near, {**evidence, **_evidence_of(near)}, context)
    if unseen is not None:
        text = _("{mount} enforces quotas, and they could not be read: {reason}")
        return context.unknown(
            text.format(mount=mount, reason=unseen.unseen),
            evidence={**evidence, "kind": unseen.kind},
            hint=context.on_server(f"repquota -ugP {operands(mount)}"),
        )
    title = _("No quota of {mount} is near its limit ({count} have one)")
    return context.ok(title.format(mount=mount, count=evidence["limited"]), value=0, evidence=evidence)


def _worst(near: list[Quota], evidence: Evidence, context: Context) -> Finding:
    quota = near[0]
    what, use = _fullest(quota)
    amounts = (size(use.used), size(use.limit)) if what == "space" else (str(use.used), str(use.limit))
    words = {"whose": whose(quota), "mount": quota.mount, "used": amounts[0], "limit": amounts[1]}
    if use.refuses and what == "space":
        title = _(
            "The quota of {whose} on {mount} refuses more: {used} of {limit}, whatever the disk has left"
        )
    elif use.refuses:
        title = _(
            "The quota of {whose} on {mount} refuses more files: {used} of {limit}, whatever the disk has left"
        )
    elif what == "space":
        title = _("The quota of {whose} on {mount} has {used} of {limit}")
    else:
        title = _("The quota of {whose} on {mount} has {used} files of {limit}")
    status = Status.CRITICAL if use.refuses else context.status_above(min(use.percent, 99.9))
    hint = context.on_server(f"repquota -n {_FLAGS.get(quota.kind, '-u')} {operands(quota.mount)}")
    return context.finding(status, title.format(**words), value=use.percent, evidence=evidence, hint=hint)


def whose(quota: Quota) -> str:
    """Return whose quota it is, for people."""
    return _(_WHOSE.get(quota.kind, "{name}")).format(name=quota.name or f"#{quota.number}")


def _fullest(quota: Quota) -> tuple[str, QuotaUse]:
    """Return of which a quota has least left: space, or files."""
    uses = (("space", quota.space), ("files", quota.files))
    return max(uses, key=lambda use: (use[1].refuses, use[1].percent))


def _order(quota: Quota) -> tuple[bool, float]:
    use = _fullest(quota)[1]
    return use.refuses, use.percent


def _evidence_of(near: list[Quota]) -> Evidence:
    what, use = _fullest(near[0])
    return {
        "quota_kind": near[0].kind,
        "quota_name": near[0].name or f"#{near[0].number}",
        "what": what,
        "used": use.used,
        "soft": use.soft,
        "hard": use.hard,
        "refuses": use.refuses,
        "near": [
            {
                "kind": quota.kind,
                "name": quota.name or f"#{quota.number}",
                "percent": _fullest(quota)[1].percent,
            }
            for quota in near[:_SHOWN]
        ],
    }
