"""What is critical and no cause explains: inconclusive, with the area narrowed down, and never another fault's name."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.causes.root import Candidate, Rank, look_first, safe, words_of
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops

UNKNOWN_FAULT = "unknown-fault"
_SHOWN = 3


def narrowed(view: View) -> Iterator[Cause]:
    """Yield for each system with something critical what is wrong there, and what around it is well."""
    critical = [finding for finding in view.findings if finding.status is Status.CRITICAL]
    for system in dict.fromkeys(finding.system for finding in critical):
        yield _of_system(system, view)


def unjudged(cause: str, finding: Finding, error: Exception) -> Candidate:
    """Return that a cause could not be judged, by a fault of samaops: named where no other explains the finding."""
    title = _("{title}; whether it is {cause} could not be judged").format(title=finding.title, cause=cause)
    fault = _("this is a bug in samaops ({kind}); its log has the details").format(kind=type(error).__name__)
    return Candidate(
        id=UNKNOWN_FAULT,
        rank=Rank.UNJUDGED,
        runbook=None,
        subject=finding.subject,
        title=title,
        triggers=(finding,),
        effects=(),
        root=replace(look_first(finding), verdict=Verdict.INCONCLUSIVE),
        speaks_for=(words_of(finding), fault),
    )


def _of_system(system: str, view: View) -> Cause:
    wrong = sorted(view.bad(f"{system}.*"), key=lambda finding: finding.status is not Status.CRITICAL)
    first = wrong[0]
    text = _("Read what it means, then its own log around the time when it began; change nothing before")
    commands = (samaops(view.site, f"explain {first.code}"), *((first.hint,) if first.hint else ()))
    return Cause(
        id=UNKNOWN_FAULT,
        runbook=None,
        verdict=Verdict.INCONCLUSIVE,
        subject=first.subject,
        title=_("{title}; no known cause explains it").format(title=first.title),
        speaks_for=tuple(finding.title for finding in wrong[1 : 1 + _SHOWN]),
        speaks_against=tuple(_well(first, view))[:_SHOWN],
        explains=tuple(finding.key for finding in wrong),
        fixes=(safe("unknown.look", text, *dict.fromkeys(commands)),),
    )


def _well(wrong: Finding, view: View) -> Iterator[str]:
    """Yield what was looked at around it and is well: the fault is not there."""
    around = (*view.ok("*.unreachable", wrong.server), *view.ok(f"{wrong.system}.*"))
    near = [finding for finding in around if finding.server == wrong.server or finding.system == wrong.system]
    yield from dict.fromkeys(_("not there: {title}").format(title=finding.title) for finding in near)
