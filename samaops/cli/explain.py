"""`samaops explain CODE`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from samaops.cli import screen
from samaops.cli.app import Globals
from samaops.cli.options import OutputOption
from samaops.errors import ConfigurationError, UsageError
from samaops.i18n import N_, _
from samaops.render.faces import Output

if TYPE_CHECKING:
    from samaops.site.site import Site

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
    from samaops.render import descriptions, json
    from samaops.workflows import explain as workflow

    check = workflow.describe(code.partition("@")[0], _settings(ctx.obj))
    if output is Output.HUMAN:
        screen.show_screen(descriptions.page(check))
    elif output is Output.JSON:
        screen.write(json.text(descriptions.explanation_document(check)))
    elif output is Output.MARKDOWN:
        screen.write(descriptions.markdown_page(check))
    else:
        raise UsageError(
            _("this answer has no form {output}").format(output=output), hint="-o human|json|markdown"
        )


def _settings(globals_: Globals) -> Site | None:
    """Return the configuration, for the addresses in commands; an explanation needs none."""
    if globals_.config is not None or globals_.lab:
        return globals_.site()
    with suppress(ConfigurationError):
        return globals_.site()
    return None
