"""What `samaops lab` shows: progress on stderr, answers on stdout."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from samaops.cli.streams import say
from samaops.errors import UsageError
from samaops.i18n import _, number
from samaops.lab.lab import LabStatus, UpResult
from samaops.lab.layout import ADDRESSES, VIP_PORT, Layout, default_directory
from samaops.lab.load import LoadResult
from samaops.lab.release.deploy import Deployed
from samaops.lab.starting import Step


def wants_json(output: str) -> bool:
    """Tell which face is asked for; refuse one that does not exist."""
    if output not in ("human", "json"):
        raise UsageError(_("Unknown output {output}: human or json").format(output=output))
    return output == "json"


@contextmanager
def progress() -> Iterator[Callable[[Step], None]]:
    """Show each part as it is started; yield what tells of one step."""
    console = Console(stderr=True, highlight=False)
    waiting: list[str] = []
    with console.status(_("Starting the lab")) as spinner:
        ready, failed = _("ready"), _("failed")

        def show(step: Step) -> None:
            if step.state == "starting":
                waiting.append(step.part)
            elif step.part in waiting:
                waiting.remove(step.part)
            if step.state == "ready":
                seconds = number(f"{step.seconds:.1f}")
                console.print(f"[green]{ready}[/]   {step.part}  {seconds} s")
            elif step.state == "failed":
                console.print(f"[red]{failed}[/]  {step.part}  {escape(step.detail)}")
            names = ", ".join(waiting)
            spinner.update(
                _("Starting: {parts}").format(parts=escape(names)) if names else _("Starting the lab")
            )

        yield show


def show_up(layout: Layout, result: UpResult) -> None:
    """Say what `up` did, what could not be started and why, and how to use the lab."""
    state = result.state
    if result.changed:
        say(
            _("The lab is up ({seconds:.1f} s), in {directory}").format(
                seconds=result.seconds, directory=layout.directory
            )
        )
    else:
        say(_("Nothing to do: the lab is up, in {directory}").format(directory=layout.directory))
    if state.mode == "processes":
        say(_("Plain processes in place of containers: {reason}").format(reason=state.mode_reason))
        say(_("What only Docker can show is unknown; all else is as ever."))
    if state.namespaces_reason:
        say(_("Servers without a file system of their own: {reason}").format(reason=state.namespaces_reason))
    for problem in result.problems:
        say(_("Not started: {part}: {reason}").format(part=problem.part, reason=problem.reason))
    typer.echo("")
    for command, meaning in _usage(layout):
        typer.echo(f"  {command:<44} {meaning}")


def _usage(layout: Layout) -> list[tuple[str, str]]:
    own = layout.directory != default_directory()
    where = f" --dir {shlex.quote(str(layout.directory))}" if own else ""
    use = f"samaops --config {shlex.quote(str(layout.config_file))}" if own else "samaops --lab"
    return [
        (f"{use} diagnose", _("find what is wrong")),
        (f"samaops lab status{where}", _("each part, its address and state")),
        ("samaops lab load", _("real requests, so that rates are not zero")),
        (f"samaops lab incidents{where}", _("what can be broken on purpose")),
        (f"curl http://{ADDRESSES['outside']}:{VIP_PORT}/health", _("the API through the load balancer")),
        (
            f"ssh -F {shlex.quote(str(layout.directory / 'ssh' / 'config'))} db",
            _("log in: db, api or workers"),
        ),
        (f"samaops lab down{where}", _("stop it and remove every trace")),
    ]


def show_down(was_there: bool) -> None:
    """Say whether there was anything to take down."""
    typer.echo(
        _("The lab is down; nothing of it is left.") if was_there else _("Nothing to do: no lab is up.")
    )


def show_status(status: LabStatus) -> None:
    """Show the parts in a table."""
    words = {"running": _("running"), "degraded": _("degraded"), "down": _("down")}
    typer.echo(
        _("The lab in {directory}: {state}").format(directory=status.directory, state=words[status.state])
    )
    if status.mode == "processes":
        say(_("Plain processes in place of containers: {reason}").format(reason=status.mode_reason))
    if not status.parts:
        typer.echo("  -> samaops lab up")
        return
    table = Table(box=None, pad_edge=False)
    for title in (_("server"), _("part"), _("address"), _("pid"), _("state")):
        table.add_column(title)
    for part in sorted(status.parts, key=lambda part: list(ADDRESSES).index(part.server)):
        address = f"{part.address}:{part.port}" if part.port else part.address
        process = str(part.pid) if part.pid else (_("container") if part.container else "-")
        colour = "green" if part.state == "running" else "red"
        state = Text(words.get(part.state, part.state), style=colour)
        table.add_row(
            part.server,
            Text(part.name),
            address,
            process,
            state.append(f" {part.detail}" if part.detail else ""),
        )
    Console(highlight=False).print(table)


def show_load(result: LoadResult) -> None:
    """Show what came of a load."""
    typer.echo(
        _("{sent} requests in {seconds:.1f} s ({rate:.1f} a second)").format(
            sent=result.sent, seconds=result.seconds, rate=result.rate_per_second
        )
    )
    for outcome, count in result.outcomes.items():
        typer.echo(f"  {count:>6}  {outcome}")


def show_deployed(deployed: Deployed) -> None:
    """Say which release runs now, and whether it is one that has a fault."""
    words = {"earlier": deployed.earlier, "version": deployed.release.version}
    say(_("The lab runs release {version}; before it was {earlier}.").format(**words))
    if deployed.release.fault:
        say(_("It is a bad one: see samaops --lab diagnose, and samaops --lab rollback check."))
