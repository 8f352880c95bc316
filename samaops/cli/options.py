"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from samaops.i18n import N_
from samaops.render.faces import Output

OutputOption = Annotated[
    Output,
    typer.Option(
        "-o",
        "--output",
        metavar="FORM",
        help=N_("human, json, nagios, prometheus, junit or markdown."),
    ),
]
