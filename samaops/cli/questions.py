"""Questions that take a yes or a no, in the user's language."""

from __future__ import annotations

import typer

from samaops.i18n import _


def is_yes(question: str) -> bool:
    """Ask on stderr until the answer is a yes or a no; nothing at all is a no."""
    # A translation keeps the English words and puts its own before them.
    yes, no = _("y yes").split(), _("n no").split()
    choices = _("[y/N]")
    while True:
        asked = f"{question} {choices}"
        answer = str(typer.prompt(asked, default="", show_default=False, err=True)).strip().casefold()
        if answer in yes:
            return True
        if answer in no or not answer:
            return False
        typer.echo(_("Please answer y or n"), err=True)
