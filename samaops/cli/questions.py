"""Questions at the terminal, in the user's language."""

from __future__ import annotations

import select
import sys

import typer

from samaops.i18n import _

# How long a Ctrl-C may wait that comes between two looks for an answer.
_LOOK_EVERY_SECONDS = 0.2


def ask(question: str) -> str:
    """Ask on stderr and return the line that was typed. Raises typer.Abort at the end of the input.

    A Ctrl-C that comes just before a blocking read would be held back until the next key; here it is never longer than
    a moment. Lines come one by one from a terminal, so none waits in Python's buffer unseen.
    """
    typer.echo(_("{label}: {text}").format(label=question, text=""), err=True, nl=False)
    while not select.select([sys.stdin], [], [], _LOOK_EVERY_SECONDS)[0]:
        continue
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line.strip()


def is_yes(question: str) -> bool:
    """Ask on stderr until the answer is a yes or a no; nothing at all is a no."""
    # A translation keeps the English words and puts its own before them.
    yes, no = _("y yes").split(), _("n no").split()
    choices = _("[y/N]")
    while True:
        prompt = f"{question} {choices}"
        answer = ask(prompt).casefold()
        if answer in yes:
            return True
        if answer in no or not answer:
            return False
        typer.echo(_("Please answer y or n"), err=True)
