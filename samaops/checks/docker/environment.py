"""Compare the environments of the application's containers: with each other, and with this configuration.

So are their limits and the options of their command lines, which are variables of a kind: nothing but a peer says
what they should be.

Where the members or the workers agree, they are as somebody meant them; one that differs is a suspect. Only what
identifies a container may differ. Secrets are compared by their digests: which differs is said, never what it is.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.checks.docker.subjects import about_container
from samaops.checks.registry import Context, check
from samaops.facts.docker import Container, DockerFacts, Variable
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _, joined
from samaops.model.finding import Finding
from samaops.site.shell_words import operands
from samaops.site.site import Site

APPLICATION = ("api", "celery", "flower")
# A host may be known by another name on another server; what is behind it may not differ.
_PARTS = ("scheme", "host", "port", "database", "user")
_ANYWHERE = ("port", "database", "user", "password")
_PART_NAMES = {
    "scheme": N_("the protocol {value}"),
    "host": N_("the host {value}"),
    "port": N_("the port {value}"),
    "database": N_("the database {value}"),
    "vhost": N_("the vhost {value}"),
    "user": N_("the user {value}"),
    "value": N_("the value {value}"),
}
_BROKER = re.compile("BROKER|AMQP|RABBIT")
# What tells containers apart by design, and what an image brings of its own.
_IDENTITY = re.compile(
    r"(^|_)(INSTANCE|WORKER|NODE|MEMBER|QUEUES?|CONCURRENCY|PREFETCH|AUTOSCALE|HOSTNAME|ID|NAME)(_|$)|^PORT$"
    r"|^PYTHON_|^GPG_KEY$"
)
_NEVER_IDENTITY = re.compile(r"KEY|DB|DATABASE|REDIS|PG|POSTGRES|BUCKET|VHOST")
# Which work a worker does, and how much of it at once, is its own.
_ROLE = re.compile(
    r"-[nQcPXOpfsEB]|--(port|hostname|name|queues|exclude-queues|concurrency|autoscale|pool|prefetch-multiplier"
    r"|max-(tasks|memory)-per-child|(soft-)?time-limit|pidfile|logfile|statedb|events|beat)"
)
_LIMIT, _OPTION = "limit ", "-"
_LISTENS = ("--host", "--bind", "-b", "--address")
_HOSTS, _NOT_THERE = "/etc/hosts", ""


class Member(Struct, frozen=True):
    """A container of the application that was looked at: which system and server it is of."""

    system: str
    server: str
    container: Container

    @property
    def peers_of(self) -> tuple[str, str]:
        """What its hosts are compared within."""
        return self.system, self.server

    def variable(self, name: str) -> Variable | None:
        """Return a variable of its environment."""
        return next((known for known in self.variables if known.name == name), None)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Its environment, its limits and the options of its command line."""
        return (*(self.container.environment or ()), *self.container.settings)


class Difference(Struct, frozen=True):
    """One thing in which a container differs: the variable, the part of it, what is there and what the others have."""

    name: str
    part: str
    own: str
    usual: str

    @property
    def points(self) -> bool:
        """Whether it says where the container goes, or how it logs in there."""
        if self.name.startswith((_LIMIT, _OPTION)):
            return self.name in _LISTENS and self.part == "value"
        return self.part != "value" or self.name == _HOSTS or bool(_POINTING.search(self.name))

    @property
    def words(self) -> str:
        """Say it in a few words."""
        if self.name == _HOSTS:
            return _("/etc/hosts has {own}, the others' {usual}").format(
                own=self.own or "-", usual=self.usual or "-"
            )
        if self.name in _LISTENS and self.part == "value":
            return _("it listens on {own}, its peers on {usual}").format(own=self.own, usual=self.usual)
        if self.part == "presence":
            text = (
                _("{name} is set, the others have it not")
                if self.own
                else _("{name} is not set, the others have it")
            )
            return text.format(name=self.name)
        if self.part in ("file", "directory"):
            text = (
                _("the file that {name} names is not in it")
                if self.part == "file"
                else _("what {name} names is a directory in it, and no file")
            )
            return text.format(name=self.name)
        if self.part == "password" or not (self.own and self.usual):
            text = _("{name}: another password") if self.part == "password" else _("{name}: another value")
            return text.format(name=self.name)
        part = "vhost" if self.part == "database" and _BROKER.search(self.name) else self.part
        own = _(_PART_NAMES[part]).format(value=self.own)
        return _("{name}: {own} in place of {usual}").format(name=self.name, own=own, usual=self.usual)


_POINTING = re.compile(
    r"HOST|PORT|URL|URI|DSN|DB|DATABASE|REDIS|BROKER|AMQP|RABBIT|PG|POSTGRES|PROXY|PASS|SECRET|KEY|CERT|CA_|SSL"
)


@check("docker.container.environment", DockerFacts)
def environments(_docker: DockerFacts, context: Context) -> Iterator[Finding]:
    members = list(_members(context.snapshot, context.site))
    for member in members:
        if member.server == context.server:
            yield _of_member(member, members, context)
    if members and members[0].server == context.server:  # once, for all engines
        yield _of_all(members, context.about("docker/application"))


