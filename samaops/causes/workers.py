"""Roots in the Celery workers: gone, no longer consuming, or stuck on a task."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from samaops.causes import refusals
from samaops.causes.candidate import Candidate, View, any_of, codes
from samaops.causes.refusals import Refusal
from samaops.causes.topology import effects_of_worker
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.site.commands import on_server, samaops


def candidates(view: View) -> Iterator[Candidate]:
    """Yield what is wrong with the workers."""
    for finding in view.bad("celery.worker.missing"):
        yield _worker(view, finding, "worker-down", 6, _("Worker {name} is not connected to the broker"))
    for finding in view.bad("celery.task.stuck"):
        yield _stuck(view, finding)
    for finding in view.bad("celery.worker.not_consuming"):
        if not finding.evidence.get("consumed"):
            yield _deaf(view, finding)
    for finding in view.bad("flower.workers.unseen"):
        yield from _frozen(view, finding)
    for finding in view.bad("rabbitmq.queue.redelivering"):
        yield _poison(view, finding)
    for finding in view.bad("celery.tasks.failing"):
        yield _failing(view, finding)


def _name(finding: Finding) -> str:
    return finding.subject.partition("/")[2]


def _restart(view: View, finding: Finding) -> tuple[Fix, ...]:
    worker = view.site.settings.celery.workers.get(_name(finding)) if view.site.settings.celery else None
    if worker is None or worker.container is None:
        return ()
    on = partial(on_server, view.site)
    return (
        Fix(
            "workers.logs",
            Risk.SAFE,
            _("Keep its last words"),
            (on(worker.server, f"docker logs --tail 50 {shlex.quote(worker.container)}"),),
        ),
        Fix(
            "workers.restart",
            Risk.DISRUPTIVE,
            _("Restart this one worker"),
            (samaops(view.site, f"docker restart {shlex.quote(worker.container)}"),),
        ),
    )


def _worker(view: View, finding: Finding, cause_id: str, rank: int, title: str) -> Candidate:
    return Candidate(
        id=cause_id,
        rank=rank,
        runbook="notifications",
        subject=finding.subject,
        title=title.format(name=_name(finding)),
        triggers=(finding,),
        effects=effects_of_worker(view.site, _name(finding)),
        speaks_for=(finding.detail or finding.title,),
        fixes=_restart(view, finding),
    )


def _deaf(view: View, finding: Finding) -> Candidate:
    """Return the cause of a worker that is connected and takes nothing, with what tells it from its neighbours."""
    title = _("Worker {name} is connected but consumes nothing")
    found = _worker(view, finding, "worker-not-consuming", 7, title)
    queues = {f"rabbitmq/{queue}" for queue in finding.evidence.get("expected", ())}
    waiting = [one for one in view.bad("rabbitmq.queue.no_consumer") if one.subject in queues]
    speaks_for = [one.title for one in waiting]
    if any(one.subject == finding.subject for one in view.ok("celery.task.stuck")):
        speaks_for.append(_("it hangs on no task: its processes are free"))
    against = () if waiting else (_("another consumer takes its queues: nothing waits for it"),)
    return replace(found, speaks_for=(*found.speaks_for, *speaks_for), speaks_against=against)


def _frozen(view: View, finding: Finding) -> Iterator[Candidate]:
    """Yield the workers that the broker shows and Flower no longer hears, while it hears others: not Flower's fault."""
    heard = finding.evidence.get("online") or ()
    for name in finding.evidence.get("missing") or ():
        subject = f"celery/{name}"
        connected = [one for one in view.ok("celery.worker.missing") if one.subject == subject]
        if not heard or not connected:
            continue
        others = ", ".join(sorted(str(one).partition("@")[0] for one in heard))
        yield Candidate(
            id="worker-frozen",
            rank=7,
            runbook="notifications",
            subject=subject,
            title=_("Worker {name} is connected and gives no sign of life: it is frozen, or cut off").format(
                name=name
            ),
            triggers=(finding,),
            effects=effects_of_worker(view.site, name),
            verdict=Verdict.PROBABLE,
            speaks_for=(
                finding.title,
                _("Flower hears the others: {names}").format(names=others),
                connected[0].title,
            ),
            fixes=_restart(view, connected[0]),
        )


