"""What is outside our sight: our side is seen to be well, and what would prove the rest is another team's to look at.

Each is a remainder: named where no cause nearer explains the finding, and only with what was looked at and found well.
Where too little of our side was seen, none of them is named, and the fault stays inconclusive.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from samaops.causes import task_exceptions
from samaops.causes.effects import codes, in_part, name_of, same_subject
from samaops.causes.root import Rank, Root, each, root, safe, together, words_of
from samaops.causes.view import Trigger, View
from samaops.config.settings import Settings
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

_CRITICAL = (Status.CRITICAL,)
_SHOWN = 4
# What an answer of the API needs: where one of these is not well, the time may go by there.
_NEEDED = ("postgresql", "pgbouncer", "redis", "rabbitmq")
_NEEDS = tuple(
    f"{system}.{part}.*"
    for system, parts in (
        ("postgresql", ("service", "latency", "locks", "connections", "transaction", "sessions", "query", "recovery")),
        ("pgbouncer", ("service", "pool", "login", "query")),
        ("redis", ("service", "memory", "write")),
        ("rabbitmq", ("service", "alarm", "memory", "connection")),
        ("sqlserver", ("server", "database", "query", "latency")),
        ("network", ("open",)),
    )
    for part in parts
)  # fmt: skip
# Of the time until an answer began, from which on it is the way there that takes it.
_WAY_SHARE = 0.5


def _request(view: View, fix_id: str, text: str, *confirm: str, playbook: str = "api-down") -> Fix:
    """Return the fix that is not in our hands: the command that writes the request to the team, and how to confirm it."""
    return safe(fix_id, text, samaops(view.site, f"troubleshoot {playbook}"), *confirm)


def _seen_well(view: View, *patterns: str) -> tuple[Finding, ...]:
    """Return what was looked at and is well; none where one of these codes was not looked at, or is not well."""
    well: list[Finding] = []
    for pattern in patterns:
        found = view.ok(pattern)
        if not found or view.not_ok(pattern):
            return ()
        well += found
    return tuple(well)


def _titles(findings: Iterable[Finding]) -> tuple[str, ...]:
    titles = tuple(dict.fromkeys(finding.title for finding in findings))
    return (
        (*titles[:_SHOWN], _("and {count} more of our side").format(count=len(titles) - _SHOWN))
        if len(titles) > _SHOWN
        else titles
    )


@root(
    "outside-balancer",
    on=each(
        Trigger("loadbalancer.vip.latency", _CRITICAL),
        Trigger("loadbalancer.vip.wrong_body", _CRITICAL),
    ),
    rank=Rank.REMAINDER,
    runbook="api-down",
    effects=same_subject("loadbalancer.vip.*"),
)
def balancer_in_front(finding: Finding, view: View) -> Root | None:
    """Customers wait for the virtual address, or get another's answer, and each member answers well when it is asked itself."""
    members = _seen_well(view, "api.member.unreachable", "api.health.failing", "api.latency.high")
    if not members:
        return None
    text = _("Send this to the network team: what the balancer does with our requests is theirs to see")
    url = view.site.settings.loadbalancer.url if view.site.settings.loadbalancer else "?"
    confirm = f"curl -si -m 10 {quoted(url.rstrip('/') + '/health')}"
    return Root(
        _("{title}; each member answers well when it is asked itself").format(title=finding.title),
        (_request(view, "network.balancer_inside", text, confirm),),
        Verdict.OUTSIDE,
        speaks_for=(words_of(finding), *_titles(members)),
    )


