"""Judge the servers: whether they answer, and their load, memory, clock and out-of-memory kills."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import asdict

from samaops.checks.registry import Context, Evidence, access, access_check, check
from samaops.facts.servers import OomKill, ReachFacts, ServerFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import duration, size
from samaops.site.shell_words import operands

DAY_SECONDS = 86400.0


@access_check("servers.host.unreachable", ReachFacts)
def answers(reach: ReachFacts, context: Context) -> Iterator[Finding]:
    evidence = asdict(reach)
    name, about = context.server, context.about(unit="ms")
    if reach.ping_ms is not None:
        title = _("Server {name} answers an echo in {ms:.1f} ms").format(name=name, ms=reach.ping_ms)
        yield about.ok(title, value=reach.ping_ms, evidence=evidence)
    elif reach.tcp_ms is not None:
        title = _("Server {name} answers on TCP port {port}").format(name=name, port=reach.port)
        yield about.ok(title, value=reach.tcp_ms, evidence=evidence)
    elif reach.tcp is None and not reach.ping_allowed:
        title = _("Server {name}: this machine may not send an echo, and no port is known to try").format(
            name=name
        )
        yield context.unknown(title, detail=reach.ping_reason, evidence=evidence)
    else:
        yield context.crit(
            _("Server {name} ({address}) does not answer: machine or network down").format(
                name=name, address=reach.address
            ),
            detail=reach.tcp_message or reach.ping_reason,
            evidence=evidence,
            hint=f"ping -c 3 {operands(reach.address)}",
        )


access(
    "servers.ssh.unreachable",
    ServerFacts,
    title=lambda server: _("Logged in; kernel {kernel}, up for {uptime}").format(
        kernel=server.kernel, uptime=duration(server.uptime_seconds)
    ),
    evidence=lambda server: {
        "kernel": server.kernel,
        "uptime_seconds": server.uptime_seconds,
        "boot_id": server.boot_id,
    },
)


# Over 1 per core there is always somebody waiting for a CPU; short peaks are normal, hence the 5-minute load
# and the margin (uptime(1); Brendan Gregg, "Linux Load Averages": the number also counts waits for the disk).
@check("servers.load.high", ServerFacts, warning=1.5, critical=3, unit="per core")
def load(server: ServerFacts, context: Context) -> Iterator[Finding]:
    if not server.processors:
        yield context.not_given("processors")
        return
    per_core = round(server.load_5 / server.processors, 2)
    yield context.above(
        per_core,
        _("Load of {load:.2f} on {cores} cores: {per_core:.2f} per core over 5 minutes").format(
            load=server.load_5, cores=server.processors, per_core=per_core
        ),
        evidence={
            "load_1": server.load_1,
            "load_5": server.load_5,
            "load_15": server.load_15,
            "processors": server.processors,
        },
        hint=context.on_server("top -b -n 1 | head -20"),
    )


# MemAvailable is the kernel's own estimate of what can still be given without swapping (proc(5)).
@check("servers.memory.low", ServerFacts, warning=10, critical=5, unit="%", less_is_worse=True)
def memory(server: ServerFacts, context: Context) -> Iterator[Finding]:
    if not server.memory_total:
        yield context.not_given("memory_total")
        return
    percent = round(100 * server.memory_available / server.memory_total, 1)
    yield context.below(
        percent,
        _("{available} of {total} of memory are available ({percent} %)").format(
            available=size(server.memory_available), total=size(server.memory_total), percent=percent
        ),
        evidence={"memory_available": server.memory_available, "memory_total": server.memory_total},
        hint=context.on_server("ps -eo pid,rss,args --sort=-rss | head"),
    )


# Swap that is used but quiet does no harm, so this never is critical: low memory says that.
@check("servers.swap.used", ServerFacts, warning=50, unit="%")
def swap(server: ServerFacts, context: Context) -> Iterator[Finding]:
    used = server.swap_total - server.swap_free
    evidence = {"swap_used": used, "swap_total": server.swap_total}
    if server.swap_total == 0:
        yield context.ok(_("There is no swap"), evidence=evidence)
        return
    percent = round(100 * used / server.swap_total, 1)
    title = _("{used} of {total} of swap are used ({percent} %)").format(
        used=size(used), total=size(server.swap_total), percent=percent
    )
    hint = context.on_server("vmstat 1 5")
    yield context.above(percent, title, evidence=evidence, hint=hint)


@check("servers.oom.killed", ServerFacts, warning=1, unit="processes")
def oom_kills(server: ServerFacts, context: Context) -> Iterator[Finding]:
    counted = server.oom_kills_since_boot
    if server.kernel_log is None:
        yield _counted_only(counted, server, context)
        return
    yesterday = server.epoch - DAY_SECONDS
    recent = [kill for kill in server.kernel_log.kills if kill.at is None or kill.at >= yesterday]
    by_host = [kill for kill in recent if not kill.by_limit]
    evidence = {
        "source": server.kernel_log.source,
        "log_since": server.kernel_log.since,
        "kills": [_kill_evidence(kill, server.epoch) for kill in by_host[-10:]],
        "kills_by_container_limit": [_kill_evidence(kill, server.epoch) for kill in recent if kill.by_limit][
            -10:
        ],
        "kills_since_boot": counted,
    }
    hint = context.on_server("dmesg -T | grep -i 'out of memory'")
    yield context.above(len(by_host), _oom_title(by_host, server), evidence=evidence, hint=hint)


def _counted_only(counted: int | None, server: ServerFacts, context: Context) -> Finding:
    evidence = {"kills_since_boot": counted, "uptime_seconds": server.uptime_seconds}
    since = duration(server.uptime_seconds)
    if counted == 0:
        return context.ok(
            _("No process was killed for memory since the start {since} ago").format(since=since), value=0
        )
    if counted is None:
        return context.unknown(
            _("Neither the kernel's log nor its count of kills can be read"), evidence=evidence
        )
    title = _(
        "Processes killed for memory since the start {since} ago: {count}, but the kernel's log cannot be read: "
        "neither when nor whether a container's limit did it is known"
    ).format(count=counted, since=since)
    hint = context.on_server("sudo dmesg -T | grep -i oom")
    return context.unknown(title, value=counted, evidence=evidence, hint=hint)


def _oom_title(kills: list[OomKill], server: ServerFacts) -> str:
    if not kills:
        return _("The machine has killed no process for memory in the last 24 h")
    last = kills[-1]
    ago = duration(server.epoch - last.at) if last.at is not None else "?"
    return _(
        "The machine ran out of memory: processes killed in 24 h: {count}, the last {command} (pid {pid}) {ago} ago"
    ).format(count=len(kills), command=last.command, pid=last.pid, ago=ago)


def _kill_evidence(kill: OomKill, now: float) -> Evidence:
    return {
        "at": kill.at,
        "ago_seconds": None if kill.at is None else round(now - kill.at, 1),
        "pid": kill.pid,
        "command": kill.command,
        "container": kill.container,
    }
