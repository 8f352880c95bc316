"""`samaops lab`: the practice production, up, down, looked at, loaded, broken on purpose and healed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from samaops.cli import incident_screen, lab_screen
from samaops.i18n import N_, _
from samaops.lab import lab
from samaops.lab import load as traffic
from samaops.lab.incidents import running
from samaops.lab.layout import Layout, default_directory
from samaops.lab.release import deploy, releases

STATUS_SCHEMA = "samaops/lab-status/1"
EXIT_CODES = {"running": 0, "degraded": 1, "down": 2}

app = typer.Typer(
    no_args_is_help=True, help=N_("A small real SamaConso production on this machine, for practice.")
)

Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIRECTORY",
        help=N_("The lab's directory; by default under the XDG state directory."),
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FORM",
        help=N_("human or json."),
        autocompletion=lambda: ["human", "json"],
    ),
]


def _incidents(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:  # noqa: ARG001 - typer filters
    return [(incident.id, _(incident.title)) for incident in running.INCIDENTS]


def _releases(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001 - typer filters
    return [deploy.NEXT, *(release.version for release in releases.RELEASES)]


def _layout(directory: Path | None) -> Layout:
    return Layout(directory or default_directory())


@app.command(help=N_("Start the lab, or whatever of it does not run."))
def up(directory: Directory = None) -> None:
    """Start the lab."""
    layout = _layout(directory)
    with lab_screen.progress() as tell:
        result = lab.up(layout, tell)
    lab_screen.show_up(layout, result)
    if result.problems:
        raise typer.Exit(1)


@app.command(help=N_("Stop everything of the lab and remove all its files."))
def down(directory: Directory = None) -> None:
    """Take the lab down."""
    lab_screen.show_down(lab.down(_layout(directory)))


@app.command(help=N_("List each part of the lab with its address and state."))
def status(directory: Directory = None, output: Output = "human") -> None:
    """Say how the lab is."""
    lab_status = lab.status(_layout(directory))
    if lab_screen.wants_json(output):
        typer.echo(json.dumps({"schema": STATUS_SCHEMA, **to_builtins(lab_status)}, indent=2))
    else:
        lab_screen.show_status(lab_status)
    raise typer.Exit(EXIT_CODES[lab_status.state])


@app.command(help=N_("Send a bounded stream of real requests and notifications to the lab."))
def load(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help=N_("How long."))] = 30.0,
    rate: Annotated[float, typer.Option(metavar="RATE", help=N_("Requests a second."))] = 10.0,
) -> None:
    """Send a load."""
    lab_screen.show_load(traffic.run(seconds, rate))


@app.command(help=N_("Bring out another release of the application, as the team does it by hand."))
def release(
    version: Annotated[
        str, typer.Argument(help=N_("A release of the lab, or `next`."), autocompletion=_releases)
    ] = deploy.NEXT,
    directory: Directory = None,
) -> None:
    """Bring out a release."""
    lab_screen.show_deployed(deploy.deploy(_layout(directory), version))


@app.command("break", help=N_("Cause an incident; return when it can be seen."))
def break_(
    incident: Annotated[str, typer.Argument(help=N_("An incident's name."), autocompletion=_incidents)],
    directory: Directory = None,
) -> None:
    """Cause an incident."""
    layout = _layout(directory)
    incident_screen.show_broken(layout, running.break_(layout, incident))


@app.command(help=N_("End an incident, or all that are live; return when it is gone."))
def heal(
    incident: Annotated[
        str | None, typer.Argument(help=N_("An incident's name."), autocompletion=_incidents)
    ] = None,
    directory: Directory = None,
) -> None:
    """End incidents."""
    incident_screen.show_healed(running.heal(_layout(directory), incident))


@app.command(help=N_("List the incidents: what each does and what a person would notice."))
def incidents(directory: Directory = None, output: Output = "human") -> None:
    """List the incidents."""
    as_json = lab_screen.wants_json(output)
    incident_screen.show_catalogue(running.catalogue(_layout(directory)), as_json=as_json)
