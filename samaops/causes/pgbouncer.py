"""Roots inside PgBouncer while it and PostgreSQL serve: paused, disabled, refused, out of connections."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.causes.effects import Effects, codes, in_part
from samaops.causes.root import Rank, Root, look_first, root, safe, words_of
from samaops.causes.topology import POOL_RUNS_DRY, effects_on_dependents
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Verdict
from samaops.model.finding import Finding
from samaops.site.commands import as_superuser, samaops
from samaops.site.shell_words import operands

_POOL_HELD: Effects = (
    *codes(*POOL_RUNS_DRY, "pgbouncer.login.stuck"),
    *effects_on_dependents("pgbouncer"),
)


@root(
    "pgbouncer-paused",
    on="pgbouncer.pool.paused",
    rank=Rank.STATE,
    runbook="api-down",
    effects=_POOL_HELD,
    distinguished_from=("pgbouncer-pool-exhausted",),
)
def pgbouncer_paused(finding: Finding, view: View) -> Root:
    """Somebody paused the pool."""
    return _held(finding, view, "resume")


@root(
    "pgbouncer-database-disabled",
    on="pgbouncer.database.disabled",
    rank=Rank.STATE,
    runbook="api-down",
    effects=_POOL_HELD,
)
def pgbouncer_database_disabled(finding: Finding, view: View) -> Root:
    """Somebody disabled the database in the pool."""
    return _held(finding, view, "enable")


def _held(finding: Finding, view: View, verb: str) -> Root:
    # A PAUSE of everything is taken back by a RESUME of everything, as are several.
    names = finding.evidence.get("databases") or ()
    name = str(finding.evidence.get("database") or "samaconso")
    is_all = bool(finding.evidence.get("all")) or (verb == "resume" and len(names) > 1)
    # Before 1.19 no list shows a PAUSE of everything; a log-in that fails looks the same from outside.
    is_inferred = bool(finding.evidence.get("inferred"))
    if is_inferred:
        text = _("Let it serve again; if it says that nothing is paused, its log says why it cannot log in")
    else:
        text = _("Let it serve again; no restart is needed")
    do = samaops(view.site, f"pool {verb}" if is_all else f"pool {verb} {operands(name)}")
    # A pause is not made again: who wants one makes it with `samaops pool pause`, which ends.
    undo = samaops(view.site, f"pool disable {operands(name)}") if verb == "enable" else None
    answers = view.ok("postgresql.service.unreachable")
    return Root(
        fixes=(safe(f"pool.{verb}", text, do, undo=undo),),
        verdict=Verdict.PROBABLE if is_inferred else Verdict.CONFIRMED,
        speaks_for=(words_of(finding), *((_("PostgreSQL itself answers"),) if answers else ())),
    )


@root(
    "pgbouncer-resumed",
    on="pgbouncer.login.stuck",
    rank=Rank.STATE,
    runbook="db-slow",
    effects=_POOL_HELD,
    distinguished_from=("pgbouncer-login-stuck",),
)
def pgbouncer_resumed(finding: Finding, view: View) -> Root | None:
    """A pause has just ended; PgBouncer takes the log-ins that it cut for failed, and waits before it tries again."""
    seconds, retry = (finding.evidence.get(name) for name in ("resumed_seconds", "server_login_retry"))
    if not isinstance(seconds, (int, float)) or not isinstance(retry, (int, float)):
        return None
    text = _("Wait: it passes by itself, within {seconds:.0f} s; then look again")
    look = samaops(view.site, "pool pools")
    return Root(fixes=(safe("pool.await", text.format(seconds=max(1.0, retry - seconds)), look),))


@root(
    "pgbouncer-login-stuck",
    on="pgbouncer.login.stuck",
    rank=Rank.PART,
    runbook="api-down",
    effects=codes(*POOL_RUNS_DRY),
)
def pgbouncer_login_stuck(finding: Finding, _view: View) -> Root:
    """It gets no connection, and nobody says why."""
    return look_first(finding)


@root(
    "pgbouncer-pool-exhausted",
    on="pgbouncer.pool.waiting",
    rank=Rank.CONSUMER,
    runbook="db-slow",
    effects=codes(*POOL_RUNS_DRY, "api.latency.*", "loadbalancer.vip.*"),
)
def pgbouncer_pool_exhausted(finding: Finding, view: View) -> Root:
    """Every connection that it may open is in use, and nothing is seen that holds them."""
    is_idle = [*view.ok("postgresql.sessions.waiting"), *view.ok("postgresql.query.crowd")]
    return replace(look_first(finding), speaks_for=(words_of(finding), *(seen.title for seen in is_idle)))


@root(
    "connections-bypass-pool",
    on="pgbouncer.pool.bypassed",
    rank=Rank.PART,
    runbook="db-slow",
    effects=codes("postgresql.connections.high", "pgbouncer.pool.oversized"),
    distinguished_from=("postgresql-connections-exhausted",),
)
def connections_bypass_pool(_finding: Finding, view: View) -> Root:
    """Somebody logs in to PostgreSQL itself, where the pool was meant to be between."""
    text = _(
        "Find the program and give it the pool's port; its sessions cost memory each, and no limit holds them"
    )
    return Root(fixes=(safe("pool.route", text, samaops(view.site, "db connections")),))


_SAME_WORDS = ("servers.log.trouble", "docker.log.trouble")


@root(
    "pgbouncer-login-stuck",
    on="pgbouncer.login.stuck",
    rank=Rank.STATE,
    runbook="api-down",
    effects=(*_POOL_HELD, *in_part(codes(*_SAME_WORDS))),
    distinguished_from=("pgbouncer-paused",),
)
def pgbouncer_login_refused(finding: Finding, view: View) -> Root | None:
    """PgBouncer's log says why it gets no connection; of a limit that is reached, what reached it is the cause."""
    reason = finding.evidence.get("reason")
    if finding.evidence.get("line") is None or reason == "limit":
        return None
    text = _(
        "Put right what the log says, on the side that refuses; the pool tries again by itself, within seconds"
    )
    looks = {
        "rejected": as_superuser(view.site, "SELECT * FROM pg_hba_file_rules", "postgres"),
        "tls": samaops(view.site, "pool settings"),
    }
    look = looks.get(str(reason), samaops(view.site, "pool databases"))
    same = codes(*_SAME_WORDS, when=lambda log: log.evidence.get("reason") == reason)
    return Root(
        fixes=(safe("pool.login", text, look),),
        effects=(*_POOL_HELD, *same),
    )