def _of_member(member: Member, members: list[Member], context: Context) -> Finding:
    differences = [*_differences(member, members), *_absent_files(member)]
    name = member.container.name
    about = about_container(name, context)
    if not differences:
        return about.ok(_("The environment of container {name} is as that of its peers").format(name=name))
    listed = joined(difference.words for difference in differences)
    title = _("The environment of container {name} differs: {listed}").format(name=name, listed=listed)
    return about.warn(title, evidence=_evidence(differences), hint=_see(name, context))


def _of_all(members: list[Member], context: Context) -> Finding:
    differences = list(dict.fromkeys(_from_configuration(members, context.site)))
    if not differences:
        return context.ok(_("The application goes where this configuration says"))
    listed = joined(difference.words for difference in differences)
    title = _("The application goes elsewhere than this configuration says: {listed}").format(listed=listed)
    return context.warn(title, evidence=_evidence(differences), hint="samaops config show")


def _evidence(differences: Iterable[Difference]) -> dict[str, object]:
    rows = list(differences)
    return {
        "points": any(row.points for row in rows),
        "differences": [
            {"variable": row.name, "part": row.part, "own": row.own, "usual": row.usual, "points": row.points}
            for row in rows
        ],
    }


def _see(name: str, context: Context) -> str:
    """Return the command that shows the names of the variables, and no value."""
    names = f"docker inspect -f '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' {operands(name)} | cut -d= -f1"
    return context.on_server(names)


def _members(snapshot: Snapshot, site: Site) -> Iterator[Member]:
    for observation, docker in snapshot.facts_of(DockerFacts):
        for container in docker.containers:
            systems = [
                service.system
                for service in site.services_in(container.name)
                if service.system in APPLICATION
            ]
            if systems and container.environment is not None and container.name in docker.expected:
                yield Member(systems[0], str(observation.server), container)


def _absent_files(member: Member) -> Iterator[Difference]:
    for name in member.container.absent_files:
        yield Difference(name.rstrip("/"), "directory" if name.endswith("/") else "file", "", "")


def _differences(member: Member, members: list[Member]) -> Iterator[Difference]:
    """Yield what sets a container apart from the others: what most of them have is meant to be so."""
    peers = [other for other in members if other.system == member.system]
    for name in _names(peers):
        if _is_identity(name):
            continue
        own = member.variable(name)
        if (own is None) is not _is_usually_absent(name, peers, members):
            if len(peers) > 1:
                yield Difference(name, "presence", name if own else _NOT_THERE, "")
            continue
        if own is not None:
            yield from _value_differences(member, own, members)
    yield from _hosts_differences(member, members)


def _names(members: Iterable[Member]) -> list[str]:
    return sorted({variable.name for member in members for variable in member.variables})


def _is_identity(name: str) -> bool:
    is_own = _IDENTITY.search(name) and not _NEVER_IDENTITY.search(name)
    return bool(is_own or _ROLE.fullmatch(name))


def _is_usually_absent(name: str, peers: list[Member], members: list[Member]) -> bool:
    """Return whether most have it not: of its peers, or of all containers where the peers are divided."""
    for group in (peers, members):
        having = sum(member.variable(name) is not None for member in group)
        if 2 * having != len(group):
            return 2 * having < len(group)
    return False


def _value_differences(member: Member, own: Variable, members: list[Member]) -> Iterator[Difference]:
    with_it = [(other, variable) for other in members if (variable := other.variable(own.name)) is not None]
    if _is_setting(own.name):
        yield from _setting_differences(member, own, with_it)
        return
    if "host" not in own.parts:
        peers = [(other, variable.digest) for other, variable in with_it if other.system == member.system]
        everybody = [(other, variable.digest) for other, variable in with_it]
        usual = _usual(own.digest, peers, everybody)
        if usual != own.digest:
            shown = next(v.parts.get("value", "") for _other, v in with_it if v.digest == usual)
            yield Difference(own.name, "value", own.parts.get("value", ""), shown)
        return
    for part in (*_PARTS, "password"):
        values = [(other, _part(variable, part)) for other, variable in with_it if "host" in variable.parts]
        near = [(other, value) for other, value in values if other.peers_of == member.peers_of]
        # The same server may have a name in one place and an address in another.
        alike = values if part in _ANYWHERE else [row for row in values if _is_address(row[1])]
        usual = _usual(_part(own, part), near, alike)
        if usual != _part(own, part):
            is_secret = part == "password"
            yield Difference(
                own.name,
                part,
                "" if is_secret else own.parts.get(part, "-"),
                "" if is_secret else usual or "-",
            )


def _is_setting(name: str) -> bool:
    return name == "command" or name.startswith((_LIMIT, _OPTION))


