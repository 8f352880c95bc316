"""Roots inside Redis while it answers: who fills it, and what it does when it is full."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.causes.candidate import Candidate, View, any_of, codes
from samaops.causes.topology import effects_on_dependents
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.site.commands import on_server, redis_cli

_RESULT_PREFIX = "celery-task-meta-"
# A cache that evicts is no finding when it is full; the keys that never expire are.
_FULL_PERCENT = 80.0
_CANNOT_SAVE = "MISCONF"
_FULL = ("redis.memory.high", "redis.memory.refusing_writes", "redis.evictions.high")


def candidates(view: View) -> Iterator[Candidate]:
    """Yield why Redis is full, refuses writes, or is about to be killed."""
    yield from _without_expiry(view)
    yield from _big_key(view)
    yield from _refusing(view)
    yield from _persistence(view)


def _full_findings(view: View) -> tuple[Finding, ...]:
    return tuple(finding for code in _FULL for finding in view.bad(code))


def _without_expiry(view: View) -> Iterator[Candidate]:
    full = _full_findings(view)
    for finding in view.bad("redis.keys.no_expiry"):
        owner = _owner(finding)
        is_full = bool(full) or float(finding.evidence.get("memory_percent") or 0) >= _FULL_PERCENT
        is_results = owner.startswith(_RESULT_PREFIX)
        if is_results:
            title = _("Celery results without expiry fill Redis")
            fix = _(
                "Set result_expires again; give the existing results an expiry in slices (EXPIRE, never FLUSHDB)"
            )
        else:
            title = _("Keys {prefix}* without expiry fill Redis").format(prefix=owner)
            fix = _(
                "Fix the code that writes them; give the existing keys an expiry in slices (never FLUSHDB)"
            )
        yield Candidate(
            id="redis-results-without-expiry" if is_results else "redis-cache-without-expiry",
            rank=5,
            runbook="redis-full",
            subject=finding.subject,
            title=title,
            triggers=(finding,),
            effects=any_of(codes("redis.*"), effects_on_dependents("redis")),
            verdict=Verdict.CONFIRMED if is_full else Verdict.PROBABLE,
            speaks_for=(finding.detail or finding.title, *(one.title for one in full)),
            speaks_against=() if is_full else (_("Redis is not full yet"),),
            fixes=(
                Fix(
                    "redis.expire",
                    Risk.SAFE,
                    fix,
                    (redis_cli(view.site, f"--scan --pattern {_pattern(owner)} | head"),),
                ),
            ),
        )


def _pattern(prefix: str) -> str:
    """Return the prefix as a glob for the shell; a control character is any one character."""
    letters = (letter if letter.isprintable() else "?" for letter in prefix)
    return shlex.quote("".join(f"\\{one}" if one in "*[]\\" else one for one in letters) + "*")


def _owner(finding: Finding) -> str:
    """Return the prefix that holds most of what never expires."""
    return str(finding.evidence.get("dominant_prefix") or "")


def _big_key(view: View) -> Iterator[Candidate]:
    for finding in view.bad("redis.keys.big"):
        yield Candidate(
            id="redis-big-key",
            rank=6,
            runbook="redis-full",
            subject=finding.subject,
            title=finding.title,
            triggers=(finding,),
            effects=codes(*_FULL),
            verdict=Verdict.PROBABLE,
            speaks_for=(finding.detail or finding.title,),
            fixes=(
                Fix("redis.owner", Risk.SAFE, _("Ask its owner; trim it in chunks or UNLINK it, never DEL")),
            ),
        )


def _refusing(view: View) -> Iterator[Candidate]:
    for finding in view.bad("redis.memory.refusing_writes"):
        if finding.evidence.get("reason") == _CANNOT_SAVE:
            yield _refusing_to_lose(view, finding)
            continue
        policy = view.bad("redis.policy.different")
        yield Candidate(
            id="redis-maxmemory-noeviction",
            rank=6,
            runbook="redis-full",
            subject=finding.subject,
            title=_("Redis is at maxmemory and its policy forbids eviction: every write is refused"),
            triggers=(finding,),
            effects=any_of(codes(*_FULL, "redis.policy.different"), effects_on_dependents("redis")),
            speaks_for=tuple(one.title for one in (finding, *policy)),
            fixes=(
                Fix(
                    "redis.policy",
                    Risk.SAFE,
                    _("Put the guide's policy back; raise maxmemory only within the container's limit"),
                    (redis_cli(view.site, "CONFIG SET maxmemory-policy allkeys-lru"),),
                    (redis_cli(view.site, "CONFIG SET maxmemory-policy noeviction"),),
                ),
            ),
        )
    for finding in view.bad("redis.memory.high"):
        yield Candidate(
            id="redis-memory-full",
            rank=7,
            runbook="redis-full",
            subject=finding.subject,
            title=finding.title,
            triggers=(finding,),
            effects=codes(*_FULL, "redis.hits.low"),
            verdict=Verdict.PROBABLE,
            speaks_for=(finding.detail or finding.title,),
            fixes=(
                Fix(
                    "redis.look",
                    Risk.SAFE,
                    _("Find who owns the memory first"),
                    (redis_cli(view.site, "--memkeys"),),
                ),
            ),
        )


def _refusing_to_lose(view: View, finding: Finding) -> Candidate:
    """Return the cause of a Redis that takes no write because it could not keep it."""
    saving = view.bad("redis.persistence.failing")
    container = view.site.settings.redis.container if view.site.settings.redis else None
    log = (f"docker logs --tail 50 {shlex.quote(container)}",) if container else ()
    return Candidate(
        id="redis-refusing-writes",
        rank=5,
        runbook="redis-full",
        subject=finding.subject,
        title=_("Redis refuses every write because it cannot save to disk"),
        triggers=(finding, *saving),
        effects=any_of(
            codes("redis.fork.failing", "redis.memory.refusing_writes"),
            codes("docker.container.unhealthy", subject=f"docker/{container}"),
            effects_on_dependents("redis"),
        ),
        speaks_for=(*(one.detail or one.title for one in (finding, *saving)), *_room(view, finding.server)),
        fixes=(
            Fix(
                "redis.logs",
                Risk.SAFE,
                _(
                    "Read why the save fails, repair that, and let it save again: writes are taken at once. Do not "
                    "switch stop-writes-on-bgsave-error off"
                ),
                (
                    *(on_server(view.site, finding.server, one) for one in log),
                    redis_cli(view.site, "BGSAVE"),
                ),
            ),
        ),
    )


def _room(view: View, server: str | None) -> tuple[str, ...]:
    """Return what rules the usual reason out: a full disk, or too little memory."""
    disks = () if view.bad("servers.disk.*", server) else view.ok("servers.disk.full", server)
    said = [_("the disks of its server have room")] if disks else []
    if not view.bad("redis.memory.high"):
        said.append(_("its memory is not full"))
    return tuple(said)


def _persistence(view: View) -> Iterator[Candidate]:
    for finding in view.bad("redis.persistence.failing"):
        yield Candidate(
            id="redis-cannot-save",
            rank=6,
            runbook="redis-full",
            subject=finding.subject,
            title=finding.title,
            triggers=(finding,),
            effects=any_of(codes("redis.memory.refusing_writes"), effects_on_dependents("redis")),
            speaks_for=(finding.detail or finding.title,),
            fixes=(
                Fix(
                    "redis.logs",
                    Risk.SAFE,
                    _(
                        "Read its log: disk full, or no memory to fork. Do not switch stop-writes-on-bgsave-error off"
                    ),
                ),
            ),
        )
