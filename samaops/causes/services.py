"""Roots in services that do not serve, whatever runs them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from samaops.causes import reasons
from samaops.causes.effects import codes, name_of, same_subject
from samaops.causes.root import Rank, Root, disruptive, root, safe, team_request, words_of
from samaops.causes.topology import MEMBER_GONE, effects_of_system, effects_on_dependents, ways_of
from samaops.causes.view import View, failed
from samaops.config.settings import PgBouncer, PostgreSQL, RabbitMQ, Redis
from samaops.facts.flower import API_CLOSED
from samaops.i18n import N_, _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import as_superuser, on_server, samaops
from samaops.site.shell_words import operands, quoted


class _Service(Struct, frozen=True):
    """A service: which symptom it is of, its name in a title, what to look at on its server."""

    runbook: str
    name: str
    look: str = ""


_SERVICES = {
    "postgresql": _Service("db-slow", "PostgreSQL", "systemctl status postgresql"),
    "pgbouncer": _Service("api-down", "PgBouncer", "systemctl status pgbouncer"),
    "redis": _Service("redis-full", "Redis", "docker logs --tail 50 samaconso_redis"),
    "rabbitmq": _Service("notifications", "RabbitMQ", "docker logs --tail 50 samaconso_rabbitmq"),
    "minio": _Service("api-down", "MinIO", "systemctl status minio"),
    "flower": _Service("notifications", "Flower", "docker logs --tail 50 samaconso_flower"),
    "proxy": _Service("notifications", N_("The Senelec proxy")),
}
_WITNESSES_OF_CELERY = ("rabbitmq", "flower")

_TITLES = {
    "refused": N_("{name} is down: nothing listens on its port"),
    "silent": N_("{name} does not answer at all"),
    "no_answer": N_("{name} hangs: it accepts connections and never answers"),
    "closed": N_("{name} hangs up on every connection"),
    "garbage": N_("Something that is not {name} listens on its port"),
    "tls": N_("{name}: the TLS connection fails"),
    "unavailable": N_("{name} answers that it cannot serve now"),
}


# It says why it ended, or why it does not serve; one that hangs writes nothing any more.
_ENDED = ("refused", "closed", "unavailable")


def _is_unknown(finding: Finding) -> bool:
    return finding.status is Status.UNKNOWN


def service_down(finding: Finding, view: View) -> Root | None:
    """Nothing listens, or what listens does not serve."""
    system, kind = finding.system, str(finding.evidence.get("kind"))
    if system == "postgresql" and finding.evidence.get("stage") in ("slot", "limit"):
        return None  # it serves, and has no connection left for us
    if system == "redis" and finding.evidence.get("stage") == "paused":
        return None  # it is well, and told to let its clients wait
    if kind == "silent" and finding.server and view.ok("servers.ssh.unreachable", finding.server):
        return _port_dropped(finding, view)
    is_refused_at_once = system == "proxy" and kind not in ("silent", "no_answer")
    reason = reasons.of_service(view, system)
    title = _(_TITLES[kind]).format(name=_(_SERVICES[system].name))
    return Root(
        reasons.with_reason(title, reason if kind in _ENDED else None),
        _repair(finding, view),
        id=f"{system}-hung" if kind == "no_answer" else None,
        effects=(*codes("proxy.*"), *ways_of("firebase"), *effects_on_dependents("proxy", hangs=False))
        if is_refused_at_once
        else None,
        speaks_for=(words_of(finding), *_running_container(view, system), *(reason.spoken if reason else ())),
    )


def _port_dropped(finding: Finding, view: View) -> Root:
    """Return why a service is silent on a server that answers: a process that hangs still accepts connections."""
    section = view.site.section(finding.system)
    commands: tuple[str, ...] = ()
    if isinstance(section, PostgreSQL | PgBouncer | Redis | RabbitMQ):  # the others are known by a URL
        attempt = f"timeout 3 bash -c '</dev/tcp/{view.site.host_of(section)}/{section.port}' && echo open"
        commands = (on_server(view.site, finding.server, attempt),)
    title = _("{name} does not answer though its server does: a firewall or the network drops its port")
    text = _(
        "Try its port on its own server: when it is open there, ask who filters it; a restart cures nothing"
    )
    return Root(
        title.format(name=_(_SERVICES[finding.system].name)),
        (safe("network.port", text, *commands),),
        Verdict.PROBABLE,
        id=f"{finding.system}-port-dropped",
        speaks_for=(words_of(finding), *_running_container(view, finding.system)),
    )


def _running_container(view: View, system: str) -> tuple[str, ...]:
    container = getattr(view.site.section(system), "container", None)
    running = [state.subject for state in view.ok("docker.container.stopped")]
    if not container or f"docker/{container}" not in running:
        return ()
    return (_("its container {name} is running").format(name=container),)


def _repair(finding: Finding, view: View) -> tuple[Fix, ...]:
    system, site = finding.system, view.site
    if system == "proxy":
        url = site.settings.proxy.url if site.settings.proxy else "?"
        text = _("Send this to the network team: the proxy {url} answers «{words}» since we looked")
        proxy = quoted("http://" + url.rpartition("//")[2].rstrip("/"))
        confirm = f"curl -sv -x {proxy} https://oauth2.googleapis.com/"
        return (safe("proxy.team", text.format(url=url, words=finding.detail), team_request(site), confirm),)
    container = getattr(site.section(system), "container", None)
    restart = (
        samaops(site, f"docker restart {operands(container)}")
        if container
        else on_server(site, finding.server, f"systemctl restart {system}")
    )
    look = on_server(site, finding.server, _SERVICES[system].look)
    return (
        safe(f"{system}.look", _("Read why before you restart it"), look),
        disruptive(f"{system}.restart", _("Restart it"), restart),
    )


@root(
    "postgresql-connections-exhausted",
    on=failed("postgresql.service.unreachable"),
    rank=Rank.SERVICE,
    runbook="db-slow",
    effects=effects_of_system("postgresql"),
    distinguished_from=("pgbouncer-pool-exhausted",),
)
def no_connection_left(finding: Finding, view: View) -> Root | None:
    """PostgreSQL answers that it has no slot."""
    if finding.evidence.get("stage") != "slot":
        return None
    sql = "SELECT usename, application_name, client_addr, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC"
    text = _("See who holds them, with a superuser's reserved connection; do not raise max_connections")
    return Root(
        _("PostgreSQL has no connection left: it reached max_connections"),
        (safe("db.connections", text, as_superuser(view.site, sql, "postgres")),),
        speaks_for=(words_of(finding), _("PostgreSQL itself answers")),
    )


def login_refused(finding: Finding, _view: View) -> Root:
    """Our own log-in is wrong. That breaks nothing else, so only unknowns follow from it."""
    title = _("{name} refuses our user or password: what only it can tell is unknown")
    text = _("Correct the user or password of [{section}] in the configuration")
    fix = safe(
        "config.secret",
        text.format(section=finding.system),
        "samaops config show",
        "samaops config check",
    )
    return Root(title.format(name=_(_SERVICES[finding.system].name)), (fix,))


def password_unasked(finding: Finding, _view: View) -> Root:
    """It has no password set, and refuses whoever gives one, as we do and as the application may."""
    title = _("{name} has no password set, and turns away who gives one: what only it can tell is unknown")
    text = _(
        "Give it the password that it should have, or take the password out of [{section}]; ask which is meant"
    )
    fix = safe("config.secret", text.format(section=finding.system), "samaops config show")
    return Root(title.format(name=_(_SERVICES[finding.system].name)), (fix,))


def other_scheme(finding: Finding, _view: View) -> Root:
    """It asks for a log-in of another kind: no password opens it, or we do not give it as it is asked for."""
    if finding.evidence.get("stage") == "clear":
        title = _(
            "{name}, or who answers for it, asks for our password in clear: what only it can tell is unknown"
        )
        text = _(
            "Ask who runs it whether it is meant to; set [{section}] tls, else clear_text_password = true"
        )
        fix = safe(
            "config.clear_text",
            text.format(section=finding.system),
            "samaops config show",
            "samaops config check",
        )
        return Root(title.format(name=_(_SERVICES[finding.system].name)), (fix,))
    title = _("{name} takes no user and password: what only it can tell is unknown")
    text = _(
        "Ask who runs it for a way in by user and password (Basic), or for its address behind the log-in page"
    )
    fix = safe("config.way_in", text, "samaops config show")
    return Root(title.format(name=_(_SERVICES[finding.system].name)), (fix,))


@root(
    "flower-without-authentication",
    on="flower.credentials.default",
    rank=Rank.PART,
    effects=codes("celery.task.stuck", "celery.tasks.failing", when=_is_unknown),
)
def flower_without_authentication(finding: Finding, view: View) -> Root | None:
    """Flower closes its API where it has no authentication, so that its tasks are not seen."""
    if finding.evidence.get("authentication") != API_CLOSED:
        return None  # it is open, which breaks nothing
    flower = view.site.settings.flower
    container = operands((flower and flower.container) or "samaconso_flower")
    look = on_server(
        view.site, finding.server, f"docker inspect -f '{{{{.Path}}}} {{{{.Args}}}}' {container}"
    )
    text = _("Set --basic-auth (FLOWER_BASIC_AUTH) and create its container anew: it holds no data")
    return Root(fixes=(safe("flower.authentication", text, look),), speaks_for=(finding.title,))


def _declare_services() -> None:
    for system, service in _SERVICES.items():
        code = f"{system}.service.unreachable"
        ids = [f"{system}-down", f"{system}-hung"]
        if system != "proxy":  # it is on no server that we know
            ids.append(f"{system}-port-dropped")
        effects = effects_of_system(system)
        root(*ids, on=failed(code), rank=Rank.SERVICE, runbook=service.runbook, effects=effects)(service_down)
        celery = ("celery.*",) if system in _WITNESSES_OF_CELERY else ()
        unseen = codes(f"{system}.*", *celery, when=_is_unknown)
        for cause_id, kind, find in (
            ("login-refused", "authentication", login_refused),
            ("password-not-asked-for", "no_authentication", password_unasked),
            ("other-log-in-wanted", "scheme", other_scheme),
        ):
            root(cause_id, on=failed(code, kind), rank=Rank.SERVICE, effects=unseen)(find)


_declare_services()


@root(
    "postgresql-database-missing",
    on=failed("postgresql.service.unreachable", "missing"),
    rank=Rank.SERVICE,
    runbook="api-down",
    effects=effects_of_system("postgresql"),
)
def database_missing(finding: Finding, view: View) -> Root | None:
    """PostgreSQL serves, and not the database that is configured."""
    if finding.evidence.get("stage") != "login":
        return None  # the database is the only thing a log-in can miss
    section = view.site.settings.postgresql
    title = _("PostgreSQL serves and has no database {name}: renamed, dropped, or not yet restored")
    text = _("See which databases there are: one of its size under another name needs only its name back")
    sql = "SELECT datname, pg_size_pretty(pg_database_size(oid)) FROM pg_database"
    return Root(
        title.format(name=section.database if section else "samaconso"),
        (safe("db.databases", text, as_superuser(view.site, sql, "postgres")),),
        speaks_for=(words_of(finding), _("PostgreSQL itself answers")),
    )


@root(
    "api-down",
    "api-hung",
    on=failed("api.member.unreachable"),
    rank=Rank.SERVICE,
    runbook="api-down",
    effects=MEMBER_GONE,
)
def member_down(finding: Finding, view: View) -> Root:
    """One member of the API does not serve."""
    name, kind = name_of(finding), str(finding.evidence.get("kind"))
    member = view.site.member(name)
    container = operands((member.container if member else None) or name)
    healthy = ", ".join(name_of(other) for other in view.ok("api.member.unreachable"))
    serving = _("{names} still serves: take {name} out of the balancer while you look")
    logs = on_server(view.site, finding.server, f"docker logs --tail 100 {container}")
    reason = reasons.of_container(view, member.container if member else None)
    # One that hangs still writes that it cannot take another connection.
    is_why = kind in _ENDED or (reason is not None and reason.kind == "process")
    suspects = reasons.suspects(view, member.container if member else None)
    return Root(
        reasons.with_reason(_(_TITLES[kind]).format(name=name), reason if is_why else None),
        (
            *reasons.advice(view, finding, container, reason),
            safe("api.logs", _("Keep what it says before restarting"), logs),
            disruptive(
                "docker.restart",
                _("Restart this member only"),
                samaops(view.site, f"docker restart {container}"),
            ),
        ),
        id="api-hung" if kind == "no_answer" else None,
        speaks_for=(
            words_of(finding),
            *suspects,
            *(
                kept.title
                for kept in view.bad("docker.evidence.backlog")
                if member is not None and kept.subject == f"docker/{member.container}"
            ),
            *((serving.format(names=healthy, name=name),) if healthy else ()),
        ),
    )


# What all members need: where another one answers well, none of it is behind the errors of this one.
_SHARED = ("postgresql.*", "pgbouncer.*", "redis.*", "rabbitmq.*")


@root("api-unhealthy", on="api.health.*", rank=Rank.PART, runbook="api-down", effects=MEMBER_GONE)
def api_unhealthy(finding: Finding, view: View) -> Root:
    """A member answers that it is not well."""
    member = view.site.member(name_of(finding))
    container = member.container if member else None
    reason = reasons.of_container(view, container)
    return Root(
        reasons.with_reason(finding.title, reason),
        reasons.advice(view, finding, str(container), reason),
        speaks_for=(words_of(finding), *reasons.suspects(view, container), *_still_sent(finding, view)),
        ruled_out=_SHARED if any(view.ok(finding.code)) else (),
    )


def _still_sent(finding: Finding, view: View) -> Iterator[str]:
    """Yield that the balancer does not see what is wrong: customers get the errors of this member."""
    for member in view.ok("loadbalancer.member.down"):
        if member.evidence.get("instance") == name_of(finding):
            yield _("The balancer still sends it requests: {title}").format(title=member.title)


@root(
    "application-pool-exhausted",
    on="docker.log.requests",
    rank=Rank.WORK,
    runbook="api-down",
    effects=(*same_subject("docker.log.*"), *codes("api.latency.*", "loadbalancer.vip.latency")),
    distinguished_from=("pgbouncer-pool-exhausted",),
)
def application_pool_exhausted(finding: Finding, view: View) -> Root | None:
    """The pool inside the application has no connection left, while PgBouncer's has."""
    if "QueuePool limit" not in str(finding.evidence.get("line")):
        return None
    if view.not_ok("pgbouncer.pool.waiting") or view.not_ok("pgbouncer.service.unreachable"):
        return None  # it is PgBouncer that gives none
    well = view.ok("pgbouncer.pool.waiting")
    name = name_of(finding)
    text = _(
        "Restart this member only, and find what keeps its sessions; do not raise its pool above PgBouncer's"
    )
    return Root(
        _("The application's own pool of {name} has no connection left").format(name=name),
        (disruptive("docker.restart", text, samaops(view.site, f"docker restart {operands(name)}")),),
        Verdict.CONFIRMED if well else Verdict.PROBABLE,
        speaks_for=(finding.title, words_of(finding), *(pool.title for pool in well)),
    )


@root(
    "minio-refuses-writes",
    on="minio.write.refused",
    rank=Rank.STATE,
    runbook="disk-full",
    effects=codes("minio.object.probe"),
)
def minio_refuses_writes(_finding: Finding, view: View) -> Root:
    """It reads, and too few of its drives take a write."""
    text = _(
        "See which of its drives are away, full or read-only; writes are taken at once when they are back"
    )
    minio = view.site.settings.minio
    server = minio.server if minio else "db"
    looks = (on_server(view.site, server, look) for look in ("journalctl -u minio -n 50 --no-pager", "df -h"))
    return Root(fixes=(safe("minio.drives", text, *looks),))
