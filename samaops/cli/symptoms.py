"""Which playbook `troubleshoot` runs where none is named: by people's own words, or one question after the other."""

from __future__ import annotations

import typer
from rich.text import Text

from samaops.cli import screen
from samaops.cli.consent import ask
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.render import escape
from samaops.render.layout import Hanging
from samaops.site.commands import samaops, typed
from samaops.site.site import Site
from samaops.workflows.troubleshooting import symptoms
from samaops.workflows.troubleshooting.symptoms import ALL, FIRST, QUESTIONS, Answer


def playbook_of(site: Site, words: str | None, *, may_ask: bool) -> str:
    """Return the playbook of a symptom; words that say nothing lead to all of them. Raises UsageError."""
    found = symptoms.matching(words, site) if words is not None else ()
    if words is not None and len(found) < 2:
        return _told(site, found[0] if found else ALL)
    if may_ask:
        return _told(site, _asked(site, FIRST))
    if found:
        text = _("This may be any of {names}").format(names=", ".join(found))
        raise UsageError(text, hint=typed(site, f"troubleshoot {found[0]}"))
    text = _("Which symptom? There is no terminal to ask at")
    raise UsageError(text, hint="samaops troubleshoot list")


def _told(site: Site, name: str) -> str:
    """Say which playbook it is, as one would type it."""
    command = escape.command(samaops(site, f"troubleshoot {name}"))
    typer.echo(_("This is: {command}").format(command=command), err=True)
    return name


def _asked(site: Site, place: str) -> str:
    """Ask one question after the other until an answer leads to a playbook."""
    while place in QUESTIONS:
        question = QUESTIONS[place]
        console = screen.console(stderr=True)
        console.print(Text(_(question.text), "bold"))
        for number, answer in enumerate(question.answers, start=1):
            console.print(Hanging(Text(f"{number}. "), Text(_(answer.text))))
        place = symptoms.led_to(_chosen(question.answers), site)
    return place


def _chosen(answers: tuple[Answer, ...]) -> Answer:
    """Return the answer whose number is typed; nothing at all is the last one: nobody knows."""
    while True:
        number = ask(_("Which one? (1-{count})").format(count=len(answers)))
        if not number:
            return answers[-1]
        if number.isascii() and number.isdigit() and 1 <= int(number) <= len(answers):
            return answers[int(number) - 1]
        typer.echo(_("{answer!r} is not one of them").format(answer=number), err=True)
