"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.i18n import N_
from samaops.render.faces import Output
from samaops.site import chosen

OutputOption = Annotated[
    Output,
    typer.Option(
        "-o",
        "--output",
        metavar="FORM",
        help=N_("human, json, nagios, prometheus, junit or markdown."),
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option("-v", "--verbose", callback=chosen.show_everything, help=N_("Show everything.")),
]
