"""A playbook as text that a person can follow by hand, with the commands of this site. Nothing is looked at."""

from __future__ import annotations

from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from samaops.config import playbooks
from samaops.config.playbooks import NAMES, ByHand, Playbook, PlaybookFix
from samaops.i18n import _
from samaops.model.guide import Guide, GuideCause, GuideFix, GuideHop
from samaops.model.plan import Risk
from samaops.model.table import Column, Table
from samaops.site.commands import on_server, samaops
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

_RISKS = list(Risk)
# What stands for a name that only a diagnosis knows.
_BLANKS = {name: f"<{name}>" for name in NAMES}


def listed(site: Site) -> Table:
    """Return every playbook, those of the site too."""
    rows = tuple(
        {
            "playbook": playbook.id,
            "title": str(playbook.title or ""),
            "causes": len(playbook.causes),
        }
        for playbook in playbooks.all_of(site.settings).values()
    )
    columns = (
        Column("playbook", _("playbook")),
        Column("title", _("symptom")),
        Column("causes", _("causes"), True),
    )
    return Table("playbooks", columns, rows, _("There is no playbook"))


def guide_of(playbook: Playbook, site: Site) -> Guide:
    """Return a playbook to read, in the user's language."""
    hops = tuple(
        GuideHop(
            hop.id,
            str(hop.title),
            str(hop.meaning),
            tuple(_command(by_hand, site) for by_hand in hop.by_hand),
        )
        for hop in playbook.hops
    )
    causes = tuple(
        GuideCause(
            name,
            str(cause.meaning or ""),
            tuple(sorted(cause.fixes, key=lambda fix: _RISKS.index(playbook.fixes[fix].risk))),
        )
        for name, cause in playbook.causes.items()
    )
    fixes = tuple(_fix(playbook, name, fix, site) for name, fix in playbook.fixes.items())
    title, meaning = str(playbook.title or ""), str(playbook.meaning or "")
    others = playbooks.all_of(site.settings)
    see_also = tuple(
        name
        for name in others
        if name != playbook.id and any(fnmatchcase(name, pattern) for pattern in playbook.includes)
    )
    return Guide(playbook.id, title, meaning, hops, causes, fixes, see_also)


def _fix(playbook: Playbook, name: str, fix: PlaybookFix, site: Site) -> GuideFix:
    by_hand = tuple(_command(command, site) for command in fix.by_hand)
    if fix.command is not None:
        command, server = fix.command.format(**_BLANKS), (fix.server or "").format(**_BLANKS)
        by_hand = (on_server(site, server, command),)
    return GuideFix(
        id=name,
        title=str(fix.title).format(**_BLANKS),
        risk=fix.risk.value,
        command=samaops(site, f"troubleshoot {playbook.id} --apply {name}"),
        by_hand=by_hand,
        text=str(fix.text or "").format(**{**_BLANKS, "site": site.settings.site}),
    )


def _command(by_hand: ByHand, site: Site) -> str:
    """Fill in the names of this site; the first worker stands for the one it is about."""
    places = _places(site)
    command = by_hand.command.format(**places)
    return on_server(site, by_hand.server.format(**places), command) if by_hand.server else command


def _places(site: Site) -> dict[str, str]:
    broker, celery, proxy = site.settings.rabbitmq, site.settings.celery, site.settings.proxy
    worker = next(iter(celery.workers.values()), None) if celery else None
    url = urlsplit(proxy.url) if proxy else None
    member, balancer = next(iter(site.members()), None), site.settings.loadbalancer
    return {
        "vip": quoted(balancer.url.rstrip("/")) if balancer else "VIP",
        "member": quoted(member.url.rstrip("/")) if member else "MEMBER",
        "member_server": member.server if member else "api",
        "container": operands((member.container if member else None) or "CONTAINER"),
        "broker": (broker.container if broker else None) or "BROKER",
        "broker_server": broker.server if broker else "api",
        "worker": (worker.container if worker else None) or "WORKER",
        "worker_server": worker.server if worker else "workers",
        "proxy": f"{url.scheme}://{url.hostname}:{url.port or 80}" if url else "PROXY",
        "proxy_address": f"{url.hostname}:{url.port or 80}" if url else "PROXY:PORT",
        "queue": "QUEUE",
        "celery": f"{celery.command} -A {celery.app}" if celery else "celery -A app.celery_app",
    }
