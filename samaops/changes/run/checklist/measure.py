"""Do the guide's tests of load and resilience, bounded, and keep their figures. A container that was stopped is started again."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable

from msgspec import Struct, convert

from samaops.changes.checklist.measure import (
    AT_ONCE,
    LIMIT_MS,
    LOAD,
    MEASURE,
    MEMBER,
    RAMP,
    RATES,
    REQUESTS_A_SECOND,
    START_ANYWAY_SECONDS,
    STEP_SECONDS,
    STOPPED_SECONDS,
    TAKEOVER_SECONDS,
    Measuring,
    require_test_site,
)
from samaops.changes.run import progress
from samaops.changes.run.checklist.sign import keep
from samaops.changes.run.operations import runs
from samaops.changes.run.shell import run_in_shell
from samaops.clients import load
from samaops.clients.errors import ClientError
from samaops.clients.load import Burst
from samaops.facts.checklist import FAILED, MEASURED, OK, Entry
from samaops.i18n import _, joined, number
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome, shell
from samaops.site.commands import on_server
from samaops.site.site import Site

# All of a thousand at once wait for one another; alone, a request has less.
_AT_ONCE_TIMEOUT, _TIMEOUT = 30.0, 5.0
# The guide's target for errors is 0.1 %, and 1 % is critical.
_MOST_FAILED_PERCENT = 0.1
_STOP_SECONDS, _COMMAND_SECONDS = 10, 40.0


class Figures(Struct, frozen=True):
    """What was measured, in a sentence, and whether it is what the guide wants."""

    is_well: bool
    text: str
    numbers: dict[str, object]


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Measuring)
    if of.container:
        return (
            on_server(site, of.server, _stop_command(of.container)),
            on_server(site, of.server, _start(of)),
        )
    # samaops sends them itself: what no other program here could be asked for.
    return (f"samaops checklist measure {of.name}",)


def _start(of: Measuring) -> str:
    return f"docker start {of.container}"


def _stop_command(container: str) -> str:
    """Return what stops a container, and has the server start it again should nobody else."""
    later = f"sleep {START_ANYWAY_SECONDS}; docker start {container}"
    return f"setsid sh -c {shlex.quote(later)} </dev/null >/dev/null 2>&1 & docker stop -t {_STOP_SECONDS} {container}"


@runs(MEASURE, lines=_lines)
def measure(operation: Operation, site: Site) -> Outcome:
    """Measure, and keep the figures; what is not as the guide wants it is a failure. Raises ClientError."""
    of = convert(operation.arguments, Measuring)
    require_test_site(site)
    ca_file = site.settings.loadbalancer.ca_file if site.settings.loadbalancer else None

    def send(due: list[float], timeout: float, stop: Callable[[], bool] = lambda: False) -> Burst:
        return load.send(of.url, due, timeout, ca_file, stop)

    if of.name == LOAD:
        figures = _at_once(send([0.0] * AT_ONCE, _AT_ONCE_TIMEOUT))
    elif of.name == RAMP:
        figures = _growing(send)
    else:
        figures = _while_stopped(of, site, send)
    _keep(site, of.name, figures)
    return Outcome(figures.is_well, figures.text, is_seen=True, measured=figures.numbers)


def _at_once(burst: Burst) -> Figures:
    text = _(
        "{answered} of {count} requests at once were answered with 200; half within {half} ms, 95 % within {most} ms"
    )
    return Figures(
        burst.failed * 100 <= burst.count * _MOST_FAILED_PERCENT,
        text.format(answered=burst.count - burst.failed, count=burst.count, half=f"{burst.percentile(50):.0f}",
                    most=f"{burst.percentile(95):.0f}"),
        {"outcomes": burst.outcomes, "p50_ms": round(burst.percentile(50)), "p95_ms": round(burst.percentile(95)),
         "max_ms": round(burst.percentile(100))},
    )  # fmt: skip


def _growing(send: Callable[..., Burst]) -> Figures:
    steps: dict[str, object] = {}
    is_well, words = True, []
    for rate in RATES:
        progress.tell(_("{rate} requests a second").format(rate=rate))
        burst = send([number / rate for number in range(int(rate * STEP_SECONDS))], _TIMEOUT)
        p95 = burst.percentile(95)
        steps[str(rate)] = {
            "outcomes": burst.outcomes,
            "p50_ms": round(burst.percentile(50)),
            "p95_ms": round(p95),
        }
        is_well = is_well and p95 < LIMIT_MS and burst.failed * 100 <= burst.count * _MOST_FAILED_PERCENT
        text = _("{rate}/s: 95 % within {most} ms, {failed} failed")
        words.append(text.format(rate=rate, most=f"{p95:.0f}", failed=burst.failed))
        if not is_well:  # more would only show more of the same
            break
    return Figures(is_well, joined(words), {"steps": steps})


def _while_stopped(of: Measuring, site: Site, send: Callable[..., Burst]) -> Figures:
    """Send requests while a container is stopped; it is started again whatever happens meanwhile."""
    is_over = threading.Event()
    bursts: list[Burst] = []
    seconds = STOPPED_SECONDS + _COMMAND_SECONDS
    due = [number / REQUESTS_A_SECOND for number in range(int(seconds * REQUESTS_A_SECOND))]
    sender = threading.Thread(
        target=lambda: bursts.append(send(due, _TIMEOUT, is_over.is_set)), name="requests", daemon=True
    )
    began = time.monotonic()
    sender.start()
    try:
        progress.tell(_("stopping {name}").format(name=of.container))
        stopped = run_in_shell(shell(_stop_command(of.container), of.server, _COMMAND_SECONDS), site)
        if not stopped.is_ok:
            raise ClientError(FailureKind.ERROR, stopped.output, "docker stop")
        stopped_at = time.monotonic() - began
        is_over.wait(STOPPED_SECONDS)
    finally:
        progress.tell(_("starting {name}").format(name=of.container))
        started = run_in_shell(shell(_start(of), of.server, _COMMAND_SECONDS), site)
        is_over.set()
        sender.join(_TIMEOUT + 5)
    if not started.is_ok or not bursts:
        raise ClientError(FailureKind.ERROR, started.output or _("no request was sent"), "docker start")
    return _of_takeover(of, bursts[0], stopped_at)


def _of_takeover(of: Measuring, burst: Burst, stopped_at: float) -> Figures:
    lost = max((at for at in burst.failed_at), default=0.0)
    took = max(0.0, lost - min(burst.failed_at, default=0.0))
    limit = TAKEOVER_SECONDS if of.name == MEMBER else 0.0
    is_well = burst.failed == 0 or (
        of.name == MEMBER and took <= limit and lost < stopped_at + STOPPED_SECONDS
    )
    if not burst.failed:
        text = _("while {name} was stopped, none of {count} requests failed")
    elif is_well:
        text = _(
            "while {name} was stopped, {failed} of {count} requests failed, over {took} s; then all were answered"
        )
    else:
        text = _("while {name} was stopped, {failed} of {count} requests failed, over {took} s")
    return Figures(
        is_well,
        text.format(name=of.container, failed=burst.failed, count=burst.count, took=number(f"{took:.1f}")),
        {"outcomes": burst.outcomes, "failed_seconds": round(took, 1), "p95_ms": round(burst.percentile(95))},
    )


def _keep(site: Site, name: str, figures: Figures) -> None:
    entry = Entry("", "", name, MEASURED, state=OK if figures.is_well else FAILED, reason=figures.text)
    keep(site, entry)
