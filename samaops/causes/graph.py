"""From findings to root causes: symptoms are folded under what produces them.

Candidates are taken from the ground up (server, disk, engine, container, service, state, consumer). One whose
decisive findings are already explained by an accepted root is that root's symptom, and brings its own effects
along; otherwise it is a root itself. So one fault gives one root, and two independent faults give two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from msgspec.structs import replace

from samaops.causes import (
    application,
    celery,
    disks,
    docker,
    elsewhere,
    loadbalancer,
    network,
    objects,
    pgbouncer,
    postgresql,
    postgresql_standby,
    postgresql_work,
    publishing,
    quotas,
    rabbitmq,
    rabbitmq_access,
    redis,
    release,
    servers,
    services,
    settings,
    unknown,
)
from samaops.causes.mechanism import is_older
from samaops.causes.root import Candidate, Declaration, declared_in
from samaops.causes.shared_address import address_of
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Cause, Verdict
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.model.status import SEVERITY, Status
from samaops.site.site import Site

# Of two causes of the same rank, the one that stands first here is taken first.
_LAYERS = (
    servers,
    disks,
    quotas,
    elsewhere,
    docker,
    services,
    loadbalancer,
    network,
    application,
    pgbouncer,
    postgresql,
    postgresql_standby,
    postgresql_work,
    settings,
    redis,
    rabbitmq,
    rabbitmq_access,
    celery,
    publishing,
    release,
    objects,
)
DECLARATIONS = declared_in(_LAYERS)
# A healthy lab was called hung once in fifty looks at 7 to 11 processes for each processor, and never below 5.
_OVERLOAD = 5.0
_SILENCES = (FailureKind.NO_ANSWER.value, FailureKind.SILENT.value)
logger = logging.getLogger(__name__)


def explain(
    findings: tuple[Finding, ...], site: Site, own_load: float | None = None
) -> tuple[tuple[Finding, ...], tuple[Cause, ...]]:
    """Return the findings, each with its root cause's id where one explains it, and the roots, worst first.

    ``own_load``: how many processes wanted each processor of the machine that looked, None where nobody measured it.
    """
    view = View(findings, site)
    roots: list[_Root] = []
    candidates = [candidate for declared in DECLARATIONS for candidate in _candidates(declared, view)]
    for candidate in sorted(candidates, key=lambda candidate: candidate.rank):
        parent = next((root for root in roots if root.explains_all_of(candidate)), None)
        if parent is None:
            roots.append(_Root(candidate))
        else:
            parent.fold(candidate)
    if not roots:
        return _inconclusive(view)
    roots.sort(key=lambda root: root.severity)
    explained = _assign(findings, roots)
    named = tuple(
        replace(finding, cause=explained[finding.key].candidate.id) if finding.key in explained else finding
        for finding in findings
    )
    return named, tuple(_doubted(_cause(root, explained, site), root, own_load) for root in roots)


def _candidates(declared: Declaration, view: View) -> Iterator[Candidate]:
    """Yield what a declaration makes of the findings; one whose function fails costs itself alone."""
    for finding in declared.shown_by(view):
        try:
            yield from tuple(declared.candidates_of(finding, view))
        except Exception as error:
            logger.exception("the cause %s of %s failed", declared.ids[0], finding.key)
            if finding.status not in (Status.OK, Status.SKIPPED):
                yield unknown.unjudged(declared.ids[0], finding, error)


def _inconclusive(view: View) -> tuple[tuple[Finding, ...], tuple[Cause, ...]]:
    """Return what is critical where no root was found: where it is, and that nobody knows why."""
    causes = tuple(unknown.narrowed(view))
    explained = {key for cause in causes for key in cause.explains}
    findings = tuple(
        replace(finding, cause=unknown.UNKNOWN_FAULT) if finding.key in explained else finding
        for finding in view.findings
    )
    return findings, causes


class _Root:
    """An accepted root, and the candidates that were folded under it as its symptoms: all of them are its parts."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self._parts = [candidate]

    @property
    def severity(self) -> tuple[int, bool, int]:
        """Sort key: the worst of its own decisive findings, then what users notice, then nearer to the ground."""
        worst = min(SEVERITY.index(finding.status) for finding in self.candidate.triggers)
        return worst, self.candidate.runbook is None, self.candidate.rank

    def explains(self, finding: Finding, ruled_out: tuple[str, ...] = ()) -> bool:
        """Return whether a finding shows one of the parts, or is an effect of one.

        A part that is shown by a code which is ruled out does not count. One finding may show several faults, each by
        words of its own in the evidence: these are compared too.
        """
        parts = [part for part in self._parts if not part.is_shown_by_code(ruled_out)]
        if any(finding in part.triggers for part in parts):
            return True
        is_wrong = finding.status not in (Status.OK, Status.SKIPPED)
        if not is_wrong or is_older(finding, self.candidate.triggers):
            return False
        return any(part.produces(finding) for part in parts)

    def is_shown_by(self, finding: Finding) -> bool:
        """Return whether a finding, as the run has it, shows one of the parts."""
        return any(part.is_shown_by(finding) for part in self._parts)

    def explains_all_of(self, candidate: Candidate) -> bool:
        """Return whether a candidate is only a symptom of this root."""
        if candidate.root.is_proof and candidate.id != self.candidate.id:
            return False
        return all(self.explains(trigger, candidate.root.ruled_out) for trigger in candidate.triggers)

    def fold(self, candidate: Candidate) -> None:
        self._parts.append(candidate)


