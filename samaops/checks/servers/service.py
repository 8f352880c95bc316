"""Judge the servers: whether they answer, and their load, memory, clock and out-of-memory kills."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import asdict

from samaops.checks.quantities import duration, size
from samaops.checks.registry import Context, Explanation, check
from samaops.checks.servers import (
    clocks as server_clocks,
)  # registered by their import
from samaops.checks.servers import (
    disks as server_disks,
)
from samaops.facts.servers import OomKill, ReachFacts, ServerFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.site.commands import log_in, on_server

__all__ = ["server_clocks", "server_disks"]
DAY_SECONDS = 86400.0


@check(
    "servers.host.unreachable",
    title=N_("The server answers on the network"),
    facts=ReachFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "Neither an ICMP echo nor a TCP connection to the SSH port is answered: the machine is down, or the "
            "network between here and it is."
        ),
        confirm=("ping -c 3 ADDRESS", "ssh -v USER@ADDRESS true", "ip route get ADDRESS"),
        fix=N_(
            "Look at the machine's console (hypervisor, iDRAC/iLO); ask the network team whether they see it."
        ),
        avoid=N_("Do not restart what runs on the other servers: their errors are symptoms of this one."),
    ),
)
def answers(reach: ReachFacts, context: Context) -> Iterator[Finding]:
    evidence = asdict(reach)
    name = context.observation.server if context.observation else ""
    if reach.ping_ms is not None:
        title = _("Server {name} answers an echo in {ms:.1f} ms").format(name=name, ms=reach.ping_ms)
        yield context.ok(title, value=reach.ping_ms, unit="ms", evidence=evidence)
    elif reach.tcp_ms is not None:
        title = _("Server {name} answers on TCP port {port}").format(name=name, port=reach.port)
        yield context.ok(title, value=reach.tcp_ms, unit="ms", evidence=evidence)
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
            hint=f"ping -c 3 {reach.address}",
        )


@check(
    "servers.ssh.unreachable",
    title=N_("The server lets us log in over SSH"),
    facts=ServerFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "samaops reads disks, memory and containers over SSH. Without it the services may be well, but nothing "
            "of the machine itself can be seen."
        ),
        confirm=("ssh -v USER@ADDRESS true", "systemctl status ssh", "journalctl -u ssh --since -1h"),
        fix=N_(
            "Use the machine's console; free its disk or memory if that stops sshd, then start ssh again."
        ),
        avoid=N_("Do not remove a changed host key before the owner of the server has confirmed the change."),
    ),
)
def lets_in(server: ServerFacts, context: Context) -> Iterator[Finding]:
    title = _("Logged in; kernel {kernel}, up for {uptime}").format(
        kernel=server.kernel, uptime=duration(server.uptime_seconds)
    )
    evidence = {"kernel": server.kernel, "uptime_seconds": server.uptime_seconds, "boot_id": server.boot_id}
    yield context.ok(title, evidence=evidence)


# Over 1 per core there is always somebody waiting for a CPU; short peaks are normal, hence the 5-minute load
# and the margin (uptime(1); Brendan Gregg, "Linux Load Averages": the number also counts waits for the disk).
@check(
    "servers.load.high",
    title=N_("Load per processor core"),
    facts=ServerFacts,
    warning=1.5,
    critical=3,
    unit="per core",
    explain=Explanation(
        meaning=N_("More processes want a CPU, or wait for a disk, than the machine can serve."),
        confirm=("uptime", "top -b -n 1 | head -20", "ps -eo pid,stat,wchan:20,args | grep ' D'"),
        fix=N_("Find who it is: processes in state R want the CPU, in state D they wait for a disk."),
        avoid=N_(
            "Do not kill the process at the top before you know what it does: it may be a backup or a vacuum."
        ),
    ),
)
def load(server: ServerFacts, context: Context) -> Iterator[Finding]:
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
        hint=on_server(context.site, _server(context), "top -b -n 1 | head -20"),
    )


# MemAvailable is the kernel's own estimate of what can still be given without swapping (proc(5)).
@check(
    "servers.memory.low",
    title=N_("Memory still available"),
    facts=ServerFacts,
    warning=10,
    critical=5,
    unit="%",
    explain=Explanation(
        meaning=N_("Soon the kernel must swap or kill a process to find memory."),
        confirm=("free -m", "ps -eo pid,rss,args --sort=-rss | head"),
        fix=N_("Find the largest process and whether it grows; restart that one service at a quiet moment."),
        avoid=N_(
            "Dropping the caches (drop_caches) frees nothing that is not free already, and slows everything."
        ),
    ),
)
def memory(server: ServerFacts, context: Context) -> Iterator[Finding]:
    percent = round(100 * server.memory_available / server.memory_total, 1)
    yield context.below(
        percent,
        _("{available} of {total} of memory are available ({percent} %)").format(
            available=size(server.memory_available), total=size(server.memory_total), percent=percent
        ),
        evidence={"memory_available": server.memory_available, "memory_total": server.memory_total},
        hint=on_server(context.site, _server(context), "ps -eo pid,rss,args --sort=-rss | head"),
    )


# Swap that is used but quiet does no harm, so this never is critical: low memory says that.
@check(
    "servers.swap.used",
    title=N_("Swap in use"),
    facts=ServerFacts,
    warning=50,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "Memory was short once, or still is: PostgreSQL and Redis become slow when their pages are swapped."
        ),
        confirm=("free -m", "vmstat 1 5", "grep VmSwap /proc/*/status | sort -k2 -rn | head"),
        fix=N_("If vmstat shows si and so above zero all the time, find the process that grows."),
        avoid=N_("Do not run swapoff on a busy server: all of it must fit into memory at once."),
    ),
)
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
    hint = on_server(context.site, _server(context), "vmstat 1 5")
    yield context.above(percent, title, evidence=evidence, hint=hint)


@check(
    "servers.oom.killed",
    title=N_("Processes killed for lack of memory"),
    facts=ServerFacts,
    warning=1,
    unit="processes",
    explain=Explanation(
        meaning=N_(
            "The machine itself ran out of memory in the last 24 hours and the kernel killed a process. Kills at a "
            "container's own limit are not counted here: they belong to that container."
        ),
        confirm=("dmesg -T | grep -i 'out of memory'", "journalctl -k --since -24h | grep -i oom"),
        fix=N_(
            "Compare the sum of what may be used (container limits, shared_buffers) with the machine's memory."
        ),
        avoid=N_("Do not only restart the victim: the one that took the memory is often another process."),
    ),
)
def oom_kills(server: ServerFacts, context: Context) -> Iterator[Finding]:
    counted = server.oom_kills_since_boot
    if server.kernel_log is None:
        yield _counted_only(counted, server, context)
        return
    recent = [
        one for one in server.kernel_log.kills if one.at is None or one.at >= server.epoch - DAY_SECONDS
    ]
    by_host = [one for one in recent if not one.by_limit]
    evidence = {
        "source": server.kernel_log.source,
        "log_since": server.kernel_log.since,
        "kills": [_kill_evidence(one) for one in by_host[-10:]],
        "kills_by_container_limit": [_kill_evidence(one) for one in recent if one.by_limit][-10:],
        "kills_since_boot": counted,
    }
    hint = on_server(context.site, _server(context), "dmesg -T | grep -i 'out of memory'")
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
    hint = log_in(context.site, _server(context)) + " 'sudo dmesg -T | grep -i oom'"
    return context.unknown(title, value=counted, evidence=evidence, hint=hint)


def _oom_title(kills: list[OomKill], server: ServerFacts) -> str:
    if not kills:
        return _("The machine has killed no process for memory in the last 24 h")
    last = kills[-1]
    ago = duration(server.epoch - last.at) if last.at is not None else "?"
    return _(
        "The machine ran out of memory: processes killed in 24 h: {count}, the last {command} (pid {pid}) {ago} ago"
    ).format(count=len(kills), command=last.command, pid=last.pid, ago=ago)


def _kill_evidence(kill: OomKill) -> dict[str, object]:
    return {"at": kill.at, "pid": kill.pid, "command": kill.command, "container": kill.container}


def _server(context: Context) -> str | None:
    return context.observation.server if context.observation else None
