"""Roots in the Celery workers: gone, no longer consuming, frozen, or stuck on a task."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.causes import reasons, task_exceptions
from samaops.causes.effects import OfSite, codes, name_of, same_subject
from samaops.causes.root import Rank, Root, disruptive, root, safe, words_of
from samaops.causes.topology import WORKER_GONE, effects_of_worker
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.site.commands import on_server, samaops
from samaops.site.shell_words import operands
from samaops.site.site import Site

# Fewer than these of one kind among the failures say nothing: a tenth, and no single one.
_LEAST_FAILURES, _LEAST_SHARE = 2, 10
_BACKLOG = codes("rabbitmq.queue.backlog", "rabbitmq.queue.stuck")


def _restart(site: Site, name: str) -> tuple[Fix, ...]:
    worker = site.worker(name)
    if worker is None or worker.container is None:
        return ()
    container = operands(worker.container)
    logs = on_server(site, worker.server, f"docker logs --tail 50 {container}")
    restart = samaops(site, f"docker restart {container}")
    return (
        safe("workers.logs", _("Keep its last words"), logs),
        disruptive("workers.restart", _("Restart this one worker"), restart),
    )


@root(
    "worker-down",
    on="celery.worker.missing",
    rank=Rank.PART,
    runbook="notifications",
    effects=WORKER_GONE,
    distinguished_from=("queue-without-consumer", "broker-disk-alarm"),
)
def worker_down(finding: Finding, view: View) -> Root | None:
    """The broker has no connection of it, and nobody does its work."""
    if finding.evidence.get("consumers"):
        return None
    name = name_of(finding)
    worker = view.site.worker(name)
    container = worker.container if worker else None
    reason = reasons.of_container(view, container)
    title = _("Worker {name} is not connected to the broker").format(name=name)
    return Root(
        reasons.with_reason(title, reason),
        (*reasons.advice(view, finding, str(container), reason), *_restart(view.site, name)),
        speaks_for=(words_of(finding), *reasons.suspects(view, container)),
    )


@root(
    "worker-stuck-on-task",
    on="celery.task.stuck",
    rank=Rank.PART,
    runbook="notifications",
    effects=OfSite(
        lambda finding, site: (*WORKER_GONE.of(finding, site), *_BACKLOG), (*WORKER_GONE.shown, *_BACKLOG)
    ),
    distinguished_from=("worker-not-consuming",),
)
def worker_stuck_on_task(finding: Finding, view: View) -> Root:
    """Every process of its pool waits in a task."""
    elsewhere = _waits_elsewhere(finding, view)
    return Root(
        fixes=_restart(view.site, name_of(finding)),
        speaks_for=(words_of(finding), *elsewhere),
        ruled_out=("postgresql.*", "pgbouncer.*") if elsewhere else (),
    )


def _waits_elsewhere(finding: Finding, view: View) -> tuple[str, ...]:
    """Return why the tasks do not hang on the database: who does is a client of the pool that is served or waits."""
    stuck = _number(finding, "stuck")
    pools = [
        pool
        for pool in view.findings
        if pool.code == "pgbouncer.pool.waiting" and "servers_busy" in pool.evidence
    ]
    if not stuck or not pools:
        return ()
    asking = sum(_number(pool, "clients_waiting") + _number(pool, "servers_busy") for pool in pools)
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


@root(
    "worker-not-consuming",
    on="celery.worker.not_consuming",
    rank=Rank.WORK,
    runbook="notifications",
    effects=WORKER_GONE,
    distinguished_from=("queue-without-consumer", "worker-stuck-on-task", "worker-frozen"),
)
def worker_not_consuming(finding: Finding, view: View) -> Root | None:
    """It is connected and takes nothing."""
    if finding.evidence.get("consumed"):
        return None
    queues = {f"rabbitmq/{queue}" for queue in finding.evidence.get("expected", ())}
    waiting = [queue.title for queue in view.bad("rabbitmq.queue.no_consumer") if queue.subject in queues]
    is_free = any(task.subject == finding.subject for task in view.ok("celery.task.stuck"))
    free = (_("it hangs on no task: its processes are free"),) if is_free else ()
    return Root(
        _("Worker {name} is connected but consumes nothing").format(name=name_of(finding)),
        _restart(view.site, name_of(finding)),
        speaks_for=(words_of(finding), *waiting, *free),
        speaks_against=() if waiting else (_("another consumer takes its queues: nothing waits for it"),),
    )


@root(
    "worker-frozen",
    on="flower.workers.unseen",
    rank=Rank.WORK,
    runbook="notifications",
    effects=WORKER_GONE,
    distinguished_from=("worker-not-consuming", "worker-down"),
)
def worker_frozen(finding: Finding, view: View) -> Iterator[Root]:
    """The broker shows it and Flower no longer hears it, while it hears others: not Flower's fault."""
    heard = finding.evidence.get("online") or ()
    others = ", ".join(sorted(str(node).partition("@")[0] for node in heard))
    connected = {worker.subject: worker for worker in view.ok("celery.worker.missing")}
    for name in finding.evidence.get("missing") or ():
        subject = f"celery/{name}"
        if not heard or subject not in connected:
            continue
        title = _("Worker {name} is connected and gives no sign of life: it is frozen, or cut off")
        yield Root(
            title.format(name=name),
            _restart(view.site, name),
            Verdict.PROBABLE,
            subject=subject,
            triggers=(replace(finding, evidence={**finding.evidence, "missing": [name]}),),
            effects=effects_of_worker(view.site, name),
            speaks_for=(
                finding.title,
                _("Flower hears the others: {names}").format(names=others),
                connected[subject].title,
            ),
        )


