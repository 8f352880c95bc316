"""`samaops balancer`: the pool of the load balancer, an F5 or one that the site's own commands control."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.changes.balancer.members import LEAST_SECONDS, MOST_SECONDS, WITHIN_SECONDS
from samaops.cli.changing import ChangeCommand
from samaops.cli.looking import LookCommand
from samaops.cli.options import completed_by
from samaops.i18n import N_
from samaops.workflows import balancer

app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
MemberArgument = Annotated[
    str,
    typer.Argument(
        metavar="MEMBER",
        help=N_("A member of the pool by its own name or its API instance's, see samaops balancer list."),
        autocompletion=completed_by("members"),
    ),
]
WithinOption = Annotated[
    float,
    typer.Option(
        "--within",
        metavar="SECONDS",
        min=LEAST_SECONDS,
        max=MOST_SECONDS,
        help=N_("How long its connections are waited for, at most; it is out all the same."),
    ),
]


@app.command(
    "list",
    cls=LookCommand,
    help=N_("List the members of the pool: who serves, who is out, their connections."),
)
def listed(ctx: typer.Context) -> None:
    """List the members."""
    ctx.obj.show(balancer.members)


@app.command(
    cls=ChangeCommand,
    help=N_("Take a member out of the pool (forced offline), and wait for its connections."),
)
def drain(ctx: typer.Context, member: MemberArgument, within: WithinOption = WITHIN_SECONDS) -> None:
    """Take a member out."""
    ctx.obj.change("balancer drain", member, f"{within:g}")


@app.command(cls=ChangeCommand, help=N_("Put a member back into the pool, if it serves its health path."))
def enable(ctx: typer.Context, member: MemberArgument) -> None:
    """Put a member back."""
    ctx.obj.change("balancer enable", member)
