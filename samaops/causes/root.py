"""How a root cause is declared: what shows it, how near to the ground it is, what it produces, what to do about it.

A cause is one function under ``@root``. It gets a finding that may show it and the view of the run, and returns a
``Root`` with what is not plain from the finding, or None: this is another cause.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from fnmatch import fnmatchcase
from itertools import chain
from types import ModuleType

from msgspec import Struct

from samaops.causes.effects import Effects, OfSite, produced
from samaops.causes.view import Trigger, View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.site.commands import samaops
from samaops.site.site import Site

logger = logging.getLogger(__name__)


class Rank(IntEnum):
    """How near to the ground a cause is: what is nearer explains what is farther."""

    SERVER = 0
    RESOURCE = 1  # a disk, memory, the clock
    ENGINE = 2  # what runs or reaches everything on a server: Docker, sshd
    CONTAINER = 3
    SERVICE = 4  # it does not serve at all
    STATE = 5  # it serves, and is in a state that stops others: paused, locked, alarmed
    PART = 6  # a part of it: a session, a key, a queue, a member, a worker, a host behind the proxy
    WORK = 7  # it runs, and its work is not done
    CONSUMER = 8  # who waits or is refused at the end of the way
    REMAINDER = 9  # what is named when nothing nearer explains it
    UNJUDGED = 10  # no cause: that one could not be judged


class Root(Struct, frozen=True):
    """What a cause's function tells of it; what is left out is as declared, or as the finding says.

    ``speaks_for`` is the finding's own words when left out. ``is_proof`` says that what was seen shows everything
    before it to work: then only the same fault seen nearer to the ground explains it. ``ruled_out`` are codes of
    faults that what was seen shows not to be behind it, though as a rule they are.
    """

    title: str | None = None
    fixes: tuple[Fix, ...] = ()
    verdict: Verdict = Verdict.CONFIRMED
    speaks_for: tuple[str, ...] | None = None
    speaks_against: tuple[str, ...] = ()
    id: str | None = None
    runbook: str | None = None
    subject: str | None = None
    triggers: tuple[Finding, ...] | None = None
    effects: Effects | None = None
    is_proof: bool = False
    ruled_out: tuple[str, ...] = ()


class Candidate(Struct, frozen=True):
    """A possible root, before symptoms are folded under it; ``triggers`` are the findings that decide it."""

    id: str
    rank: Rank
    runbook: str | None
    subject: str
    title: str
    triggers: tuple[Finding, ...]
    effects: Effects
    root: Root
    speaks_for: tuple[str, ...]

    def is_shown_by(self, finding: Finding) -> bool:
        """Return whether a finding is among those that decide it."""
        return any(trigger.key == finding.key for trigger in self.triggers)

    def is_shown_by_code(self, patterns: tuple[str, ...]) -> bool:
        """Return whether a finding that decides it has one of these codes."""
        return any(fnmatchcase(trigger.code, pattern) for trigger in self.triggers for pattern in patterns)

    def produces(self, finding: Finding) -> bool:
        """Return whether a finding is among its effects; one that cannot be told from the evidence is none."""
        try:
            return any(effect.holds(finding) for effect in self.effects)
        except Exception:
            logger.exception("the effects of %s on %s failed", self.id, finding.key)
            return False


Find = Callable[[Finding, View], Root | Iterable[Root] | None]


class Triggers(Struct, frozen=True):
    """What shows a cause. ``is_together``: all such findings are one cause, asked for with the first of them."""

    triggers: tuple[Trigger, ...]
    is_together: bool = False


def each(*triggers: str | Trigger) -> Triggers:
    """Show a cause by each of these findings; a plain code stands for warnings and criticals."""
    return Triggers(tuple(Trigger(trigger) if isinstance(trigger, str) else trigger for trigger in triggers))


def together(*triggers: str | Trigger) -> Triggers:
    """Show a cause by all of these findings at once."""
    return Triggers(each(*triggers).triggers, is_together=True)


class Declaration(Struct, frozen=True):
    """One way in which a cause shows. A function that tells neighbours apart has the ids of all of them."""

    ids: tuple[str, ...]
    on: Triggers
    rank: Rank
    runbook: str | None
    effects: Effects | OfSite
    find: Find
    distinguished_from: tuple[str, ...] = ()

    def candidates(self, view: View) -> Iterator[Candidate]:
        """Yield what the findings of a run may have for a root."""
        for finding in self.shown_by(view):
            yield from self.candidates_of(finding, view)

    def shown_by(self, view: View) -> tuple[Finding, ...]:
        """Return the findings of a run for which the function is asked."""
        findings = view.matching(*self.on.triggers)
        return findings[:1] if self.on.is_together else findings

    def candidates_of(self, finding: Finding, view: View) -> Iterator[Candidate]:
        """Yield what one finding may have for a root."""
        roots = self.find(finding, view)
        for root_ in (roots,) if isinstance(roots, Root) else roots or ():
            yield self._candidate(root_, finding, view)

    def _candidate(self, root_: Root, finding: Finding, view: View) -> Candidate:
        effects = produced(self.effects, finding, view.site) if root_.effects is None else root_.effects
        return Candidate(
            id=root_.id or self.ids[0],
            rank=self.rank,
            runbook=root_.runbook or self.runbook,
            subject=root_.subject or finding.subject,
            title=finding.title if root_.title is None else root_.title,
            triggers=root_.triggers or (finding,),
            effects=effects,
            root=root_,
            speaks_for=(words_of(finding),) if root_.speaks_for is None else root_.speaks_for,
        )


_declared: dict[str, list[Declaration]] = {}


def root(
    *ids: str,
    on: str | Trigger | Triggers,
    rank: Rank,
    runbook: str | None = None,
    effects: Effects | OfSite = (),
    distinguished_from: tuple[str, ...] = (),
) -> Callable[[Find], Find]:
    """Declare a cause: the function below is asked for each finding that may show it."""
    triggers = on if isinstance(on, Triggers) else each(on)

    def declare(find: Find) -> Find:
        declaration = Declaration(ids, triggers, rank, runbook, effects, find, distinguished_from)
        _declared.setdefault(find.__module__, []).append(declaration)
        return find

    return declare


def declared_in(layers: Iterable[ModuleType]) -> tuple[Declaration, ...]:
    """Return every declaration of some modules, nearest to the ground first.

    Of the same rank, the order is that of the modules as given, then that of the file; it does not depend on which
    was imported first.
    """
    declarations = chain.from_iterable(_declared.get(layer.__name__, ()) for layer in layers)
    return tuple(sorted(declarations, key=lambda declaration: declaration.rank))


def words_of(finding: Finding) -> str:
    """Return what a finding says for a cause."""
    return finding.detail or finding.title


def safe(id_: str, title: str, *commands: str, undo: str | None = None) -> Fix:
    """Return a fix that nobody notices."""
    return Fix(id_, Risk.SAFE, title, commands, _undo(undo))


def disruptive(id_: str, title: str, *commands: str, undo: str | None = None) -> Fix:
    """Return a fix that users notice for a moment."""
    return Fix(id_, Risk.DISRUPTIVE, title, commands, _undo(undo))


def destructive(id_: str, title: str, *commands: str, undo: str | None = None) -> Fix:
    """Return a fix that loses data."""
    return Fix(id_, Risk.DESTRUCTIVE, title, commands, _undo(undo))


def _undo(command: str | None) -> tuple[str, ...]:
    return () if command is None else (command,)


def team_request(site: Site) -> str:
    """Return the command that writes the request to a team about what keeps notifications from Google."""
    return samaops(site, "troubleshoot notifications")


def look_first(finding: Finding) -> Root:
    """Return a root of which the finding tells all, and nobody knows yet what is behind it."""
    fix = safe("db.look", _("See what it is before ending anything"), f"samaops explain {finding.code}")
    return Root(fixes=(fix,), verdict=Verdict.PROBABLE)