@root(
    "outside-sqlserver",
    "outside-network",
    on=Trigger("sqlserver.latency.high", _CRITICAL),
    rank=Rank.REMAINDER,
    runbook="api-down",
    effects=(*same_subject("sqlserver.*"), *codes("api.latency.*", "loadbalancer.vip.latency")),
    distinguished_from=("outside-network", "outside-sqlserver"),
)
def sqlserver_slow(finding: Finding, view: View) -> Root | None:
    """A server of another team takes its time for a query; or the way to it does, for the connection alone."""
    ours = _seen_well(view, "postgresql.service.unreachable", "postgresql.latency.high")
    times = [finding.evidence.get(name) for name in ("port_ms", "query_ms")]
    if not ours or not all(isinstance(time, (int, float)) for time in times):
        return None
    port_ms, query_ms = (round(float(str(time)), 1) for time in times)
    name, address = name_of(finding), str(finding.evidence.get("address") or "")
    words = {"name": name, "port": port_ms, "query": query_ms}
    if port_ms >= _WAY_SHARE * query_ms:
        title = _(
            "The way to {name} is slow: the connection alone takes {port} ms, of {query} ms for a query"
        )
        return _slow_way(title.format(**words), finding, view, address, ours)
    title = _("{name} is slow itself: a connection takes {port} ms, a query {query} ms")
    text = _("Send this to the team of the SQL Servers: what it does meanwhile is theirs to see")
    look = samaops(view.site, "diagnose --only sqlserver")
    return Root(
        title.format(**words),
        (_request(view, "sqlserver.slow", text, look),),
        Verdict.OUTSIDE,
        speaks_for=(words_of(finding), *_titles(ours)),
    )


@root(
    "outside-application",
    "outside-network",
    on=together(Trigger("api.latency.high", _CRITICAL)),
    rank=Rank.REMAINDER,
    runbook="api-down",
    effects=codes("api.latency.*", "loadbalancer.vip.latency"),
    distinguished_from=("outside-network", "outside-application"),
)
def time_in_the_application(finding: Finding, view: View) -> Root | None:
    """A member takes a connection at once and answers late, and all that it needs is well: the time goes by in its own code."""
    slow = view.matching(Trigger("api.latency.high", _CRITICAL))
    ours = _around(slow, view)
    times = [finding.evidence.get(name) for name in ("connect_ms", "first_byte_ms")]
    if not ours or not all(isinstance(time, (int, float)) for time in times):
        return None
    connect_ms, first_ms = (round(float(str(time)), 1) for time in times)
    words = {"name": name_of(finding), "connect": connect_ms, "first": first_ms}
    if connect_ms >= _WAY_SHARE * first_ms:
        title = _(
            "The way to {name} is slow: the connection alone takes {connect} ms, of {first} ms for an answer"
        )
        return _slow_way(title.format(**words), finding, view, _address(finding, view), ours)
    title = _(
        "{name} takes a connection in {connect} ms and answers after {first} ms, and all it needs is well: "
        "the time goes by in its own code"
    )
    text = _("Send this to the developers: where their code waits or computes is theirs to see")
    return Root(
        title.format(**words),
        (_request(view, "developers.slow", text, samaops(view.site, "diagnose --only api")),),
        Verdict.OUTSIDE,
        triggers=slow,
        speaks_for=(*(words_of(member) for member in slow), *_titles(ours)),
    )


def _around(slow: tuple[Finding, ...], view: View) -> tuple[Finding, ...]:
    """Return what around slow members is well; none where something is not, or one of what they need was not looked at."""
    if any(view.bad(pattern) for pattern in _NEEDS) or _are_on_busy_servers(slow, view):
        return ()
    needed = [f"{system}.service.unreachable" for system in _NEEDED if view.site.section(system) is not None]
    well = _seen_well(view, *needed, "postgresql.latency.high", "pgbouncer.pool.waiting")
    for member in slow:
        placed = view.site.member(name_of(member))
        subject = f"docker/{placed.container}" if placed else ""
        runs = [state for state in view.ok("docker.container.stopped") if state.subject == subject]
        troubles = [known for known in view.bad("docker.*") if known.subject == subject]
        if not well or not runs or troubles or view.bad("servers.*", member.server) or not member.server:
            return ()
        well = (*well, *runs)
    return well


def _are_on_busy_servers(slow: tuple[Finding, ...], view: View) -> bool:
    """Return whether a server was so busy in that moment that the times of its members were not judged by the guide."""
    unjudged = view.matching(Trigger("api.latency.slow_for_guide", (Status.SKIPPED,)))
    return bool({member.subject for member in slow} & {each.subject for each in unjudged})


def _slow_way(title: str, finding: Finding, view: View, address: str, ours: tuple[Finding, ...]) -> Root:
    text = _("Send this to the network team: what lies between these two is theirs to see")
    look = samaops(view.site, "network")
    host = address.partition(":")[0]
    confirm = (f"ping -c 20 {operands(host)}",) if host else ()
    return Root(
        title,
        (_request(view, "network.slow", text, look, *confirm),),
        Verdict.OUTSIDE,
        id="outside-network",
        speaks_for=(words_of(finding), *_titles(ours)),
    )


