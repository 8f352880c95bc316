"""Look at whole sites, each by a samaops of its own: in a process here, or on the control machine of a satellite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct

from samaops.clients import another_samaops
from samaops.clients.errors import ClientError
from samaops.collect.engine import Collector, Look
from samaops.config.settings import Settings, Ssh
from samaops.facts.selection import Selection
from samaops.facts.sites import SiteFacts
from samaops.i18n import _, language
from samaops.model.failure import FailureKind
from samaops.model.quantities import duration
from samaops.model.report import Report

# What a samaops needs besides the time that it looks: to begin, where many begin at once, and to write its report.
BESIDES_SECONDS = 20.0
SUBJECT = "sites"


class Asked(Struct, frozen=True):
    """What is to be looked at in each site. ``save`` is a directory for the looks of the sites that are looked at here."""

    selection: Selection
    deadline_seconds: float
    save: Path | None = None


def collectors(sites: dict[str, Settings], asked: Asked) -> Iterator[Collector]:
    """Yield what looks at each site; none of them waits for another, nor fails with it."""
    for name, settings in sites.items():
        yield Collector(
            system="sites",
            subject=f"{SUBJECT}/{name}",
            facts_type=SiteFacts,
            collect=_look_at(name, settings, asked),
            timeout=seconds_for(settings, asked) + 1.0,
        )


def _look_at(name: str, settings: Settings, asked: Asked) -> Look:
    return lambda _probe: look(name, settings, asked)


def seconds_for(settings: Settings, asked: Asked) -> float:
    """Return how long one site is waited for, in all."""
    satellite = settings.satellite
    if satellite is None:
        return asked.deadline_seconds + BESIDES_SECONDS
    server = settings.servers.get(satellite.server)
    log_in = server.ssh.timeout if server and isinstance(server.ssh, Ssh) else 0.0
    return log_in + asked.deadline_seconds + satellite.timeout


def look(name: str, settings: Settings, asked: Asked) -> SiteFacts:
    """Return what a site's samaops found. Raises ClientError where there is no report of now."""
    satellite = settings.satellite
    if satellite is None:
        saved = ("--save", str((asked.save / f"{name}.json").absolute())) if asked.save else ()
        words = ("--site", name, *words_of(asked), *saved)
        report = another_samaops.here(words, asked.deadline_seconds + BESIDES_SECONDS)
        return SiteFacts(name, "", _believed(report))
    seconds = asked.deadline_seconds + satellite.timeout
    report = another_samaops.at(satellite, settings, words_of(asked), seconds)
    _require_fresh(report, satellite.most_apart)
    return SiteFacts(name, settings.address_of(satellite.server), _believed(report))


def words_of(asked: Asked) -> Sequence[str]:
    """Return the words of the look, as each samaops is called with them."""
    selection = asked.selection
    words = ["--lang", language(), "diagnose", "-o", "json", "--deadline", f"{asked.deadline_seconds:g}"]
    words += ["--only", ",".join(selection.only)] if selection.only else []
    words += ["--skip", ",".join(selection.skip)] if selection.skip else []
    words += ["--deep"] if selection.deep else []
    return words + (["--probe"] if selection.probe else [])


def _believed(report: Report) -> Report:
    """Return a report that says something of the site. Raises ClientError: it could not be looked at from there."""
    if not report.errors:
        return report
    error = report.errors[0]
    reason = f"{error.message} ({error.hint})" if error.hint else error.message
    raise ClientError(FailureKind.DEPENDENCY, " ".join(reason.split()), another_samaops.STAGE)


def _require_fresh(report: Report, most_seconds: float) -> None:
    apart = (datetime.now(timezone.utc) - report.started_at).total_seconds()
    if abs(apart) <= most_seconds:
        return
    text = (
        _("its look is {time} old: an old answer, or its clock is wrong")
        if apart > 0
        else _("its look is of {time} from now: one of the two clocks is wrong")
    )
    raise ClientError(FailureKind.ERROR, text.format(time=duration(abs(apart))), another_samaops.STAGE)
