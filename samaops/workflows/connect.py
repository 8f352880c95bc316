"""`config check --connect`: log in to everything that is configured, as every look does, and say what lacks."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.checks import failures
from samaops.checks.registry import rules
from samaops.clients import smtp
from samaops.clients.errors import ClientError
from samaops.collect import engine, registry
from samaops.collect.engine import Collector, Probe
from samaops.config.settings import MailNotification, Ssh
from samaops.errors import SamaopsError
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.selection import EVERYTHING
from samaops.facts.systems import SYSTEMS
from samaops.i18n import N_, _
from samaops.journal.history import Journal, database_of
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.report import Report, worst_first
from samaops.model.status import Status
from samaops.site import redaction
from samaops.site.commands import in_broker, on_server, sql_name
from samaops.site.site import Site
from samaops.workflows import diagnose

DEADLINE_SECONDS = 10.0
# What has no check of its own: who is told, and the journal that several machines share.
_ASIDE = {"notify": "config.notify", "history": "config.history"}
_ADDRESS = N_("see that {section} has the right address and port; if so: samaops diagnose")
_LOG_IN = N_("correct the user and the password of {section}, see: samaops config show")
_HELP = {
    FailureKind.REFUSED: _ADDRESS,
    FailureKind.SILENT: _ADDRESS,
    FailureKind.NO_ANSWER: _ADDRESS,
    FailureKind.CLOSED: _ADDRESS,
    FailureKind.GARBAGE: _ADDRESS,
    FailureKind.UNAVAILABLE: _ADDRESS,
    FailureKind.AUTHENTICATION: _LOG_IN,
    FailureKind.NO_AUTHENTICATION: _LOG_IN,
    FailureKind.SCHEME: _LOG_IN,
    FailureKind.NAME: N_("correct the host name of {section}, or this machine's /etc/resolv.conf"),
    FailureKind.TLS: N_("see that {section} names the authority of its certificate (ca_file), and its name"),
    FailureKind.DEPENDENCY: N_("mend first what it is reached through: the lines of [servers] here"),
    FailureKind.MISSING: "samaops doctor",
    FailureKind.HOST_KEY: "samaops doctor",
}


def connect(site: Site, deadline_seconds: float = DEADLINE_SECONDS) -> Report:
    """Try each configured system with its own user and rights, side by side; nothing is written, nobody is told."""
    collectors = [*registry.collectors(site, EVERYTHING), *_aside(site)]
    snapshot: Snapshot = redaction.redacted(
        engine.observe(collectors, site, EVERYTHING, deadline_seconds), site
    )
    looks = [look for look in snapshot.observations if look.system in SYSTEMS]
    judged = diagnose.judge(replace(snapshot, observations=tuple(looks)), site)
    unseen = _unseen(snapshot, site)
    others = [look for look in snapshot.observations if look.system not in SYSTEMS]
    findings = [*_access(judged, site), *unseen, *(_finding(look, site) for look in others), *_untried(site)]
    is_well = all(finding.status in (Status.OK, Status.SKIPPED) for finding in findings)
    return replace(
        judged,
        command="config",
        causes=(),
        findings=worst_first(findings),
        answer=_("Everything that is configured lets us in") if is_well else _("Not everything lets us in"),
    )


def _access(judged: Report, site: Site) -> Iterator[Finding]:
    """Yield what says whether a system lets us in, and each thing that it did not let us see, once."""
    codes = {rule.code for rule in rules() if rule.access}
    seen: set[tuple[str, str]] = set()
    for finding in judged.findings:
        is_unseen = finding.status is Status.UNKNOWN and "part" in finding.evidence
        if finding.code not in codes and not is_unseen:
            continue
        if is_unseen and (finding.subject, finding.detail) in seen:
            continue
        seen.add((finding.subject, finding.detail))
        kind = finding.evidence.get("kind")
        if kind == FailureKind.ABSENT.value:
            yield replace(finding, status=Status.SKIPPED, hint=None, cause=None)
        elif kind and finding.status not in (Status.OK, Status.SKIPPED):
            hint = _what_to_do(FailureKind(kind), finding.system, finding.server, site)
            yield replace(finding, hint=hint or finding.hint, cause=None)
        else:
            yield replace(finding, cause=None)


def _unseen(snapshot: Snapshot, site: Site) -> Iterator[Finding]:
    """Name the right whose lack PostgreSQL does not refuse: it leaves out what others do, without a word."""
    for look, facts in snapshot.facts_of(PostgresFacts):
        if not facts.is_monitor:
            title = _("{role} is not in pg_monitor: what others do in PostgreSQL is hidden from it")
            yield Finding(
                "config.rights",
                Status.WARNING,
                look.subject,
                title.format(role=facts.role),
                server=look.server,
                hint=_grant("postgresql", look.server, site),
            )


def _what_to_do(kind: FailureKind, system: str, server: str | None, site: Site) -> str:
    """Return what helps against a failed log-in: the key to look at, or the command that grants what lacks."""
    if kind is FailureKind.PERMISSION:
        return _grant(system, server, site)
    section = f"[servers.{server}]" if system == "servers" else f"[{system}]"
    return _(_HELP.get(kind, "")).format(section=section) if kind in _HELP else ""


def _grant(system: str, server: str | None, site: Site) -> str:
    """Return the command, for whoever administers the system, that gives our user the right to look."""
    settings = site.settings
    if system == "postgresql" and settings.postgresql is not None:
        return f"sudo -u postgres psql -c 'GRANT pg_monitor TO {sql_name(settings.postgresql.user)}'"
    if system == "pgbouncer" and settings.pgbouncer is not None:
        return _("name {user} in stats_users of pgbouncer.ini, then RELOAD").format(
            user=settings.pgbouncer.admin_user
        )
    if system == "rabbitmq" and settings.rabbitmq is not None:
        return in_broker(site, f"rabbitmqctl set_user_tags {settings.rabbitmq.username} monitoring")
    if system == "redis" and settings.redis is not None:
        return f"ACL SETUSER {settings.redis.username or 'default'} +@read +info +ping +slowlog +config|get"
    configured = settings.servers.get(server or "")
    if system == "docker" and configured is not None and isinstance(configured.ssh, Ssh):
        return on_server(site, server, f"sudo usermod -aG docker {configured.ssh.user}")
    return ""


def _aside(site: Site) -> Iterator[Collector]:
    mail, url = site.settings.notify.mail, site.settings.history.url
    if mail is not None:
        yield Collector("notify", "notify/mail", str, _mail(mail), timeout=mail.timeout + 1)
    if url is not None:
        yield Collector("history", "history/journal", str, lambda _probe: _journal(site))


def _mail(mail: MailNotification) -> engine.Look:
    def look(_probe: Probe) -> str:
        smtp.try_out(mail)
        return _("{host} takes mail for {recipients}; none was sent").format(
            host=mail.host, recipients=", ".join(mail.recipients)
        )

    return look


def _journal(site: Site) -> str:
    try:
        Journal(database_of(site.settings), site.name).changes(1)
    except SamaopsError as error:
        raise ClientError(FailureKind.ERROR, error.message, "history") from error
    return _("The journal can be read")


def _finding(look: Observation, site: Site) -> Finding:
    code = _ASIDE[look.system]
    if look.failure is None:
        return Finding(code, Status.OK, look.subject, str(look.facts))
    section = "notify.mail" if look.system == "notify" else "history"
    return Finding(
        code,
        Status.CRITICAL if look.failure.is_outage else Status.UNKNOWN,
        look.subject,
        failures.title(look.failure, look.subject),
        detail=failures.describe(look.failure),
        evidence=failures.evidence_of(look.failure),
        hint=_what_to_do(look.failure.kind, section, None, site) or "samaops config show",
    )


def _untried(site: Site) -> Iterator[Finding]:
    """Name what cannot be tried without somebody being told."""
    notify = site.settings.notify
    configured = [name for name in ("slack", "alertmanager", "ping") if getattr(notify, name) is not None]
    for name in (*configured, *notify.webhooks):
        title = _("not tried: it would tell somebody")
        yield Finding("config.notify", Status.SKIPPED, f"notify/{name}", title)
