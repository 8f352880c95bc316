"""`samaops config`: init, check, show, schema, path."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from samaops.cli import configuration_file, screen, stdout
from samaops.cli.global_options import Globals
from samaops.cli.options import OutputOption
from samaops.config.load import user_path
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.model.report import Report
from samaops.render import json, settings
from samaops.render.faces import Output
from samaops.workflows import configuration

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command(help=N_("Write a commented configuration of the guide's three servers, to be filled in."))
def init(
    ctx: typer.Context,
    path: Annotated[
        Path | None, typer.Option("--path", metavar="FILE", help=N_("Where to; by default your own place."))
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=N_("Overwrite a file that exists."))] = False,
) -> None:
    """Write the example."""
    globals_: Globals = ctx.obj
    target = path or globals_.config or user_path()
    configuration.write_example(target, force=force)
    typer.echo(
        _("{path} is written; fill in the addresses and secrets, then: samaops config check").format(
            path=target
        )
    )


@app.command(help=N_("Check the configuration: every key, every reference, every secret."))
def check(ctx: typer.Context, output: OutputOption = Output.HUMAN) -> None:
    """Check the configuration."""
    _require_form(output)
    started_at = datetime.now(timezone.utc)
    loaded = configuration_file.read(ctx.obj)
    systems = configuration.check(loaded)
    if output is Output.JSON:
        screen.show(Report("config", started_at), output)
        return
    typer.echo(
        _("{path} is good: {systems}").format(path=loaded.path, systems=", ".join(systems) or _("nothing"))
    )


@app.command(help=N_("Show every value in effect and where it comes from; secrets are masked."))
def show(ctx: typer.Context, output: OutputOption = Output.HUMAN) -> None:
    """Show the configuration."""
    _require_form(output)
    loaded = configuration_file.read(ctx.obj)
    values = [(setting.key, setting.value, setting.source) for setting in configuration.show(loaded)]
    if output is Output.HUMAN:
        screen.show_screen(settings.table(str(loaded.path), values))
    else:
        stdout.write(json.text(settings.document(str(loaded.path), values)))


def _require_form(output: Output) -> None:
    if output not in (Output.HUMAN, Output.JSON):
        raise UsageError(_("this answer has no form {output}").format(output=output), hint="-o human|json")


@app.command(help=N_("Print the JSON schema of the configuration file, for editors."))
def schema() -> None:
    """Print the schema."""
    stdout.write(json.text(configuration.schema()))


@app.command(help=N_("Print the configuration file in use, or where one is looked for."))
def path(ctx: typer.Context) -> None:
    """Print the path."""
    typer.echo(configuration_file.find(ctx.obj))