def _address(finding: Finding, view: View) -> str:
    server = view.site.settings.servers.get(finding.server or "")
    return server.address if server else ""


@root(
    "outside-names",
    on=together(Trigger("*.unreachable", (Status.WARNING, Status.CRITICAL, Status.UNKNOWN), ("name",))),
    rank=Rank.REMAINDER,
    runbook="api-down",
    effects=codes("*.unreachable", when=lambda finding: finding.evidence.get("kind") == "name"),
)
def names_do_not_resolve(_finding: Finding, view: View) -> Root | None:
    """Several names are not resolved, while what has an address is reached: it is the service that resolves them.

    One name alone may be wrong in our own configuration.
    """
    lost = view.matching(
        Trigger("*.unreachable", (Status.WARNING, Status.CRITICAL, Status.UNKNOWN), ("name",))
    )
    reached = view.ok("*.unreachable")
    names = tuple(dict.fromkeys(_host_in(finding) or name_of(finding) for finding in lost))
    if len(names) < 2 or not reached:
        return None
    listed = ", ".join(names[:_SHOWN])
    title = _("Names are not resolved here ({names}), and what is asked for by its address is reached")
    text = _("Send this to those who run the name servers: why they do not answer is theirs to see")
    return Root(
        title.format(names=listed),
        (
            _request(
                view,
                "network.names",
                text,
                f"getent ahosts {operands(names[0])}",
                f"getent ahosts {operands(names[1])}",
            ),
        ),
        Verdict.OUTSIDE,
        triggers=lost,
        speaks_for=(*(words_of(finding) for finding in lost[:_SHOWN]), *_titles(reached)),
        speaks_against=(_("unless another machine resolves them: then it is this one's /etc/resolv.conf"),),
    )


def _host_in(finding: Finding) -> str:
    """Return the name that the client's own words have (``name: HOST: reason``); "" where they have none."""
    words = finding.detail.removeprefix("name: ")
    host = words.partition(":")[0].strip()
    return host if re.fullmatch(r"[A-Za-z0-9_.-]+", host) and host != finding.detail else ""


# Where a call to somebody else ends: in the words of requests, urllib3, httpx, aiohttp, and plain URLs.
_HOST = re.compile(
    r"host='([A-Za-z0-9.-]+)'|https?://(?:[^/\s'\"@]*@)?([A-Za-z0-9.-]+)|to host ([A-Za-z0-9.-]+):\d"
)
_DOES_NOT_SERVE = re.compile(
    r"timed? ?out|Timeout|refused|unreachable|Max retries exceeded|RemoteDisconnected|ConnectionReset|Connection aborted"
    r"|\b50[0234]\b|Service Unavailable|Bad Gateway|Internal Server Error",
    re.IGNORECASE,
)
# The proxy's own refusal, and a name that is not resolved, are no word on who is behind them.
_OF_THE_WAY = re.compile(
    r"ProxyError|Tunnel connection failed|proxy|Name or service not known|name resolution", re.IGNORECASE
)
_GOOGLE = (".googleapis.com", ".google.com", ".firebaseio.com")


@root(
    "outside-service",
    on=each(Trigger("celery.tasks.failing"), Trigger("docker.log.trouble")),
    rank=Rank.REMAINDER,
    runbook="notifications",
    effects=in_part(codes("celery.tasks.failing", "docker.log.trouble")),
    distinguished_from=("tasks-failing", "trouble-in-log"),
)
def others_service(finding: Finding, view: View) -> Root | None:
    """What fails is a call to a host that is no part of the site, and the way out of it is well."""
    words = _words_of_failure(finding)
    host = _foreign_host(words, view.site)
    if not host or not _DOES_NOT_SERVE.search(words) or task_exceptions.of(finding) is not None:
        return None
    out = _way_out(view)
    if not out:
        return None
    title = _("Calls to {host}, which is no configured part of this site, fail; our way out is well").format(
        host=host
    )
    text = _("Send this to those who run {host}: why it does not serve us is theirs to see").format(host=host)
    confirm = f"curl -sv -m 10 {_proxy_option(view.site)}{quoted(f'https://{host}/')}"
    return Root(
        title,
        (_request(view, "others.service", text, confirm, playbook="notifications"),),
        Verdict.OUTSIDE,
        effects=codes(
            "celery.tasks.failing", "docker.log.trouble", when=lambda other: host in _words_of_failure(other)
        ),
        speaks_for=(words_of(finding), *_titles(out)),
    )


