"""Judge the tasks that Flower heard of: is one running for ever, do too many fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.checks.celery.workers import nodes_of, see_worker, subject_of, workers_of
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.celery import ActiveTask, CeleryFacts, CeleryNode, RecentTasks
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.model.status import Status

SHOWN_TASKS = 3
# Fewer finished tasks than this say nothing about a share.
MINIMUM_TASKS = 5
MINIMUM_FAILURES = 2
# Successes in a row that would be this unlikely if tasks still failed as before: it is over.
RECOVERED_PROBABILITY = 0.05
RECOVERED_STREAK = 3


@check(
    "celery.task.stuck",
    title=N_("No task runs for ever"),
    facts=CeleryFacts,
    needs=("tasks",),
    unit="s",
    explain=Explanation(
        meaning=N_("A task has been running for far too long: it waits for something without a time limit."),
        confirm=(
            "docker top samaconso_celery_worker_2",
            "docker exec samaconso_celery_worker_2 py-spy dump --pid <pid of the child>",
        ),
        fix=N_(
            "Keep its stack, then revoke that task with terminate, or restart that one worker; add time limits."
        ),
        avoid=N_("Do not restart all workers: running tasks would be sent twice."),
    ),
)
def stuck(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    if celery.active is None or context.site.settings.celery is None:
        detail = _("[flower] is not configured: running tasks are not seen")
        yield context.finding(Status.SKIPPED, _("No task runs for ever"), detail=detail)
        return
    limit = context.site.settings.celery.stuck_after
    for key, worker in workers_of(context).items():
        nodes = nodes_of(celery, key)
        tasks = [task for node in nodes for task in running_of(celery.active, node.name)]
        late = sorted(
            (one for one in tasks if one.runtime_seconds >= limit), key=lambda one: -one.runtime_seconds
        )
        place: dict[str, Any] = {"subject": subject_of(key), "server": worker.server, "warning": limit}
        place["evidence"] = {
            "stuck": len(late),
            "running": len(tasks),
            "unacknowledged": sum(node.unacknowledged for node in nodes),
            "capacity": sum(node.capacity for node in nodes),
            "tasks": [_task(task) for task in late[:SHOWN_TASKS]],
        }
        yield _judge_stuck(late, nodes, context, see_worker(context, worker, "top"), key, place)


def _judge_stuck(
    late: list[ActiveTask],
    nodes: list[CeleryNode],
    context: Context,
    hint: str,
    worker: str,
    place: dict[str, Any],
) -> Finding:
    if not late:
        return context.ok(_("The worker {worker} has no stuck task").format(worker=worker), **place)
    title = _("The worker {worker} has been in the task {task} for {seconds} s").format(
        worker=worker, task=late[0].name, seconds=round(late[0].runtime_seconds)
    )
    # It holds all the messages it may hold: nothing more reaches it until a task ends.
    is_full = any(node.capacity and node.unacknowledged >= node.capacity for node in nodes)
    status = Status.CRITICAL if is_full else Status.WARNING
    return context.finding(status, title, value=late[0].runtime_seconds, hint=hint, **place)


def running_of(active: tuple[ActiveTask, ...], node: str) -> list[ActiveTask]:
    """Return the tasks a worker really runs, longest first.

    Flower never forgets a started task whose worker was killed. The worker itself says with each heartbeat how
    many it runs: those are the ones started last.
    """
    tasks = sorted((one for one in active if one.worker == node), key=lambda one: one.runtime_seconds)
    count = next((one.worker_active for one in tasks if one.worker_active is not None), len(tasks))
    return tasks[:count][::-1]


def _task(task: ActiveTask) -> dict[str, Any]:
    return {
        "id": task.id,
        "name": task.name,
        "arguments": task.arguments,
        "runtime_seconds": task.runtime_seconds,
        "worker": task.worker,
    }


@check(
    "celery.tasks.failing",
    title=N_("Tasks succeed"),
    facts=CeleryFacts,
    needs=("tasks",),
    # The guide's KPI "notifications sent": over 95 %, alert under 90 %.
    warning=5,
    critical=10,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "A large share of the last tasks failed. The most frequent exception says where: proxy, FCM, Redis."
        ),
        confirm=("curl -s -u <user> 'http://<serveur workers>:5555/api/tasks?state=FAILURE&limit=10'",),
        fix=N_(
            "Follow the exception: ProxyError and 407 to the proxy, certificate to interception, OOM to Redis."
        ),
        avoid=N_("Do not restart the workers: the failed notifications are not sent again by that."),
    ),
)
def failing(celery: CeleryFacts, context: Context) -> Iterator[Finding]:
    place: dict[str, Any] = {"subject": subject_of("tasks")}
    recent = celery.recent
    if recent is None:
        detail = _("[flower] is not configured: finished tasks are not seen")
        yield context.finding(Status.SKIPPED, _("Tasks succeed"), detail=detail, **place)
        return
    failures, total = recent.outcomes.count(False), len(recent.outcomes)
    percent = round(100 * failures / total, 1) if total else 0.0
    place["evidence"] = {
        "failed": failures,
        "finished": total,
        "window_seconds": recent.window_seconds,
        "exception": recent.exception,
        "exception_count": recent.exception_count,
        "exception_of": recent.exception_of,
        "tasks": dict(recent.failing_names),
    }
    if not total:
        yield context.ok(
            _("Flower has heard of no task that ended lately: failures would not be seen"), **place
        )
    elif total < MINIMUM_TASKS and recent.outcomes[:1] == (False,) and 2 * failures >= total:
        title = _("{failed} of the last {total} tasks failed: too few to judge, and not well").format(
            failed=failures, total=total
        )
        yield context.warn(title, value=percent, **place)
    elif total < MINIMUM_TASKS or failures < MINIMUM_FAILURES:
        title = _("{failed} of the last {total} tasks failed").format(failed=failures, total=total)
        yield context.ok(title, value=percent, **place)
    elif has_recovered(recent):
        title = _("{failed} of the last {total} tasks failed, none of the last ones").format(
            failed=failures, total=total
        )
        yield context.ok(title, value=percent, **place)
    else:
        title = _("{failed} of the last {total} tasks failed, most with {exception}").format(
            failed=failures, total=total, exception=recent.exception or "?"
        )
        yield context.above(percent, title, **place)


def has_recovered(recent: RecentTasks) -> bool:
    """Return whether so many tasks succeeded since the last failure that it is unlikely to go on as before."""
    outcomes = recent.outcomes
    streak = next((index for index, succeeded in enumerate(outcomes) if not succeeded), len(outcomes))
    before = outcomes[streak:]
    if streak < RECOVERED_STREAK or not before:
        return False
    success_before = before.count(True) / len(before)
    return success_before**streak < RECOVERED_PROBABILITY
