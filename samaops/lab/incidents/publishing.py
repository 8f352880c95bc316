"""What is due is published by nobody."""

from __future__ import annotations

from samaops.i18n import N_, _
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.mechanisms import switched
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import broker, sessions
from samaops.lab.layout import API_PORTS
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

BILL = {"message": "Essai du laboratoire: votre facture est disponible", "count": 40}
# The lab's limit, and some time for it to be past: ten minutes and more on a real site.
LATE_SECONDS = 9.0
PUBLISHED_SECONDS = 20.0


def _owe_bills(site: Site) -> None:
    sessions.run(site, "insert_due", BILL)
    if not wait_until(lambda: _due(site)[1] >= LATE_SECONDS, LATE_SECONDS * 2):
        raise StartError(_("what is due is published all the same"))


def _due(site: Site) -> tuple[int, float]:
    """Return how many of the incident's notifications nobody has published, and since when in seconds."""
    count, seconds = sessions.run(site, "count_due", BILL)
    return count, seconds


def _nothing_is_published(site: Site) -> str | None:
    count, seconds = _due(site)
    if not count or seconds < LATE_SECONDS:
        return None
    return _("{count} notifications are due for {seconds:.0f} s and nobody publishes them").format(
        count=count, seconds=seconds
    )


def _publish_bills(site: Site) -> None:
    """Let what is due be published; the incident's own rows go when it is, or when nothing else can work."""
    is_published = wait_until(lambda: _due(site)[0] == 0, PUBLISHED_SECONDS)
    if site.is_alone and not is_published:
        raise StartError(_("what is due is not published yet"))
    sessions.run(site, "delete_due", BILL)
    broker.await_drained(site, "normal")


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
        fault=switched(
            "api", {f"source-stopped-{member}": "" for member in API_PORTS}, _nothing_is_published
        ).then(_owe_bills, _publish_bills),
    ),
)
