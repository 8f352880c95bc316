"""`samaops explain CODE|CAUSE|--graph`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer
from msgspec.structs import replace

from samaops.cli import configuration_file, screen, stdout
from samaops.cli.global_options import Globals
from samaops.cli.options import OutputOption, completed_by
from samaops.errors import ConfigurationError, UsageError
from samaops.i18n import N_, _
from samaops.render import causal_graph as face
from samaops.render import descriptions, json
from samaops.render.causal_graph import Form
from samaops.render.faces import Output
from samaops.site.site import Site
from samaops.workflows import causal_graph
from samaops.workflows import explain as checks
from samaops.workflows.database import beside

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def explain(
    ctx: typer.Context,
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE|CAUSE|beside]",
            help=N_(
                "A finding's code, such as redis.memory.high, a cause, such as redis-down, or beside: which work on the database goes together."
            ),
            show_default=False,
            autocompletion=completed_by("codes_and_causes"),
        ),
    ] = None,
    graph: Annotated[
        bool, typer.Option("--graph", help=N_("Show all causes: what shows each, what it produces."))
    ] = False,
    form: Annotated[
        Form | None, typer.Option("--form", metavar="FORM", help=N_("Of --graph: text, mermaid or dot."))
    ] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Explain one finding, one cause, or how all causes hang together."""
    if output not in (Output.HUMAN, Output.JSON, Output.MARKDOWN):
        raise screen.no_form(output, "markdown")
    if graph:
        _graph(code, form, output)
        return
    if code is None:
        raise UsageError(_("{parameter} is missing").format(parameter="CODE"), hint="samaops explain --help")
    if form is not None:
        raise UsageError(_("--form is of --graph only"), hint="samaops explain --graph --form mermaid")
    name = code.partition("@")[0]
    if name == beside.TOPIC:
        screen.show_table(beside.table(), output)
    elif "." in name:
        _check(name, _settings(ctx.obj), output)
    else:
        _cause(name, _settings(ctx.obj), output)


def _check(code: str, site: Site | None, output: Output) -> None:
    check = checks.describe(code, site)
    if output is Output.HUMAN:
        screen.show_screen(descriptions.page(check))
    elif output is Output.JSON:
        stdout.write(json.text(descriptions.explanation_document(check)))
    else:
        stdout.write(descriptions.markdown_page(check))


def _cause(name: str, site: Site | None, output: Output) -> None:
    cause = replace(causal_graph.describe(name, site), incidents=_incidents_of(name))
    if output is Output.HUMAN:
        screen.show_screen(face.cause_page(cause))
    elif output is Output.JSON:
        stdout.write(json.text(face.cause_document(cause)))
    else:
        stdout.write(face.cause_markdown(cause))


def _incidents_of(cause: str) -> tuple[str, ...]:
    """Return the incidents of the lab that show a cause; none where the lab is not installed."""
    try:
        from samaops.lab.incidents.running import INCIDENTS
    except ModuleNotFoundError:
        return ()
    return tuple(incident.id for incident in INCIDENTS if incident.root.cause == cause)


def _graph(code: str | None, form: Form | None, output: Output) -> None:
    if code is not None:
        text = _("--graph shows all causes: {code} goes without it").format(code=code)
        raise UsageError(text, hint=f"samaops explain {code}")
    if output is Output.JSON:
        if form is not None:
            raise UsageError(_("--form and -o json do not go together"), hint="-o human|markdown")
        stdout.write(json.text(face.graph_document(causal_graph.graph())))
    elif output is Output.MARKDOWN:
        stdout.write(face.graph_markdown(causal_graph.graph(), form or Form.TEXT))
    elif form in (Form.MERMAID, Form.DOT):
        stdout.write(face.drawing(causal_graph.graph(), form))
    else:
        screen.show_screen(face.graph_page(causal_graph.graph()))


def _settings(globals_: Globals) -> Site | None:
    """Return the configuration, for the addresses in commands; an explanation needs none."""
    if globals_.config is not None or globals_.lab:
        return configuration_file.site(globals_)
    with suppress(ConfigurationError):
        return configuration_file.site(globals_)
    return None
