"""Cause incidents and end them: each is proved by observation, and remembered until it is healed."""

from __future__ import annotations

import difflib
import time
from typing import Literal

from msgspec import Struct

from samaops.errors import RefusedError, SamaopsError, UsageError
from samaops.i18n import _
from samaops.lab import lab
from samaops.lab.incidents import (
    api,
    celery,
    celery_tasks,
    disks,
    docker,
    firebase,
    members,
    minio,
    pgbouncer,
    postgresql,
    proxy,
    publishing,
    rabbitmq,
    redis,
    releases,
    servers,
    slow_database,
)
from samaops.lab.incidents.incident import Incident
from samaops.lab.incidents.site import FAULTS, Memory, Site
from samaops.lab.layout import Layout
from samaops.lab.processes import POLL_SECONDS, StartError
from samaops.lab.starting import wait_until

INCIDENTS: tuple[Incident, ...] = (
    *api.INCIDENTS,
    *members.INCIDENTS,
    *pgbouncer.INCIDENTS,
    *docker.INCIDENTS,
    *servers.INCIDENTS,
    *disks.INCIDENTS,
    *celery.INCIDENTS,
    *celery_tasks.INCIDENTS,
    *rabbitmq.INCIDENTS,
    *publishing.INCIDENTS,
    *proxy.INCIDENTS,
    *firebase.INCIDENTS,
    *postgresql.INCIDENTS,
    *slow_database.INCIDENTS,
    *redis.INCIDENTS,
    *releases.INCIDENTS,
    *minio.INCIDENTS,
)
LIVE_SECONDS = 40.0
GONE_SECONDS = 20.0

State = Literal["live", "already live", "healed", "nothing to heal"]


class IncidentError(SamaopsError):
    """An incident could not be caused, or could not be ended."""

    exit_code = 2


class Outcome(Struct, frozen=True):
    """What came of breaking or healing one incident; ``evidence`` is what was seen of the fault."""

    incident: Incident
    state: State
    seconds: float
    evidence: str = ""


class Entry(Struct, frozen=True):
    """One line of the catalogue, in the user's language. ``state`` is "live", "gone" or ""."""

    id: str
    runbook: str
    title: str
    does: str
    notice: str
    state: str = ""
    evidence: str = ""


def find(name: str) -> Incident:
    """Return an incident by its id. Raises UsageError that names the nearest."""
    incidents = {incident.id: incident for incident in INCIDENTS}
    if name in incidents:
        return incidents[name]
    near = difflib.get_close_matches(name, incidents, n=1, cutoff=0.4)
    hint = _("Did you mean {name}?").format(name=near[0]) if near else ""
    raise UsageError(
        _("Unknown incident {name}").format(name=name),
        hint or _("List them with: samaops lab incidents"),
    )


def catalogue(layout: Layout) -> list[Entry]:
    """Return every incident, and of those that were caused whether they are still live."""
    broken = Memory.of(layout).broken()
    site = Site.open(layout) if broken else None
    return [_entry(incident, site if incident.id in broken else None) for incident in INCIDENTS]


def _entry(incident: Incident, site: Site | None) -> Entry:
    evidence = incident.evidence(site) if site else None
    return Entry(
        id=incident.id,
        runbook=incident.runbook,
        title=_(incident.title),
        does=_(incident.does),
        notice=_(incident.notice),
        state="" if site is None else "live" if evidence else "gone",
        evidence=evidence or "",
    )


def break_(layout: Layout, name: str) -> Outcome:
    """Cause an incident and return when it is seen to be live; nothing to do when it is already.

    Raises RefusedError where this lab cannot have it, IncidentError when it did not become live: then what
    was done has been undone.
    """
    incident = find(name)
    began = time.monotonic()
    site = Site.open(layout, incident.id)
    with lab.locked(site.layout):
        reason = incident.refuse(site)
        if reason:
            raise RefusedError(
                _("{name} is not possible in this lab: {reason}").format(name=name, reason=reason)
            )
        evidence = incident.evidence(site)
        site.memory.begin(incident.id)
        if evidence:
            return Outcome(incident, "already live", time.monotonic() - began, evidence)
        evidence = _cause(site, incident)
    return Outcome(incident, "live", time.monotonic() - began, evidence)


def _cause(site: Site, incident: Incident) -> str:
    try:
        incident.fault.break_(site)
        deadline = time.monotonic() + LIVE_SECONDS
        while time.monotonic() < deadline:
            evidence = incident.evidence(site)
            if evidence:
                return evidence
            time.sleep(POLL_SECONDS)
        reason = _("it cannot be seen after {seconds:.0f} s").format(seconds=LIVE_SECONDS)
    except FAULTS as error:
        reason = str(error)
    _undo(site, incident, reason)
    raise IncidentError(
        _("{name} could not be caused and was undone: {reason}").format(name=incident.id, reason=reason)
    )


def _undo(site: Site, incident: Incident, reason: str) -> None:
    try:
        _end(site, incident)
    except FAULTS as error:
        text = _("{name} could not be caused ({reason}) nor undone: {why}")
        raise IncidentError(
            text.format(name=incident.id, reason=reason, why=error), hint=_repair(incident)
        ) from error


def _repair(incident: Incident) -> str:
    return _("Try again: samaops lab heal {name}; or start anew: samaops lab down, samaops lab up").format(
        name=incident.id
    )


def heal(layout: Layout, name: str | None = None) -> list[Outcome]:
    """End an incident, or all that were caused, and return when each is seen to be gone.

    Raises IncidentError when one cannot be ended; the others are ended all the same.
    """
    wanted = [find(name)] if name else []
    site = Site.open(layout)
    with lab.locked(site.layout):
        if name is None:
            wanted = [find(broken) for broken in reversed(site.memory.broken())]
        return _heal_all(layout, wanted)


def _heal_all(layout: Layout, wanted: list[Incident]) -> list[Outcome]:
    outcomes, failures = [], []
    for incident in wanted:
        try:
            outcomes.append(_heal_one(layout, incident))
        except FAULTS as error:
            failures.append((incident, error))
    if failures:
        first, reason = failures[0]
        text = _("{name} could not be healed: {reason}").format(name=first.id, reason=reason)
        raise IncidentError(text, hint=_repair(first)) from reason
    return outcomes


def _heal_one(layout: Layout, incident: Incident) -> Outcome:
    began = time.monotonic()
    site = Site.open(layout, incident.id)
    known = incident.id in site.memory.broken()
    if not known and incident.evidence(site) is None:
        return Outcome(incident, "nothing to heal", time.monotonic() - began)
    _end(site, incident)
    return Outcome(incident, "healed", time.monotonic() - began)


def _end(site: Site, incident: Incident) -> None:
    """Undo an incident and see that it is gone; only then forget it."""
    incident.fault.heal(site)
    if not wait_until(lambda: incident.evidence(site) is None, GONE_SECONDS):
        raise StartError(_("it is still there: {evidence}").format(evidence=incident.evidence(site) or ""))
    site.memory.forget(incident.id)
