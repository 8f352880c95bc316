"""Can we go back right now, to which release, how, what would be lost, how long. Looks only."""

from __future__ import annotations

from samaops.i18n import _, joined
from samaops.model.quantities import duration
from samaops.model.status import Status
from samaops.model.table import Column, Table
from samaops.site import in_flight
from samaops.site.commands import typed
from samaops.site.releases import Releases, observed
from samaops.site.site import Site
from samaops.site.way_back import Verdict, WayBack, way_back
from samaops.workflows import lists
from samaops.workflows.release.listed import look_at

STATUS = {
    Verdict.CODE_ONLY: Status.OK,
    Verdict.NEEDS_DOWNGRADE: Status.WARNING,
    Verdict.NEEDS_RESTORE: Status.WARNING,
    Verdict.IMPOSSIBLE: Status.CRITICAL,
    Verdict.UNKNOWN: Status.UNKNOWN,
    Verdict.NONE: Status.OK,
}


def check(site: Site, name: str = "") -> tuple[Table, Status]:
    """Return the way back to each recorded release that does not run, or to one that is named. Raises UsageError."""
    snapshot = look_at(site, *in_flight.codes(site))
    releases = observed(snapshot, site)
    targets = _targets(releases, name)
    ways = [way_back(releases, target) for target in targets] or [way_back(releases)]
    first = ways[0]
    rows = [_row(releases, way) for way in ways if way.target]
    columns = (
        Column("release", _("to"), is_copied=True),
        Column("how", _("how")),
        Column("minutes", _("min"), True),
        Column("reason", _("why")),
    )
    notes = [_("what would be lost: {what}").format(what=joined(first.loses))] if first.loses else []
    notes += in_flight.sentences(snapshot, site) if first.target else ()
    notes += [_("then: {command}").format(command=command) for command in _next(site, releases, first)]
    table = lists.table(
        site,
        "rollback",
        columns,
        rows,
        _answer(releases, first),
        notes,
        is_whole=first.verdict is not Verdict.UNKNOWN,
    )
    return table, STATUS[first.verdict]


def _targets(releases: Releases, name: str) -> tuple[str, ...]:
    if not name:
        return tuple(image for image in releases.entries() if image not in releases.running)
    return (releases.named(name),)


def _row(releases: Releases, way: WayBack) -> dict[str, object]:
    return {
        "release": releases.version(way.target) or way.target,
        "image": way.target,
        "verdict": way.verdict.value,
        "how": words_of(way.verdict),
        "minutes": max(1, round(way.seconds / 60)),
        "reason": way.reason,
        "live": list(way.live),
        "between": list(way.between),
        "loses": list(way.loses),
    }


def words_of(verdict: Verdict) -> str:
    """Return a verdict in the language in use."""
    return {
        Verdict.CODE_ONLY: _("code only"),
        Verdict.NEEDS_DOWNGRADE: _("needs downgrade"),
        Verdict.NEEDS_RESTORE: _("needs restore"),
        Verdict.IMPOSSIBLE: _("impossible"),
        Verdict.UNKNOWN: _("not known"),
        Verdict.NONE: _("no earlier release"),
    }[verdict]


def _answer(releases: Releases, way: WayBack) -> str:
    if way.verdict is Verdict.NONE:
        return _("There is nothing to go back to: {reason}").format(reason=way.reason)
    if not way.target:
        return _("Whether there is a way back is not known: {reason}").format(reason=way.reason)
    text = _("Back to {release}: {how}, about {time}")
    time = duration(way.seconds)
    return text.format(release=releases.title(way.target), how=words_of(way.verdict), time=time)


def _next(site: Site, releases: Releases, way: WayBack) -> list[str]:
    if way.verdict is Verdict.CODE_ONLY:
        return [typed(site, "rollback app")]
    if way.verdict in (Verdict.NEEDS_DOWNGRADE, Verdict.NEEDS_RESTORE):
        return [typed(site, "rollback db"), typed(site, "rollback app")]
    if way.verdict is Verdict.NONE and not all(releases.recorded(image) for image in releases.running):
        return [typed(site, "release record")]
    return []
