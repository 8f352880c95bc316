"""The consent to a change: the options that give it, the question at the terminal, and when it is refused unasked."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
from collections.abc import Callable
from typing import Annotated

import typer
from msgspec import Struct

from samaops.errors import RefusedError
from samaops.i18n import N_, _
from samaops.model.plan import Plan
from samaops.site.shell_words import quoted

# How long a Ctrl-C may wait that comes between two looks for an answer.
_LOOK_EVERY_SECONDS = 0.2
# What was typed ahead has come when nothing comes for so long; what types on for longer than that is no person.
_PAUSE_SECONDS, _LONGEST_TYPING_SECONDS = 0.05, 2.0
_READ_BYTES = 4096
_LINE_END = re.compile(rb"[\r\n]")
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help=N_("Show the plan that would be run; change nothing."))
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help=N_("Do not ask; never covers a plan that loses data."))
]
ConfirmOption = Annotated[
    str | None,
    typer.Option(
        "--confirm", metavar="NAME", help=N_("The target's name: confirms a plan that loses data too.")
    ),
]


class Consent(Struct, frozen=True):
    """What the command line says about asking."""

    dry_run: bool = False
    yes: bool = False
    name: str | None = None
    wait_seconds: float = 60.0


def obtain(plan: Plan, consent: Consent, show: Callable[[], None]) -> None:
    """Get the user's yes. Raises RefusedError without one.

    A plan that loses data needs the target's name, typed or given by ``--confirm``; ``--yes`` is not enough.
    """
    if consent.name is not None:
        if consent.name != plan.target or not plan.target:
            text = _("--confirm {name!r} is not the target's name, {target!r}; nothing was changed")
            raise RefusedError(text.format(name=consent.name, target=plan.target))
        return
    if consent.yes and not plan.wants_name:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise _not_asked(plan)
    show()
    if not _is_given(plan):
        raise RefusedError(_("Not confirmed; nothing was changed"))


def _not_asked(plan: Plan) -> RefusedError:
    flag = f"--confirm {quoted(plan.target)}" if plan.wants_name else "--yes"
    hint = _("--dry-run shows the plan; {flag} runs it").format(flag=flag)
    reason = _("There is no terminal to ask at; nothing was changed")
    return RefusedError(f"{plan.doubt}. {reason}" if plan.doubt else reason, hint=hint)


def _is_given(plan: Plan) -> bool:
    if plan.wants_name:
        question = _("Data will be lost. Type the name {target!r} to go on").format(target=plan.target)
        if plan.doubt:
            text = _("{doubt}. Read each command; then type {target!r} to go on")
            question = text.format(doubt=plan.doubt, target=plan.target)
        return bool(plan.target) and ask(question) == plan.target
    return is_yes(_("Do this?"))


def ask(question: str) -> str:
    """Ask on stderr and return the line that is typed from now on. Raises typer.Abort at the end of the input.

    A Ctrl-C that comes just before a blocking read would be held back until the next key; here it is never longer than
    a moment. The terminal is read without Python's buffer, in which a second line would wait for the next question.
    """
    terminal, typed = sys.stdin.fileno(), b""
    try:
        _forget_what_was_typed(terminal)
        typer.echo(_("{label}: {text}").format(label=question, text=""), err=True, nl=False)
        while not _LINE_END.search(typed):
            while not select.select([terminal], [], [], _LOOK_EVERY_SECONDS)[0]:
                continue
            block = os.read(terminal, _READ_BYTES)
            if not block:
                raise typer.Abort
            typed += block
    except (termios.error, OSError) as error:  # the terminal is gone
        raise typer.Abort from error
    return _LINE_END.split(typed)[0].decode(sys.stdin.encoding or "utf-8", "replace").strip()


def _forget_what_was_typed(terminal: int) -> None:
    """Discard what was typed before the question: it answers nothing. Raises RefusedError when that does not end."""
    ends_at, is_quiet = time.monotonic() + _LONGEST_TYPING_SECONDS, False
    while not is_quiet:
        termios.tcflush(terminal, termios.TCIFLUSH)  # what did not fit the kernel gives then
        is_quiet = not select.select([terminal], [], [], _PAUSE_SECONDS)[0]
        if not is_quiet and time.monotonic() > ends_at:
            text = _("Something types without a pause before the question is asked; nothing was changed")
            raise RefusedError(text, hint=_("a program gives its consent by --yes or --confirm NAME"))
    termios.tcflush(terminal, termios.TCIFLUSH)  # the beginning of a line


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
