"""`samaops maintain sample` alone, without what the other commands of its group import: it runs every minute."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from samaops.cli import configuration_file, global_options, screen
from samaops.cli.exit_codes import Answered
from samaops.facts.sample import DEGRADED, DOWN, UNOBSERVED, UP, Minute
from samaops.i18n import N_, _, joined, number
from samaops.render import escape
from samaops.render.layout import Hanging
from samaops.workflows.reports import sampling

HELP = N_("Look once at what the objectives speak of, and keep that: the scheduler does so every minute.")
_STATE_WORDS = {
    UP: N_("up"),
    DEGRADED: N_("degraded"),
    DOWN: N_("down"),
    UNOBSERVED: N_("not observed"),
}
MOST_MINUTES = 24 * 60
app = typer.Typer(
    no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def _group() -> None:
    """Keep the name of the command."""


MinutesOption = Annotated[
    int,
    typer.Option(
        "--minutes",
        metavar="N",
        min=1,
        max=MOST_MINUTES,
        help=N_("Look in each of so many minutes, then end."),
    ),
]


@app.command(help=HELP)
def sample(ctx: typer.Context, minutes: MinutesOption = 1) -> None:
    """Take samples."""
    site = configuration_file.site(ctx.obj)
    unkept = []

    def tell(minute: Minute, failure: str) -> None:
        if failure:
            unkept.append(failure)
            _say(_("the sample could not be kept: {reason}").format(reason=failure))
        if not global_options.current().quiet:
            _say(_words(minute))

    sampling.run(site, minutes, tell)
    raise typer.Exit(Answered(2 if unkept else 0))


def _words(minute: Minute) -> str:
    bad = [
        " ".join((each.subject, _(_STATE_WORDS[each.state]))) for each in minute.samples if each.state != UP
    ]
    text = _("{moment}: {count} subjects, {up} up, {ms} ms of processor time").format(
        moment=f"{minute.at:%Y-%m-%d %H:%M} UTC",
        count=len(minute.samples),
        up=len(minute.samples) - len(bad),
        ms=number(str(minute.cpu_ms or 0)),
    )
    return joined([text, *bad])


def _say(text: str) -> None:
    screen.console(stderr=True).print(Hanging(Text("samaops: "), Text(escape.plain(text))))
