"""The reports of several sites as one: ``site/subject``, and what several share named once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops.causes.shared_address import identity
from samaops.facts.sites import is_loopback
from samaops.i18n import _, ngettext
from samaops.model.cause import Cause, Fix, Verdict
from samaops.model.difference import clock
from samaops.model.finding import Finding
from samaops.model.report import Footprint, Report, worst_first
from samaops.model.status import SEVERITY, Status, worst

# How a command that a site proposes is typed here.
Typed = Callable[[str], str]
_MOST_NAMED = 8


class SiteReport(Struct, frozen=True):
    """What was found at one site, how its commands are typed here, and since when each cause has been seen there.

    ``is_far``: it was looked at from another machine, where a loopback address is another thing.
    """

    name: str
    report: Report
    typed: Typed
    since: Mapping[str, datetime]
    is_far: bool = False

    def identity_of(self, cause: Cause) -> tuple[str, str, str] | None:
        """Return what is the same for all sites that share a cause; None for what they cannot share."""
        return None if self.is_far and is_loopback(cause.address) else identity(cause)

    def since_of(self, cause: Cause) -> datetime | None:
        """Return when a cause was first seen here, of those that are still seen."""
        return self.since.get(key_of(cause))


def key_of(cause: Cause) -> str:
    """Return the name of a cause within its site."""
    return f"{cause.id}@{cause.subject}"


def merged(sites: tuple[SiteReport, ...], lost: tuple[Finding, ...], seen: Report) -> Report:
    """Return one report of all sites.

    ``lost`` says of each site, also of those without a report, whether it could be looked at. ``seen`` has the moment and
    the time of the whole look; nothing of it else is taken.
    """
    findings = [*lost, *(finding for site in sites for finding in _findings(site))]
    statuses = {finding.key: finding.status for finding in findings}
    causes = sorted(_causes(sites, len(lost), seen.started_at), key=lambda cause: _severity(cause, statuses))
    report = Report(
        command="diagnose",
        started_at=seen.started_at,
        duration_ms=seen.duration_ms,
        deadline_hit=any(site.report.deadline_hit for site in sites),
        findings=worst_first(findings),
        causes=tuple(causes),
        footprint=_footprint(sites),
        deep=any(site.report.deep for site in sites),
        timings_ms={site.name: site.report.duration_ms for site in sites},
    )
    return replace(report, answer=_all_well(report, len(sites))) if report.is_well else report


def _all_well(report: Report, count: int) -> str:
    sites = ngettext("{count} site", "{count} sites", count).format(count=count)
    text = _("All is well on {sites}: {count} checks")
    return text.format(sites=sites, count=report.counts()[Status.OK])


def _footprint(sites: tuple[SiteReport, ...]) -> Footprint:
    costs = [asdict(site.report.footprint) for site in sites]
    return Footprint(**{name: sum(cost[name] for cost in costs) for name in Footprint.__struct_fields__})


def _findings(site: SiteReport) -> Iterator[Finding]:
    keys = {finding.key: f"{finding.code}@{site.name}/{finding.subject}" for finding in site.report.findings}
    for finding in site.report.findings:
        is_skipped = finding.status is Status.SKIPPED  # its reason names the finding that stands in its way
        yield replace(
            finding,
            site=site.name,
            subject=f"{site.name}/{finding.subject}",
            title=_of(site.name, finding.title),
            detail=" ".join(keys.get(word, word) for word in finding.detail.split(" "))
            if is_skipped
            else finding.detail,
            hint=site.typed(finding.hint) if finding.hint else finding.hint,
        )


def _of(site: str, sentence: str) -> str:
    return _("{site}: {what}").format(site=site, what=sentence)


def _severity(cause: Cause, statuses: Mapping[str, Status]) -> tuple[int, int]:
    explained = [statuses[key] for key in cause.explains if key in statuses]
    return SEVERITY.index(worst(explained)), -len(cause.sites)


_Had = tuple[SiteReport, Cause]


def _causes(sites: tuple[SiteReport, ...], count: int, now: datetime) -> Iterator[Cause]:
    """Yield the causes, each one that several sites share once."""
    groups: dict[object, list[_Had]] = {}
    for site in sites:
        for place, cause in enumerate(site.report.causes):
            shared = site.identity_of(cause)
            its_own = (site.name, place)
            group = groups.setdefault(shared or its_own, [])
            if any(other.name == site.name for other, _cause in group):  # one site has it twice: two things
                groups[its_own] = [(site, cause)]
            else:
                group.append((site, cause))
    for had in groups.values():
        yield _shared(had, sites, count, now) if len(had) > 1 else _own(*had[0])


def _explains(site: SiteReport, cause: Cause) -> tuple[str, ...]:
    """Return the keys of what a cause explains, as they are in the merged report."""
    parts = (key.partition("@") for key in cause.explains)
    return tuple(f"{code}@{site.name}/{subject}" for code, _at, subject in parts)


def _fixes(site: SiteReport, cause: Cause) -> tuple[Fix, ...]:
    return tuple(
        replace(fix, commands=tuple(map(site.typed, fix.commands)), undo=tuple(map(site.typed, fix.undo)))
        for fix in cause.fixes
    )


def _own(site: SiteReport, cause: Cause) -> Cause:
    return replace(
        cause,
        subject=f"{site.name}/{cause.subject}",
        title=_of(site.name, cause.title),
        explains=_explains(site, cause),
        fixes=_fixes(site, cause),
        sites=(site.name,),
        since=site.since_of(cause),
    )


def _shared(had: list[_Had], sites: tuple[SiteReport, ...], count: int, now: datetime) -> Cause:
    """Return one root for all that have it: where the sites differ in what they say of it, each says its own."""
    site, first = had[0]
    names = tuple(site.name for site, _cause in had)
    since = min((moment for site, cause in had if (moment := site.since_of(cause))), default=None)
    decisive = [_explains(site, cause) for site, cause in had]
    witnesses = tuple(_reached(first, sites, names))
    verdicts = {cause.verdict for _site, cause in had}
    verdict = next(verdict for verdict in Verdict if verdict in verdicts)
    return replace(
        first,
        subject=first.subject if len({cause.subject for _site, cause in had}) == 1 else _place_of(first),
        title=_on_sites(first.title, names, count, since, now),
        # As long as another site passes through the same thing, it may as well be the way there.
        verdict=Verdict.PROBABLE if witnesses and verdict is Verdict.CONFIRMED else verdict,
        speaks_for=tuple(_sentences(had, lambda cause: cause.speaks_for)),
        speaks_against=(*_sentences(had, lambda cause: cause.speaks_against), *witnesses),
        explains=(*(keys[0] for keys in decisive if keys), *(key for keys in decisive for key in keys[1:])),
        fixes=_fixes(site, first),
        sites=names,
        since=since,
    )


def _place_of(cause: Cause) -> str:
    return f"{cause.subject.partition('/')[0]}/{cause.address}"


def _on_sites(title: str, names: tuple[str, ...], count: int, since: datetime | None, now: datetime) -> str:
    shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    text = _("{what} (on {some} of {all} sites: {names})")
    if since is None or clock(since, now) == clock(now, now):
        return text.format(what=title, some=len(names), all=count, names=shown)
    text = _("{what} (on {some} of {all} sites: {names}; seen since {time})")
    return text.format(what=title, some=len(names), all=count, names=shown, time=clock(since, now))


def _sentences(had: list[_Had], of: Callable[[Cause], Iterable[str]]) -> Iterator[str]:
    """Yield each sentence once: as it is where all sites say it, else with the site that does."""
    sentences = [(site.name, sentence) for site, cause in had for sentence in of(cause)]
    by_all = {
        sentence
        for _name, sentence in sentences
        if sum(sentence == other for _other_name, other in sentences) >= len(had)
    }
    yield from dict.fromkeys(
        sentence if sentence in by_all else _of(name, sentence) for name, sentence in sentences
    )


def _reached(cause: Cause, sites: tuple[SiteReport, ...], names: tuple[str, ...]) -> Iterator[str]:
    """Yield what other sites say for the same thing: the same check of the same address is well there."""
    if not cause.explains or cause.address not in cause.subject:
        return
    for site in sites:
        if site.name not in names and site.identity_of(cause) is not None:
            for finding in site.report.findings:
                if finding.key == cause.explains[0] and finding.status is Status.OK:
                    yield _of(site.name, finding.title)