def _stuck(view: View, finding: Finding) -> Candidate:
    elsewhere = _waits_elsewhere(view, finding)
    return Candidate(
        id="worker-stuck-on-task",
        rank=6,
        runbook="notifications",
        subject=finding.subject,
        title=finding.title,
        triggers=(finding,),
        effects=any_of(
            effects_of_worker(view.site, _name(finding)),
            codes("rabbitmq.queue.backlog", "rabbitmq.queue.stuck"),
        ),
        speaks_for=(finding.detail or finding.title, *elsewhere),
        fixes=_restart(view, finding),
        ruled_out=("postgresql.*", "pgbouncer.*") if elsewhere else (),
    )


def _waits_elsewhere(view: View, finding: Finding) -> tuple[str, ...]:
    """Return why the tasks do not hang on the database: who does is a client of the pool that is served or waits."""
    stuck = _number(finding, "stuck")
    pools = [
        one
        for one in view.findings
        if one.code == "pgbouncer.pool.waiting" and "servers_busy" in one.evidence
    ]
    if not stuck or not pools:
        return ()
    asking = sum(_number(one, "clients_waiting") + _number(one, "servers_busy") for one in pools)
    if asking >= stuck:
        return ()
    text = _(
        "it does not hang on the database: of the pool's clients {asking} wait or are served, {stuck} tasks hang"
    )
    return (text.format(asking=asking, stuck=stuck),)


def _number(finding: Finding, key: str) -> int:
    """Return a number of the evidence; 0 where a saved look has something else there."""
    value = finding.evidence.get(key)
    return value if isinstance(value, int) else 0


def _poison(view: View, finding: Finding) -> Candidate:
    refusal = refusals.POISON

    def lost_process(one: Finding) -> bool:
        return one.code == "celery.tasks.failing" and refusals.of(one) is refusal

    return Candidate(
        id=refusal.cause,
        rank=8,
        runbook="notifications",
        subject=finding.subject,
        title=_("A message of the queue {queue} kills the process that runs it, and comes back").format(
            queue=_name(finding)
        ),
        triggers=(finding,),
        effects=any_of(
            lost_process,
            codes("rabbitmq.queue.backlog", "rabbitmq.queue.stuck", subject=finding.subject),
        ),
        verdict=Verdict.PROBABLE,
        speaks_for=(finding.detail or finding.title,),
        fixes=(_park(view, _name(finding)),),
    )


def _park(view: View, queue: str) -> Fix:
    name = shlex.quote(queue)
    return Fix(
        "queue.park",
        Risk.DISRUPTIVE,
        _("Park it in a holding queue; all others stay"),
        (samaops(view.site, f"queue park {name} --redelivered"),),
        (samaops(view.site, f"queue unpark {name}"),),
    )


def _failing(view: View, finding: Finding) -> Candidate:
    refusal = refusals.of(finding)
    if refusal is not None:
        return _refused(view, finding, refusal)
    return Candidate(
        id="tasks-failing",
        rank=9,
        runbook="notifications",
        subject=finding.subject,
        title=finding.title,
        triggers=(finding,),
        effects=codes(),
        verdict=Verdict.INCONCLUSIVE,
        speaks_for=(finding.detail or finding.title,),
        speaks_against=(_("nothing on the way to Google was found broken"),),
    )


def _refused(view: View, finding: Finding, refusal: Refusal) -> Candidate:
    same, looked_at = (int(finding.evidence.get(key) or 0) for key in ("exception_count", "exception_of"))
    others = looked_at - same
    against = []
    if others > 0:
        text = _("{others} of the last {count} failures have other reasons")
        against.append(text.format(others=others, count=looked_at))
    if refusal.cause == "clock-skew" and view.ok("servers.clock.skewed"):
        against.append(
            _("the servers' clocks agree: all are wrong together, or one process has a time of its own")
        )
    return Candidate(
        id=refusal.cause,
        rank=8,
        runbook="notifications",
        subject=finding.subject,
        title=_(refusal.title),
        triggers=(finding,),
        effects=codes(),
        verdict=Verdict.PROBABLE if others > same else refusal.verdict,
        speaks_for=(str(finding.evidence["exception"]), finding.detail or finding.title),
        speaks_against=tuple(against),
        fixes=(Fix("refusal.advice", Risk.SAFE, _(refusal.advice), refusals.looks(refusal, view.site)),),
        is_proof=refusal.is_google,
    )