def _setting_differences(
    member: Member, own: Variable, with_it: list[tuple[Member, Variable]]
) -> Iterator[Difference]:
    """Yield a limit or option that differs: where the peers are divided, the wider limit or the older container is right."""
    peers = [(other, variable) for other, variable in with_it if other.system == member.system]
    ranked = Counter(variable.digest for _other, variable in peers).most_common(2)
    leading = [variable for _other, variable in peers if variable.digest == ranked[0][0]]
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        is_limit = own.name.startswith(_LIMIT)
        by_width = [variable for _other, variable in sorted(peers, key=lambda row: -_number(row[1]))]
        by_age = [
            variable for _other, variable in sorted(peers, key=lambda row: row[0].container.created_at or 0.0)
        ]
        leading = by_width if is_limit else by_age
    usual = leading[0]
    if usual.digest != own.digest:
        yield Difference(own.name, "value", own.parts.get("value", ""), usual.parts.get("value", ""))


def _number(variable: Variable) -> float:
    """Return the number that a limit is; -1 of a ulimit is none."""
    with contextlib.suppress(ValueError):
        number = float(variable.parts.get("value", ""))
        return number if number >= 0 else float("inf")
    return 0.0


def _part(variable: Variable, part: str) -> str:
    return variable.password if part == "password" else variable.parts.get(part, "")


def _usual(own: str, near: list[tuple[Member, str]], everybody: list[tuple[Member, str]]) -> str:
    """Return the value that most have: of the near ones, or of all where those are divided; its own where none leads."""
    for group in (near, everybody):
        ranked = Counter(value for _member, value in group).most_common(2)
        if ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]):
            return ranked[0][0]
    # Divided evenly: nobody knows whose is right, so each is told that another has something else.
    return next((value for _member, value in (near if len(near) > 1 else everybody) if value != own), own)


def _hosts_differences(member: Member, members: list[Member]) -> Iterator[Difference]:
    known = [(other, _addresses(hosts)) for other in members if (hosts := other.container.hosts) is not None]
    peers = [(other, names) for other, names in known if other.peers_of == member.peers_of]
    if member.container.hosts is None or len(peers) < 2:
        return
    for name in sorted({name for other, names in peers for name in names if not _is_own_name(name, other)}):
        own = _addresses(member.container.hosts).get(name, "")
        near, everybody = (
            [(other, names.get(name, "")) for other, names in group] for group in (peers, known)
        )
        usual = _usual(own, near, everybody)
        if usual != own:
            entries = (f"{address} {name}" if address else "" for address in (own, usual))
            yield Difference(_HOSTS, "value", *entries)


def _addresses(hosts: Iterable[str]) -> dict[str, str]:
    """Return the first address of each name, as the resolver takes it."""
    known: dict[str, str] = {}
    for entry in hosts:
        fields = entry.split()
        for name in fields[1:]:
            known.setdefault(name, fields[0])
    return known


def _is_own_name(name: str, member: Member) -> bool:
    """Return whether docker wrote a name for the container itself: its host name, which is the beginning of its id."""
    container = member.container
    return container.id.startswith(name) or name in container.name or name == container.service


def _from_configuration(members: list[Member], site: Site) -> Iterator[Difference]:
    """Yield in what the containers of a system agree with each other and not with this configuration."""
    for system in APPLICATION:
        peers = [member for member in members if member.system == system]
        for name in _names(peers):
            variables = [variable for member in peers if (variable := member.variable(name)) is not None]
            for part, usual in _expected(name, variables[0], site).items():
                values = {_part(variable, part) for variable in variables}
                own = values.pop()
                if not values and own and usual and own != usual and _is_comparable(part, own, usual):
                    yield Difference(name, part, own, usual)


def _is_comparable(part: str, own: str, usual: str) -> bool:
    """Return whether two values can be compared: a name and an address cannot, and what is near has many addresses."""
    return part != "host" or (_is_address(own) and _is_address(usual) and not own.startswith("127.0.0."))


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()


def _expected(name: str, variable: Variable, site: Site) -> dict[str, str]:
    """Return the parts that the configuration says of the service to which a variable leads."""
    settings, scheme = site.settings, variable.parts.get("scheme", "")
    if scheme.startswith("postgres"):
        pool, database = settings.pgbouncer, settings.postgresql
        if pool is not None and variable.parts.get("port") != str(database.port if database else 0):
            return {
                "host": site.host_of(pool),
                "port": str(pool.port),
                "database": pool.database,
                "user": pool.user,
            }
        if database is not None:
            return {"host": site.host_of(database), "port": str(database.port), "database": database.database}
    elif scheme.startswith("redis") and settings.redis is not None:
        number = {"database": str(settings.redis.database)} if name == "REDIS_URL" else {}
        return {"host": site.host_of(settings.redis), "port": str(settings.redis.port), **number}
    elif scheme.startswith("amqp") and settings.rabbitmq is not None:
        vhost = settings.rabbitmq.vhost.strip("/")
        return {
            "host": site.host_of(settings.rabbitmq),
            "port": str(settings.rabbitmq.port),
            "database": vhost,
        }
    elif name.upper() in ("HTTP_PROXY", "HTTPS_PROXY") and settings.proxy is not None:
        url = urlsplit(settings.proxy.url)
        return {"host": url.hostname or "", "port": str(url.port or "")}
    return {}
