"""What `samaops lab break`, `heal` and `incidents` show."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

import typer
from msgspec import to_builtins
from rich.console import Console
from rich.text import Text

from samaops.cli.streams import say
from samaops.i18n import _
from samaops.lab.incidents.running import Entry, Outcome
from samaops.lab.layout import Layout, default_directory
from samaops.render.layout import Hanging

SCHEMA = "samaops/lab-incidents/1"
_FURTHER = " " * 4  # before the lines that go on


def show_broken(layout: Layout, outcome: Outcome) -> None:
    """Say what is live now, what was seen of it, and what to do next."""
    name = outcome.incident.id
    if outcome.state == "already live":
        typer.echo(_("Nothing to do: {name} is already live").format(name=name))
    else:
        typer.echo(_("{name} is live ({seconds:.1f} s)").format(name=name, seconds=outcome.seconds))
    say(_("  seen: {evidence}").format(evidence=outcome.evidence), _FURTHER)
    say(_("  noticed: {notice}").format(notice=_(outcome.incident.notice)), _FURTHER)
    own = layout.directory != default_directory()
    use = f"samaops --config {shlex.quote(str(layout.config_file))}" if own else "samaops --lab"
    where = f" --dir {shlex.quote(str(layout.directory))}" if own else ""
    typer.echo(_("Find it: {command}").format(command=f"{use} diagnose"))
    typer.echo(_("End it:  {command}").format(command=f"samaops lab heal {name}{where}"))


def show_healed(outcomes: Sequence[Outcome]) -> None:
    """Say what was ended."""
    if not outcomes:
        typer.echo(_("Nothing to do: nothing is broken on purpose."))
    for outcome in outcomes:
        name = outcome.incident.id
        if outcome.state == "nothing to heal":
            typer.echo(_("Nothing to do: {name} is not live").format(name=name))
        else:
            typer.echo(_("{name} is healed ({seconds:.1f} s)").format(name=name, seconds=outcome.seconds))


def show_catalogue(known: Sequence[Entry], *, as_json: bool) -> None:
    """Show the incidents that can be caused, by runbook."""
    if as_json:
        document = {"schema": SCHEMA, "incidents": [to_builtins(entry) for entry in known]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    runbook = ""
    for entry in sorted(known, key=lambda entry: _order(known, entry)):
        if entry.runbook != runbook:
            runbook = entry.runbook
            console.print(Text(runbook, style="bold"))
        console.print(Hanging(Text(""), _headline(entry), indent=2))
        for line in (entry.does, _("Noticed: {notice}").format(notice=entry.notice), entry.evidence):
            if line:
                console.print(Hanging(Text(""), Text(line), indent=6))
    console.print()
    console.print(_("Break one: samaops lab break NAME"), highlight=False)
    console.print(_("End all that are live: samaops lab heal"), highlight=False)


def _order(known: Sequence[Entry], entry: Entry) -> int:
    """Runbooks in the order they first come."""
    return next(number for number, other in enumerate(known) if other.runbook == entry.runbook)


def _headline(entry: Entry) -> Text:
    line = Text(entry.id, style="cyan").append(f"  {entry.title}", style="default")
    if entry.state == "live":
        line.append("  ").append(_("LIVE"), style="bold red")
    elif entry.state == "gone":
        line.append("  ").append(_("was caused, is gone"), style="yellow")
    return line
