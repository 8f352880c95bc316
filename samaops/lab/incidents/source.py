"""Runbook notifications, before the first hop: what publishes them has stopped, and nobody noticed."""

from __future__ import annotations

from pathlib import Path

import psycopg

from samaops.i18n import N_, _
from samaops.lab.incidents import broker, sessions
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.layout import API_PORTS
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

MESSAGE = "Essai du laboratoire: votre facture est disponible"
QUEUE = "normal"
DUE = 40
# The lab's limit, and some time for it to be past: ten minutes and more on a real site.
LATE_SECONDS = 9.0
PUBLISHED_SECONDS = 20.0


def _switches(site: Site) -> list[Path]:
    server = site.server("api")
    return [server.outer(server.opt / "switches" / f"source-stopped-{name}") for name in API_PORTS]


def _stop_source(site: Site) -> None:
    for path in _switches(site):
        path.touch()
    with sessions.administrator(site) as session:
        session.execute(sessions.sql("insert_due"), {"message": MESSAGE, "count": DUE})
    if not wait_until(lambda: _due(site)[1] >= LATE_SECONDS, LATE_SECONDS * 2):
        raise StartError(_("what is due is published all the same"))


def _due(site: Site) -> tuple[int, float]:
    """Return how many of the incident's notifications nobody has published, and since when in seconds."""
    with sessions.administrator(site) as session:
        row = session.execute(sessions.sql("count_due"), {"message": MESSAGE}).fetchone()
    return (int(row[0]), float(row[1])) if row else (0, 0.0)


def _source_is_stopped(site: Site) -> str | None:
    try:
        count, seconds = _due(site)
    except psycopg.Error:
        return None
    if not count or seconds < LATE_SECONDS:
        return None
    return _("{count} notifications are due for {seconds:.0f} s and nobody publishes them").format(
        count=count, seconds=seconds
    )


def _start_source(site: Site) -> None:
    """Let what is due be published; the incident's own rows go when it is, or when nothing else can work."""
    for path in _switches(site):
        path.unlink(missing_ok=True)
    is_published = wait_until(lambda: _due(site)[0] == 0, PUBLISHED_SECONDS)
    if site.is_alone and not is_published:
        raise StartError(_("what is due is not published yet"))
    with sessions.administrator(site) as session:
        session.execute(sessions.sql("delete_due"), {"message": MESSAGE})
    if site.is_alone and not wait_until(lambda: broker.is_empty(site, (QUEUE,)), PUBLISHED_SECONDS):
        raise StartError(_("messages are left in the queue {queue}").format(queue=QUEUE))


INCIDENTS = (
    Incident(
        id="nothing-published",
        runbook="notifications",
        title=N_("Nothing is published any more"),
        does=N_(
            "The API's task that publishes what is due does nothing any more; forty bills are due in the table."
        ),
        notice=N_("No bill is announced; every service is well, every queue is empty, no task fails."),
        root=Root("nothing-published", "postgresql/db"),
        break_=_stop_source,
        is_live=_source_is_stopped,
        heal=_start_source,
    ),
)
