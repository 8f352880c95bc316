"""Judge how the servers and what stands before them were prepared, for the checklists; what runs is judged elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from samaops.checks.registry import Context, access, access_check, check
from samaops.facts.checklist import BalancerFacts, BookFacts, HostFacts, NameFacts
from samaops.facts.docker import DockerFacts
from samaops.facts.loadbalancer import BigIpFacts
from samaops.facts.postgresql import PostgresFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.site import guide_servers

# Of what a seller or a kernel keeps for itself, a machine shows a little less than was ordered.
_TOLERATED = 0.9
_RESTARTS = ("always", "unless-stopped")
_SHOWN = 5

access(
    "checklist.book.unreadable",
    BookFacts,
    title=lambda book: ngettext(
        "{count} entry of the checklists is kept",
        "{count} entries of the checklists are kept",
        len(book.entries),
    ).format(count=len(book.entries)),
)
access(
    "checklist.host.unreadable",
    HostFacts,
    title=lambda host: _("{release}, {count} cores").format(release=host.release, count=host.processors),
)


@check("checklist.system.release", HostFacts)
def release(host: HostFacts, context: Context) -> Iterator[Finding]:
    if not host.release.strip():
        yield context.not_given("release")
        return
    if host.release == guide_servers.RELEASE:
        yield context.ok(_("The server runs {release}").format(release=host.release))
        return
    text = _("The server runs {release}, and the guide wants {wanted}")
    yield context.warn(text.format(release=host.release, wanted=guide_servers.RELEASE))


@check("checklist.hardware.small", HostFacts)
def size(host: HostFacts, context: Context) -> Iterator[Finding]:
    least = guide_servers.least_size(context.site, context.server or "")
    gigabytes = f"{host.memory_bytes / guide_servers.GB:.0f}"
    disk = "?" if host.disk_bytes is None else f"{host.disk_bytes / guide_servers.GB:.0f}"
    words = _("{cores} cores, {memory} GB of memory, {disk} GB of disk")
    has = words.format(cores=host.processors, memory=gigabytes, disk=disk)
    evidence = {
        "processors": host.processors,
        "memory_bytes": host.memory_bytes,
        "disk_bytes": host.disk_bytes,
    }
    is_small = (
        host.processors < least.processors
        or host.memory_bytes < least.memory_bytes * _TOLERATED
        or (host.disk_bytes is not None and host.disk_bytes < least.disk_bytes * _TOLERATED)
    )
    if is_small:
        wanted = words.format(
            cores=least.processors,
            memory=f"{least.memory_bytes / guide_servers.GB:.0f}",
            disk=f"{least.disk_bytes / guide_servers.GB:.0f}",
        )
        title = _("{server} has {has}; the guide wants {wanted}")
        yield context.warn(title.format(server=context.server, has=has, wanted=wanted), evidence=evidence)
    elif host.disk_bytes is None:
        yield context.not_given("disk_bytes")
    else:
        yield context.ok(_("{server} has {has}").format(server=context.server, has=has), evidence=evidence)


@check("checklist.ssh.passwords", HostFacts, needs=("sshd",))
def passwords(host: HostFacts, context: Context) -> Iterator[Finding]:
    assert host.sshd is not None
    allowing = [
        name
        for name in ("passwordauthentication", "kbdinteractiveauthentication")
        if host.sshd.get(name) == "yes"
    ]
    if "passwordauthentication" not in host.sshd:
        yield context.not_given("passwordauthentication")
    elif allowing:
        title = _("sshd of {server} still takes passwords: {names}")
        yield context.warn(title.format(server=context.server, names=", ".join(allowing)))
    elif host.sshd.get("pubkeyauthentication") == "no":
        yield context.warn(_("sshd of {server} takes no keys").format(server=context.server))
    else:
        yield context.ok(_("sshd of {server} takes keys alone").format(server=context.server))


@check("checklist.sudo.refused", HostFacts)
def sudo(host: HostFacts, context: Context) -> Iterator[Finding]:
    names = {"user": host.user, "server": context.server}
    if not host.may_sudo:
        yield context.warn(_("{user} may not use sudo on {server} without a password").format(**names))
    elif host.user == "root":
        yield context.ok(_("root is logged in to {server}, and needs no sudo").format(**names))
    else:
        yield context.ok(_("{user} may use sudo on {server}").format(**names))


@check("checklist.fail2ban.missing", HostFacts, needs=("fail2ban",))
def fail2ban(host: HostFacts, context: Context) -> Iterator[Finding]:
    names = {"server": context.server, "jails": ", ".join(host.jails or ())}
    evidence = {"state": host.fail2ban, "jails": list(host.jails or ())}
    if host.fail2ban == "absent":
        yield context.warn(_("Fail2ban is not installed on {server}").format(**names), evidence=evidence)
    elif host.fail2ban == "stopped":
        yield context.warn(_("Fail2ban does not run on {server}").format(**names), evidence=evidence)
    elif host.jails is None:
        yield context.unknown(
            _("Fail2ban runs on {server}; what it watches could not be seen").format(**names)
        )
    elif not any("ssh" in jail for jail in host.jails):
        yield context.warn(_("Fail2ban on {server} does not watch sshd").format(**names), evidence=evidence)
    else:
        yield context.ok(_("Fail2ban on {server} watches {jails}").format(**names), evidence=evidence)


@check("checklist.firewall.open", HostFacts, needs=("input_policy",))
def firewall(host: HostFacts, context: Context) -> Iterator[Finding]:
    evidence = {"input_policy": host.input_policy}
    if host.input_policy == "accept":
        title = _("The firewall of {server} lets in what no rule names")
        yield context.crit(title.format(server=context.server), evidence=evidence)
    else:
        title = _("The firewall of {server} lets in only what its rules name")
        yield context.ok(title.format(server=context.server), evidence=evidence)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


@check("checklist.docker.old", HostFacts)
def docker(host: HostFacts, context: Context) -> Iterator[Finding]:
    if context.server not in context.site.containers():
        yield context.skipped(_("no container of the application runs there"))
        return
    parts = (
        ("Docker", host.docker, guide_servers.LEAST_DOCKER),
        ("Docker Compose", host.compose, guide_servers.LEAST_COMPOSE),
    )
    evidence = {"docker": host.docker, "compose": host.compose}
    for name, version, least in parts:
        if not version:
            title = _("{name} is not installed on {server}").format(name=name, server=context.server)
            yield context.warn(title, evidence=evidence)
            return
        if _numbers(version) < least:
            text = _("{name} {version} on {server} is older than the guide wants: {wanted}")
            wanted = ".".join(map(str, least))
            title = text.format(name=name, version=version, server=context.server, wanted=wanted)
            yield context.warn(title, evidence=evidence)
            return
    text = _("Docker {docker} and Docker Compose {compose} are on {server}")
    yield context.ok(
        text.format(docker=host.docker, compose=host.compose, server=context.server), evidence=evidence
    )


@check("checklist.exporters.missing", HostFacts, needs=("ports",))
def exporters(host: HostFacts, context: Context) -> Iterator[Finding]:
    assert host.ports is not None
    server = context.server or ""
    address = context.site.address_of(server)
    # Who listens on another address of the machine is not what Prometheus reaches at this one.
    heard = {port for place, port in host.ports if place in ("*", "0.0.0.0", "::", address)}  # noqa: S104 - read
    wanted = guide_servers.exporters_of(context.site, server)
    missing = [f"{name} ({port})" for name, port in wanted if port not in heard]
    if missing:
        title = _("Nothing listens on {server} for Prometheus: {names}")
        yield context.warn(
            title.format(server=server, names=", ".join(missing)), evidence={"missing": missing}
        )
        return
    title = _("The exporters of {server} listen: {names}")
    yield context.ok(title.format(server=server, names=", ".join([name for name, _port in wanted])))


@check("checklist.users.missing", HostFacts, needs=("users",))
def users(host: HostFacts, context: Context) -> Iterator[Finding]:
    assert host.users is not None
    wanted = guide_servers.users_of(context.site, context.server or "")
    missing = [name for name in wanted if name not in host.users]
    if not wanted:
        yield context.ok(
            _("The services of {server} need no user of their own").format(server=context.server)
        )
    elif missing:
        title = _("{server} has no user {names}").format(server=context.server, names=", ".join(missing))
        yield context.warn(title, evidence={"missing": missing})
    else:
        title = _("{server} has the users of its services: {names}")
        yield context.ok(title.format(server=context.server, names=", ".join(wanted)))


@check("checklist.secrets.readable", HostFacts, needs=("secrets",))
def secret_files(host: HostFacts, context: Context) -> Iterator[Finding]:
    """Guide, part 1: ``chmod 600 /opt/samaconso/.env.production``; a group of its own may read too."""
    assert host.secrets is not None
    server = context.server or ""
    if not host.secrets:
        if server in context.site.servers_of("api", "celery"):
            title = _("No file of secrets was found under /opt of {server}")
            yield context.unknown(title.format(server=server))
        else:
            yield context.skipped(_("no file of secrets lies there"))
        return
    loose = [
        f"{path} ({mode})"
        for mode, _owner, path in host.secrets
        if int(mode, 8) & 0o007 or int(mode, 8) & 0o020
    ]
    evidence = {"files": [f"{mode} {owner} {path}" for mode, owner, path in host.secrets]}
    if loose:
        title = _("Others may read or write files of secrets on {server}: {names}")
        names = ", ".join(loose[:_SHOWN])
        yield context.crit(title.format(server=server, names=names), evidence=evidence)
        return
    title = ngettext(
        "{count} file of secrets on {server} is its owner's alone",
        "{count} files of secrets on {server} are their owner's alone",
        len(host.secrets),
    )
    yield context.ok(title.format(count=len(host.secrets), server=server), evidence=evidence)


@access_check("checklist.dns.unresolved", NameFacts)
def names(facts: NameFacts, context: Context) -> Iterator[Finding]:
    if facts.addresses:
        title = _("{name} leads to {addresses}")
        yield context.ok(title.format(name=facts.name, addresses=", ".join(facts.addresses)))
    else:
        yield context.crit(_("There is no name {name}").format(name=facts.name))


@check("checklist.postgresql.old", PostgresFacts)
def postgresql(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    major = facts.version_number // 10_000
    names = {"version": facts.version, "wanted": guide_servers.LEAST_POSTGRESQL}
    if major < guide_servers.LEAST_POSTGRESQL:
        yield context.warn(_("PostgreSQL {version} is older than the guide wants: {wanted}").format(**names))
    elif major > guide_servers.LEAST_POSTGRESQL:
        text = _("PostgreSQL {version} is newer than what the guide was tried with: {wanted}")
        yield context.warn(text.format(**names))
    else:
        yield context.ok(_("PostgreSQL {version} is what the guide wants").format(**names))


@check("checklist.restart.missing", DockerFacts)
def restart(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    working = docker.working
    wrong = [
        f"{name} ({container.restart_policy or 'no'})"
        for name, container in working.items()
        if container.restart_policy not in _RESTARTS
    ]
    if not working:
        yield context.skipped(_("none of the expected containers is there"))
    elif wrong:
        title = _("Containers that do not come back after a restart of {server}: {names}")
        names = ", ".join(wrong[:_SHOWN])
        yield context.warn(title.format(server=context.server, names=names), evidence={"containers": wrong})
    else:
        title = _("All {count} containers come back after a restart of {server}")
        yield context.ok(title.format(count=len(working), server=context.server))


@check("checklist.rotation.missing", DockerFacts)
def rotation(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    working = docker.working
    endless = [name for name, container in working.items() if not container.log_max_size]
    if not working:
        yield context.skipped(_("none of the expected containers is there"))
    elif endless:
        title = _("Logs of containers on {server} grow without end: {names}")
        names = ", ".join(endless[:_SHOWN])
        yield context.warn(title.format(server=context.server, names=names), evidence={"containers": endless})
    else:
        yield context.ok(
            _("The logs of all containers on {server} are rotated").format(server=context.server)
        )


@check("checklist.balancer.members", BigIpFacts)
def pool_members(facts: BigIpFacts, context: Context) -> Iterator[Finding]:
    known = {found.name for member in facts.members if (found := context.site.member_at(member.address))}
    missing = [member.name for member in context.site.members() if member.name not in known]
    names = {"pool": facts.pool, "names": ", ".join(missing), "count": len(known)}
    if missing:
        yield context.crit(_("The pool {pool} lacks members of the API: {names}").format(**names))
    else:
        yield context.ok(_("The pool {pool} has all {count} members of the API").format(**names))


@access_check("checklist.balancer.method", BalancerFacts)
def method(facts: BalancerFacts, context: Context) -> Iterator[Finding]:
    """Guide, part 1: ``load-balancing-mode least-connections-member``."""
    if not facts.method:
        yield context.not_given("loadBalancingMode")
    elif facts.method.startswith("least-connections"):
        yield context.ok(_("The balancer shares by {method}").format(method=facts.method))
    else:
        text = _("The balancer shares by {method}, and the guide wants least-connections-member")
        yield context.warn(text.format(method=facts.method))


@check("checklist.balancer.persistence", BalancerFacts)
def persistence(facts: BalancerFacts, context: Context) -> Iterator[Finding]:
    """Guide, part 1: Cookie Insert."""
    profiles = {"profiles": list(facts.persistence), "cookie_method": facts.cookie_method}
    if facts.cookie_method == "insert":
        yield context.ok(
            _("The balancer keeps customers at one member by a cookie of its own"), evidence=profiles
        )
    elif not facts.persistence:
        yield context.warn(_("The virtual server keeps no customer at one member"), evidence=profiles)
    else:
        text = _(
            "The virtual server keeps customers by {names}, and the guide wants a cookie of the balancer's own"
        )
        yield context.warn(text.format(names=", ".join(facts.persistence)), evidence=profiles)
