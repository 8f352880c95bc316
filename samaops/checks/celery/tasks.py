"""Judge the tasks that Flower heard of: is one running for ever, do too many fail."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.celery.workers import nodes_of, see_worker, subject_of
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.celery import ActiveTask, CeleryFacts, FailingReason, RecentTasks, total
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status

SHOWN_TASKS = 3
# Fewer finished tasks than this say nothing about a share.
MINIMUM_TASKS = 5
MINIMUM_FAILURES = 2
# Successes in a row that would be this unlikely if tasks still failed as before: it is over.
RECOVERED_PROBABILITY = 0.05
RECOVERED_STREAK = 3


@check("celery.task.stuck", CeleryFacts, needs=("tasks",), unit="s")
def stuck(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    if celery.active is None or context.site.settings.celery is None:
        yield context.skipped(_("[flower] is not configured: running tasks are not seen"))
        return
    limit = context.site.settings.celery.stuck_after
    for key, worker in context.site.workers().items():
        about = context.about(subject_of(key), server=worker.server, warning=limit)
        nodes = nodes_of(celery, key)
        # Flower also hears a worker that the broker does not show by name.
        names = {node.name for node in nodes} or {
            task.worker for task in celery.active if task.worker.partition("@")[0] == key
        }
        tasks = [task for name in sorted(names) for task in running_of(celery.active, name)]
        late = sorted(
            (task for task in tasks if task.runtime_seconds >= limit), key=lambda task: -task.runtime_seconds
        )
        evidence: Evidence = {
            "stuck": len(late),
            "running": len(tasks),
            "unacknowledged": total(node.unacknowledged for node in nodes),
            "capacity": total(node.capacity for node in nodes),
            "tasks": [_task(task) for task in late[:SHOWN_TASKS]],
        }
        if not late:
            yield about.ok(_("The worker {worker} has no stuck task").format(worker=key), evidence=evidence)
            continue
        title = _("The worker {worker} has been in the task {task} for {seconds} s").format(
            worker=key, task=late[0].name, seconds=round(late[0].runtime_seconds)
        )
        # It holds all the messages it may hold: nothing more reaches it until a task ends.
        is_full = any(node.capacity and (node.unacknowledged or 0) >= node.capacity for node in nodes)
        status = Status.CRITICAL if is_full else Status.WARNING
        # Since when it counts as stuck: a fault that is younger is not why.
        evidence = {**evidence, "age_seconds": round(late[0].runtime_seconds - limit, 1)}
        hint = see_worker(context, worker, "top")
        yield about.finding(status, title, value=late[0].runtime_seconds, evidence=evidence, hint=hint)


def running_of(active: tuple[ActiveTask, ...], node: str) -> list[ActiveTask]:
    """Return the tasks a worker really runs, longest first.

    Flower never forgets a started task whose worker was killed. The worker itself says with each heartbeat how
    many it runs: those are the ones started last.
    """
    tasks = sorted((task for task in active if task.worker == node), key=lambda task: task.runtime_seconds)
    count = next((task.worker_active for task in tasks if task.worker_active is not None), len(tasks))
    return tasks[:count][::-1]


def _task(task: ActiveTask) -> Evidence:
    return {
        "id": task.id,
        "name": task.name,
        "arguments": task.arguments,
        "runtime_seconds": task.runtime_seconds,
        "worker": task.worker,
    }


@check(
    "celery.tasks.failing",
    CeleryFacts,
    needs=("tasks",),
    # The guide's KPI "notifications sent": over 95 %, alert under 90 %.
    warning=5,
    critical=10,
    unit="%",
)
def failing(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    about, recent = context.about(subject_of("tasks")), celery.recent
    if recent is None:
        yield about.skipped(_("[flower] is not configured: finished tasks are not seen"))
        return
    failures, total = recent.outcomes.count(False), len(recent.outcomes)
    percent = round(100 * failures / total, 1) if total else 0.0
    evidence = {
        "failed": failures,
        "finished": total,
        "window_seconds": recent.window_seconds,
        "exception": recent.exception,
        "exception_count": recent.exception_count,
        "exception_of": recent.exception_of,
        "exceptions": {reason.exception: reason.count for reason in recent.reasons if goes_on(reason)},
        "tasks": dict(recent.failing_names),
    }
    if not total:
        title = _("Flower has heard of no task that ended lately: failures would not be seen")
        yield about.ok(title, evidence=evidence)
    elif total < MINIMUM_TASKS and recent.outcomes[:1] == (False,) and 2 * failures >= total:
        title = _("{failed} of the last {total} tasks failed: too few to judge, and not well").format(
            failed=failures, total=total
        )
        yield about.warn(title, value=percent, evidence=evidence)
    elif total < MINIMUM_TASKS or failures < MINIMUM_FAILURES:
        title = _("{failed} of the last {total} tasks failed").format(failed=failures, total=total)
        yield about.ok(title, value=percent, evidence=evidence)
    elif has_recovered(recent):
        title = _("{failed} of the last {total} tasks failed, none of the last ones").format(
            failed=failures, total=total
        )
        yield about.ok(title, value=percent, evidence=evidence)
    else:
        title = _("{failed} of the last {total} tasks failed, most with {exception}").format(
            failed=failures, total=total, exception=recent.exception or "?"
        )
        yield about.above(percent, title, evidence=evidence)


def has_recovered(recent: RecentTasks) -> bool:
    """Return whether so many tasks succeeded since the last failure that it is unlikely to go on as before."""
    outcomes = recent.outcomes
    streak = next((index for index, succeeded in enumerate(outcomes) if not succeeded), len(outcomes))
    before = outcomes[streak:]
    return bool(before) and _is_over(streak, before.count(False) / len(before))


def goes_on(reason: FailingReason) -> bool:
    """Return whether tasks may still fail for a reason: not so many have succeeded since.

    Those that failed for another reason since may never have come as far as this one.
    """
    return not _is_over(reason.succeeded_since, reason.count / reason.of)


def _is_over(streak: int, share_before: float) -> bool:
    return streak >= RECOVERED_STREAK and (1 - share_before) ** streak < RECOVERED_PROBABILITY
