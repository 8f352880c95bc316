"""Roots in quotas: a user, a group or a project is refused more, though the disk has space (EDQUOT)."""

from __future__ import annotations

from samaops.causes.disks import CANNOT_WRITE
from samaops.causes.effects import Effects, in_part, name_of, produced, same_server, same_subject
from samaops.causes.root import Rank, Root, each, root, safe, words_of
from samaops.causes.view import Trigger, View
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import on_server, samaops
from samaops.site.shell_words import operands

_LOGS = ("docker.log.trouble", "servers.log.trouble")
_ENDED = ("docker.container.restarting", "docker.container.stopped")


def _is_refused(finding: Finding) -> bool:
    """Return whether a log's own words are those of a quota."""
    return finding.evidence.get("reason") == "quota"


# Of what cannot write, what runs as a user of the same name; of others nobody knows what they run.
_SYSTEM_OF = {
    "postgres": ("postgresql", "backup"),
    "redis": ("redis",),
    "rabbitmq": ("rabbitmq",),
    "minio": ("minio",),
}
# Whose log has the kernel's word for it does not work for that reason.
_ITS_OWN = same_subject(
    "docker.container.*",
    "docker.log.*",
    "postgresql.service.unreachable",
    "postgresql.recovery.active",
    "postgresql.archiver.failing",
    "pgbouncer.service.unreachable",
)
_REFUSED = same_server(*_LOGS, *_ENDED, when=_is_refused)


@root(
    "quota-exceeded",
    on=Trigger("servers.disk.quota", (Status.CRITICAL,)),
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*in_part(CANNOT_WRITE), *_REFUSED),
    distinguished_from=("disk-full", "inodes-exhausted", "blocks-reserved", "filesystem-read-only"),
)
def quota_exceeded(finding: Finding, view: View) -> Root:
    """Whose quota is at its limit is refused, and nobody else."""
    mount = str(finding.evidence.get("mount", "/"))
    disk = [
        seen.title
        for code in ("servers.disk.full", "servers.disk.inodes")
        for seen in view.ok(code, finding.server)
        if seen.evidence.get("mount") == mount
    ]
    text = _(
        "Have what fills it removed by whose it is, or ask for a larger quota (setquota); the disk itself is not full"
    )
    look = on_server(view.site, finding.server, f"repquota -augP {operands(mount)}")
    usage = samaops(view.site, f"disk usage --server {operands(str(finding.server))} {operands(mount)}")
    return Root(
        fixes=(safe("disk.quota", text, look, usage),),
        speaks_for=(words_of(finding), *disk),
        effects=produced((*_suffering(finding), *_REFUSED), finding, view.site),
    )


def _suffering(finding: Finding) -> Effects:
    """Return what cannot write: all of the server where a group or a project is refused, of a user only what he runs."""
    if finding.evidence.get("quota_kind") != "user":
        return CANNOT_WRITE
    systems = _SYSTEM_OF.get(str(finding.evidence.get("quota_name")), ())
    return tuple(effect for effect in CANNOT_WRITE if effect.pattern.partition(".")[0] in systems)


@root(
    "quota-exceeded",
    on=each(*_LOGS, *_ENDED),
    rank=Rank.RESOURCE,
    runbook="disk-full",
    effects=(*_REFUSED, *_ITS_OWN),
)
def quota_in_the_log(finding: Finding, view: View) -> Root | None:
    """The kernel's word for it (EDQUOT) stands in a log: which quota it is may not have been readable."""
    if not _is_refused(finding):
        return None
    title = _("A quota refuses what {name} writes, whatever the disk has left: «{words}»")
    words = str(finding.evidence.get("words") or words_of(finding))
    text = _("See whose quota it is, then have what fills it removed by whose it is, or ask for a larger one")
    look = on_server(view.site, finding.server, "repquota -augP")
    unread = [seen.title for seen in view.not_ok("servers.disk.quota", finding.server)]
    return Root(
        title.format(name=name_of(finding), words=words),
        (safe("disk.quota", text, look),),
        speaks_for=(words_of(finding), *unread),
    )
