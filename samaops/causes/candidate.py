"""A possible root cause, before symptoms are folded under it, and the view of a run it is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops
from samaops.site.site import Site

_BAD = (Status.WARNING, Status.CRITICAL)
_NOT_OK = (*_BAD, Status.UNKNOWN)

Matcher = Callable[[Finding], bool]


class Candidate(Struct, frozen=True):
    """A cause with its place in the order of roots.

    A lower ``rank`` is nearer to the ground: server, disk, engine, container, service, state, consumer. A
    candidate whose ``triggers`` are all explained by one of lower or equal rank before it is a symptom, not a
    root. ``effects`` tells which other findings it produces. ``is_proof`` says that what was seen shows everything
    before it to work: then only the same fault seen nearer to the ground explains it. ``ruled_out`` are codes of
    faults that what was seen shows not to be behind it, though as a rule they are.
    """

    id: str
    rank: int
    runbook: str | None
    subject: str
    title: str
    triggers: tuple[Finding, ...]
    effects: Matcher
    verdict: Verdict = Verdict.CONFIRMED
    speaks_for: tuple[str, ...] = ()
    speaks_against: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    is_proof: bool = False
    ruled_out: tuple[str, ...] = ()


class View:
    """The findings of a run, easy to ask, and the settings that say what depends on what."""

    def __init__(self, findings: Iterable[Finding], site: Site) -> None:
        self.findings = tuple(findings)
        self.site = site

    def bad(self, pattern: str, server: str | None = None) -> tuple[Finding, ...]:
        """Return warnings and criticals whose code matches, on one server when given."""
        return self._matching(pattern, _BAD, server)

    def not_ok(self, pattern: str, server: str | None = None) -> tuple[Finding, ...]:
        """Return warnings, criticals and unknowns whose code matches."""
        return self._matching(pattern, _NOT_OK, server)

    def ok(self, pattern: str, server: str | None = None) -> tuple[Finding, ...]:
        """Return what was looked at and found well."""
        return self._matching(pattern, (Status.OK,), server)

    def kind(self, pattern: str, *kinds: str) -> tuple[Finding, ...]:
        """Return the access findings that failed in one of these ways (see FailureKind)."""
        return tuple(one for one in self.not_ok(pattern) if one.evidence.get("kind") in kinds)

    def _matching(
        self, pattern: str, statuses: tuple[Status, ...], server: str | None
    ) -> tuple[Finding, ...]:
        return tuple(
            one
            for one in self.findings
            if one.status in statuses and fnmatchcase(one.code, pattern) and server in (None, one.server)
        )


OUTAGE = ("refused", "silent", "no_answer", "closed", "garbage", "tls", "unavailable")


def codes(*patterns: str, server: str | None = None, subject: str | None = None) -> Matcher:
    """Match findings by code patterns such as ``redis.*``, and by server or subject when given."""

    def matches(finding: Finding) -> bool:
        return (
            any(fnmatchcase(finding.code, pattern) for pattern in patterns)
            and server in (None, finding.server)
            and subject in (None, finding.subject)
        )

    return matches


def any_of(*matchers: Matcher) -> Matcher:
    """Match what one of the matchers matches."""
    return lambda finding: any(matches(finding) for matches in matchers)


NOTHING: Matcher = codes()


def letter(view: View) -> str:
    """Return the command that writes the letter about what keeps notifications from Google."""
    return samaops(view.site, "troubleshoot notifications")