@root(
    task_exceptions.POISON.cause,
    on="rabbitmq.queue.redelivering",
    rank=Rank.CONSUMER,
    runbook="notifications",
    effects=(
        *codes("celery.tasks.failing", when=task_exceptions.lost_its_process),
        *same_subject("rabbitmq.queue.backlog", "rabbitmq.queue.stuck"),
    ),
)
def poison_message(finding: Finding, view: View) -> Root:
    """A message kills who takes it, and comes back."""
    queue = name_of(finding)
    park, unpark = (
        samaops(view.site, f"queue {words}")
        for words in (f"park --redelivered {operands(queue)}", f"unpark {operands(queue)}")
    )
    text = _("Park it in a holding queue; all others stay")
    return Root(
        _("A message of the queue {queue} kills the process that runs it, and comes back").format(
            queue=queue
        ),
        (disruptive("queue.park", text, park, undo=unpark),),
        Verdict.PROBABLE,
    )


@root(
    *(refusal.cause for refusal in task_exceptions.REFUSALS),
    on="celery.tasks.failing",
    rank=Rank.CONSUMER,
    runbook="notifications",
    # The workers write of every task that fails.
    effects=codes("docker.log.trouble", when=lambda log: log.evidence.get("system") == "celery"),
)
def task_refused(finding: Finding, view: View) -> Iterator[Root]:
    """Tasks fail, and the words of their exceptions are documented: of each kind, as there may be two at once."""
    looked_at = task_exceptions.count_of(finding.evidence.get("exception_of"))
    most = task_exceptions.of(finding)
    for refusal, words, same in task_exceptions.seen_in(finding).values():
        is_many = same >= _LEAST_FAILURES and _LEAST_SHARE * same >= looked_at
        if refusal is most or is_many:
            # It is the same finding for all of them: each is decided by its own words in it.
            evidence = {**finding.evidence, "exception": words, "exception_count": same}
            yield _refused(replace(finding, evidence=evidence), refusal, looked_at - same, view)


def _refused(finding: Finding, refusal: task_exceptions.Refusal, others: int, view: View) -> Root:
    evidence = finding.evidence
    against = []
    if others > 0:
        text = _("{others} of the last {count} failures have other reasons")
        against.append(text.format(others=others, count=evidence["exception_of"]))
    if refusal.cause == "clock-skew" and view.ok("servers.clock.skewed"):
        against.append(
            _("the servers' clocks agree: all are wrong together, or one process has a time of its own")
        )
    return Root(
        _(refusal.title),
        (safe("refusal.advice", _(refusal.advice), *task_exceptions.looks(refusal, view.site)),),
        Verdict.PROBABLE if others > evidence["exception_count"] else refusal.verdict,
        id=refusal.cause,
        triggers=(finding,),
        speaks_for=(str(evidence["exception"]), words_of(finding)),
        speaks_against=tuple(against),
        is_proof=refusal.is_proof,
    )


@root("tasks-failing", on="celery.tasks.failing", rank=Rank.REMAINDER, runbook="notifications")
def tasks_failing(finding: Finding, _view: View) -> Root | None:
    """Tasks fail, and nobody has documented why."""
    if task_exceptions.of(finding) is not None:
        return None
    against = (_("nothing on the way to Google was found broken"),)
    return Root(verdict=Verdict.INCONCLUSIVE, speaks_against=against)