def _words_of_failure(finding: Finding) -> str:
    return str(finding.evidence.get("exception") or finding.evidence.get("words") or "")


def _foreign_host(words: str, site: Site) -> str:
    """Return the host of a call that is neither the site's nor Google's; "" where there is none, or it was the way there."""
    if _OF_THE_WAY.search(words):
        return ""
    hosts = [next(name for name in match.groups() if name) for match in _HOST.finditer(words)]
    ours = _hosts_of(site.settings)
    return next((host for host in hosts if host not in ours and _is_foreign(host)), "")


def _is_foreign(host: str) -> bool:
    """Return whether a host is somebody else's: a short name or a private address may be ours, though nobody has configured it."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not f".{host}".endswith(_GOOGLE)


def _hosts_of(settings: Settings) -> frozenset[str]:
    """Return every host that the configuration has, as far as words can name one."""
    text = settings.model_dump_json()
    return frozenset(re.findall(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", text))


def _way_out(view: View) -> tuple[Finding, ...]:
    """Return what shows that our way out is well: the proxy where there is one, and Google behind it."""
    if any(view.not_ok(pattern) for pattern in ("proxy.*", "firebase.*", "docker.container.environment")):
        return ()
    wanted = [
        code
        for system, code in (
            ("proxy", "proxy.service.unreachable"),
            ("firebase", "firebase.host.unreachable"),
        )
        if view.site.section(system) is not None
    ]
    return _seen_well(view, *wanted) if wanted else ()


def _proxy_option(site: Site) -> str:
    return f"-x {quoted(site.settings.proxy.url)} " if site.settings.proxy else ""


# What Python raises of a fault in the code itself. A KeyError of a NAME_IN_CAPITALS is a setting that is missing, and
# arguments that do not fit are of two releases.
_OF_THE_CODE = re.compile(
    r"^(TypeError|AttributeError|IndexError|ZeroDivisionError|NameError|UnboundLocalError|RecursionError"
    r"|AssertionError|NotImplementedError|KeyError)\("
)
_NOT_OF_THE_CODE = re.compile(r"^KeyError\(['\"][A-Z0-9_]+['\"]\)|positional argument|keyword argument")


@root(
    "outside-task-code",
    on=Trigger("celery.tasks.failing"),
    rank=Rank.REMAINDER,
    runbook="notifications",
    effects=codes("celery.tasks.failing"),
    distinguished_from=("tasks-failing",),
)
def fault_in_the_code(finding: Finding, view: View) -> Root | None:
    """Tasks end in an error of their own code, the same release runs everywhere, and what they need is well."""
    words = _words_of_failure(finding)
    if not _OF_THE_CODE.search(words) or _NOT_OF_THE_CODE.search(words):
        return None
    if any(
        view.not_ok(code)
        for code in ("docker.image.differs", "release.running.differs", "docker.container.environment")
    ):
        return None
    ours = tuple(_needed_by_tasks(view))
    if not ours:
        return None
    text = _("Send this to the developers: what their code meets there is theirs to see")
    title = _("{title}: an error of the application's own code, and all it needs is well")
    return Root(
        title.format(title=finding.title),
        (
            _request(
                view,
                "developers.task",
                text,
                samaops(view.site, "diagnose --only celery"),
                playbook="notifications",
            ),
        ),
        Verdict.OUTSIDE,
        speaks_for=(words_of(finding), *_titles(ours)),
    )


def _needed_by_tasks(view: View) -> Iterator[Finding]:
    needed = [f"{system}.service.unreachable" for system in _NEEDED if view.site.section(system) is not None]
    if any(view.bad(pattern) for pattern in (*_NEEDS, "postgresql.application.*")):
        return
    yield from _seen_well(view, *needed, "docker.image.differs")
