"""Remove the images that nothing uses, as one change of the engine, and say how much that gave back."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from samaops.changes.docker.images import CODE
from samaops.checks import engine as checks
from samaops.errors import LockedError, RefusedError, SamaopsError, UnavailableError
from samaops.facts.maintenance import ImagesFacts
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import ngettext
from samaops.model.finding import Finding
from samaops.model.plan import Plan
from samaops.model.report import Report, worst_first
from samaops.model.status import Status
from samaops.site.commands import samaops
from samaops.site.site import Site
from samaops.workflows import change, diagnose

WAIT_SECONDS = 20.0
Consent = Callable[[Plan], None]


def clean(site: Site, snapshot: Snapshot, report: Report, consent: Consent | None) -> tuple[Report, bool]:
    """Return the report with the removal in it, and whether it was refused; only planned without a consent."""
    try:
        plan = change.prepare(site, "docker cleanup", ())
    except UnavailableError:
        return report, False  # the finding about the engine says so
    except RefusedError as error:
        return replace(report, findings=_replaced(report, _told(site, report, error))), True
    if not plan.steps:
        return report, False
    if consent is None:
        planned = change.report_of(site, plan)
        return replace(report, actions=planned.actions), False
    return _remove(site, snapshot, report, plan, consent)


def _remove(
    site: Site, snapshot: Snapshot, report: Report, plan: Plan, consent: Consent
) -> tuple[Report, bool]:
    try:
        consent(plan)
        done = change.apply(site, plan, WAIT_SECONDS)
    except (RefusedError, LockedError) as error:
        done = change.refused(site, plan, error)
        return _with(report, done, _told(site, report, error)), isinstance(error, RefusedError)
    failure = done.errors[0].message if done.errors else ""
    return _with(report, done, _looked_again(site, snapshot, failure)), False


def _told(site: Site, report: Report, error: SamaopsError) -> tuple[Finding, ...]:
    """Say in the findings why their images are still there."""
    return tuple(_because(site, one, error.message) for one in report.findings if one.code == CODE)


def _because(site: Site, finding: Finding, reason: str) -> Finding:
    hint = samaops(site, "maintain daily --only images --yes")
    is_told = finding.status in (Status.WARNING, Status.CRITICAL)
    return replace(finding, detail=reason, hint=hint) if is_told else finding


def _looked_again(site: Site, snapshot: Snapshot, failure: str) -> tuple[Finding, ...]:
    selection = Selection(only=(CODE,))
    after = diagnose.observe(site, selection)
    before = {one.server: facts for one, facts in snapshot.facts_of(ImagesFacts)}
    now = {one.server: facts for one, facts in after.facts_of(ImagesFacts)}
    found = []
    for one in checks.judge(after, site, selection):
        then, since = before.get(one.server), now.get(one.server)
        finding = _because(site, one, failure) if failure else one
        found.append(_reclaimed(finding, then, since) if then and since else finding)
    return tuple(found)


def _reclaimed(finding: Finding, before: ImagesFacts, after: ImagesFacts) -> Finding:
    left = {one.id for one in after.images}
    gone = [one for one in before.images if one.id not in left]
    if not gone:
        return finding
    count, given_back = len(gone), reclaimed_bytes(before, after)
    text = ngettext(
        "{count} image removed, {size} given back", "{count} images removed, {size} given back", count
    ).format(count=count, size=_size(given_back))
    evidence = {
        **finding.evidence,
        "reclaimed_bytes": given_back,
        "removed": [name for one in gone for name in one.names],
    }
    return replace(finding, title=f"{text}. {finding.title}", evidence=evidence)


def reclaimed_bytes(before: ImagesFacts, after: ImagesFacts) -> int:
    """Return what the engine has less of, by its own count of all layers, which has four digits.

    Where that shows nothing, as for a small image beside many large ones, at most the images' own sizes.
    """
    if (
        before.disk_bytes is not None
        and after.disk_bytes is not None
        and before.disk_bytes > after.disk_bytes
    ):
        return before.disk_bytes - after.disk_bytes
    left = {one.id for one in after.images}
    return sum(one.size_bytes for one in before.images if one.id not in left)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _with(report: Report, done: Report, findings: tuple[Finding, ...]) -> Report:
    return replace(report, findings=_replaced(report, findings), actions=done.actions)


def _replaced(report: Report, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    others = [one for one in report.findings if one.code != CODE]
    return worst_first([*others, *findings])
