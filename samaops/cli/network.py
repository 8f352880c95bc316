"""`samaops network`: who reaches whom, tried from where each stands; and the rules that the matrix asks of a server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from samaops.cli import configuration_file, screen
from samaops.cli.looking import LookCommand
from samaops.cli.options import completed_by
from samaops.cli.stdout import write
from samaops.errors import UsageError
from samaops.i18n import N_, _
from samaops.render import json
from samaops.render.faces import Output
from samaops.site import firewall_rules
from samaops.workflows import network as workflow

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(
    cls=LookCommand,
    help=N_(
        "Try every line of the connectivity matrix from where its client stands: open where it must be, closed where it "
        "must be."
    ),
)
def network(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SERVER",
            help=N_("Only the lines that begin on one server; or at a member, a worker, admin, balancer."),
            autocompletion=completed_by("servers"),
        ),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="SERVER",
            help=N_("Print the firewall rules that the matrix asks of a server; nothing is applied."),
            autocompletion=completed_by("servers"),
        ),
    ] = None,
    iptables: Annotated[
        bool, typer.Option("--iptables", help=N_("The rules for iptables-restore; for nft when absent."))
    ] = False,
) -> None:
    """Try the matrix, or print a server's rules."""
    if rules is None:
        if iptables:
            raise UsageError(_("--iptables needs --rules SERVER"), hint="samaops network --help")
        ctx.obj.show(lambda site: workflow.matrix(site, source))
        return
    if source is not None or ctx.obj.watch is not None:
        raise UsageError(_("--rules stands alone: nothing is looked at"), hint="samaops network --help")
    form = firewall_rules.IPTABLES if iptables else firewall_rules.NFTABLES
    _print(
        firewall_rules.text(configuration_file.site(ctx.obj.root), rules, form), rules, form, ctx.obj.output
    )


def _print(text: str, server: str, form: str, output: Output) -> None:
    """Print the rules as they are loaded, or within a document."""
    if output is Output.HUMAN:
        write(text)
    elif output is Output.JSON:
        document: dict[str, Any] = {"schema": "samaops/firewall_rules/1"}
        write(json.text({**document, "server": server, "form": form, "text": text}))
    elif output is Output.MARKDOWN:
        write(f"```\n{text}```\n")
    else:
        raise screen.no_form(output, "markdown")
