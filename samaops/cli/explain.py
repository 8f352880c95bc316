"""`samaops explain CODE`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from samaops.cli import configuration_file, screen, stdout
from samaops.cli.app import Globals
from samaops.cli.options import OutputOption
from samaops.errors import ConfigurationError, UsageError
from samaops.i18n import N_, _
from samaops.render import descriptions, json
from samaops.render.faces import Output
from samaops.site.site import Site
from samaops.workflows import explain as workflow

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def explain(
    ctx: typer.Context,
    code: Annotated[
        str, typer.Argument(metavar="CODE", help=N_("A finding's code, such as redis.memory.high."))
    ],
    output: OutputOption = Output.HUMAN,
) -> None:
    """Explain one finding."""
    check = workflow.describe(code.partition("@")[0], _settings(ctx.obj))
    if output is Output.HUMAN:
        screen.show_screen(descriptions.page(check))
    elif output is Output.JSON:
        stdout.write(json.text(descriptions.explanation_document(check)))
    elif output is Output.MARKDOWN:
        stdout.write(descriptions.markdown_page(check))
    else:
        raise UsageError(
            _("this answer has no form {output}").format(output=output), hint="-o human|json|markdown"
        )


def _settings(globals_: Globals) -> Site | None:
    """Return the configuration, for the addresses in commands; an explanation needs none."""
    if globals_.config is not None or globals_.lab:
        return configuration_file.site(globals_)
    with suppress(ConfigurationError):
        return configuration_file.site(globals_)
    return None