def _assign(findings: tuple[Finding, ...], roots: list[_Root]) -> dict[str, _Root]:
    """Return finding key -> root: the one it decides, else the first that explains it."""
    assigned: dict[str, _Root] = {}
    for finding in findings:
        decided = next((root for root in roots if root.candidate.is_shown_by(finding)), None)
        root = decided or next(
            (root for root in roots if root.explains(finding) or root.is_shown_by(finding)), None
        )
        if root is not None:
            assigned[finding.key] = root
    explained = dict(assigned)
    for finding in findings:
        if finding.status is Status.SKIPPED:  # it belongs to the finding that stands in its way, and names it
            keys = [word for word in finding.detail.split() if word in explained]
            assigned |= {finding.key: explained[keys[0]]} if keys else {}
    return assigned


def _doubted(cause: Cause, root: _Root, own_load: float | None) -> Cause:
    """Return a cause that a silence or a time shows as less sure, where the machine that listened had no time itself."""
    is_shown_by_silence = all(
        trigger.evidence.get("kind") in _SILENCES for trigger in root.candidate.triggers
    )
    # What somebody else took, a machine without time took itself.
    is_timed = cause.verdict is Verdict.OUTSIDE and all(
        ".latency" in trigger.code for trigger in root.candidate.triggers
    )
    if own_load is None or own_load < _OVERLOAD or not (is_shown_by_silence or is_timed):
        return cause
    text = _(
        "this machine was overloaded itself ({load:.0f} processes for each processor): it may have listened too late"
    )
    lesser = {Verdict.CONFIRMED: Verdict.PROBABLE, Verdict.OUTSIDE: Verdict.INCONCLUSIVE}
    verdict = lesser.get(cause.verdict, cause.verdict)
    return replace(cause, verdict=verdict, speaks_against=(*cause.speaks_against, text.format(load=own_load)))


def _cause(root: _Root, explained: dict[str, _Root], site: Site) -> Cause:
    candidate = root.candidate
    decisive = [trigger.key for trigger in candidate.triggers]
    others = [key for key, its_root in explained.items() if its_root is root and key not in decisive]
    return Cause(
        id=candidate.id,
        runbook=candidate.runbook,
        verdict=candidate.root.verdict,
        subject=candidate.subject,
        title=candidate.title,
        speaks_for=tuple(dict.fromkeys(candidate.speaks_for)),  # two ports of one system say the same
        speaks_against=candidate.root.speaks_against,
        explains=(*decisive, *others),
        fixes=candidate.root.fixes,
        address=address_of(candidate.triggers[0], site),
    )
