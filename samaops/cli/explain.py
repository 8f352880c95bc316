"""`samaops explain CODE`."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.cli import screen
from samaops.cli.options import OutputOption
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.render.faces import Output

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def explain(
    code: Annotated[
        str, typer.Argument(metavar="CODE", help=N_("A finding's code, such as redis.memory.high."))
    ],
    output: OutputOption = Output.HUMAN,
) -> None:
    """Explain one finding."""
    from samaops.render import descriptions, json
    from samaops.workflows import explain as workflow

    check = workflow.describe(code.partition("@")[0])
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
