"""`samaops config`: init, check, show, schema, path."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from samaops.cli import configuration_file, exit_codes, screen, stdout
from samaops.cli.changing import ChangeCommand
from samaops.cli.consent import ask
from samaops.cli.global_options import Globals
from samaops.cli.options import OutputOption
from samaops.cli.streams import folded, say
from samaops.config import example, places, sites
from samaops.i18n import N_, _
from samaops.model.report import Report, worst_first
from samaops.render import escape, json, settings
from samaops.render.faces import Output
from samaops.site.site import Site
from samaops.workflows import configuration
from samaops.workflows import connect as connecting

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
    target = (
        path
        or globals_.config
        or (sites.place_for(globals_.site) if globals_.site else places.configuration())
    )
    if not force:
        configuration.require_free(target)
    is_asked = sys.stdin.isatty() and sys.stderr.isatty()
    answers = {"site": globals_.site} if globals_.site else {}
    if is_asked:
        answers |= {
            question.key: _answer(question) for question in example.QUESTIONS if question.key not in answers
        }
    configuration.write_example(target, example.filled_in(answers), force=force)
    text = _("{path} is written; fill in the addresses and secrets, then: samaops config check")
    if is_asked:
        text = _("{path} is written; say where the secrets are, then: samaops config check --connect")
    if globals_.site:
        text = _(
            "{path} is written; fill in the addresses and secrets, then: samaops config check --site {site}"
        )
    say(escape.command(text.format(path=target, site=globals_.site)))


def _answer(question: example.Question) -> str:
    """Ask until the answer can be used; nothing at all is what is proposed."""
    while True:
        proposed = f" [{question.proposed}]" if question.proposed else ""
        answer = ask(_(question.text) + proposed) or question.proposed
        try:
            question.require(answer)
        except ValueError as error:
            typer.echo(folded(str(error), sys.stderr, "  "), err=True)
        else:
            return answer


@app.command(help=N_("Check the configuration: every key, every reference, every secret."))
def check(
    ctx: typer.Context,
    connect: Annotated[
        bool,
        typer.Option(
            "--connect", help=N_("Also log in to each system, as every look does; nothing is written.")
        ),
    ] = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Check the configuration."""
    _require_form(output)
    started_at = datetime.now(timezone.utc)
    loaded = configuration_file.read(ctx.obj)
    systems = configuration.check(loaded)
    warnings = configuration.warnings(loaded.settings)
    if connect:
        with screen.progress(_("Logging in…")):
            report = connecting.connect(Site(loaded.settings))
        if warnings:
            findings = worst_first((*report.findings, *warnings))
            report = replace(
                report, findings=findings, answer=_("Not everything lets us in, or keeps what we send")
            )
        screen.show_checklist(report, output)
        raise typer.Exit(exit_codes.of_report(report))
    good = _("{path} is good: {systems}").format(path=loaded.path, systems=", ".join(systems) or _("nothing"))
    if output is Output.HUMAN and not warnings:
        say(escape.command(good))
        return
    report = Report("config", started_at, findings=worst_first(warnings), answer=good if warnings else "")
    screen.show_checklist(report, output)
    raise typer.Exit(exit_codes.of_report(report))


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
        raise screen.no_form(output)


@app.command(
    help=N_("Bring the configuration file to the format of this version of samaops."), cls=ChangeCommand
)
def upgrade(ctx: typer.Context) -> None:
    """Upgrade the configuration file."""
    path = configuration_file.find(ctx.obj.root)
    ctx.obj.change("config upgrade", str(path.absolute()))


@app.command(help=N_("Print the JSON schema of the configuration file, for editors."))
def schema() -> None:
    """Print the schema."""
    stdout.write(json.text(configuration.schema()))


@app.command(help=N_("Print the configuration file in use, or where one is looked for."))
def path(ctx: typer.Context) -> None:
    """Print the path."""
    typer.echo(configuration_file.find(ctx.obj))
