"""The notifications that are on their way while the application is changed: in the queues, in workers, due in the database."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.i18n import _, joined, ngettext
from samaops.site.site import Site


def codes(site: Site) -> tuple[str, ...]:
    """Return what must be looked at to count them."""
    queues = ("rabbitmq.queue.backlog",) if site.settings.rabbitmq is not None else ()
    due = ("postgresql.notifications.late",) if site.settings.postgresql is not None else ()
    return (*queues, *due)


def sentences(snapshot: Snapshot, site: Site) -> Iterator[str]:
    """Yield how many there are, and what becomes of them; also that they could not be counted."""
    if site.settings.rabbitmq is not None:
        yield _queued(snapshot, site)
    due = next((facts.notifications for _seen, facts in snapshot.facts_of(PostgresFacts)), None)
    if due is not None and due.due:
        text = ngettext(
            "{count} notification is due and not published yet",
            "{count} notifications are due and not published yet",
            due.due,
        )
        yield text.format(count=due.due)


def _queued(snapshot: Snapshot, site: Site) -> str:
    broker = next((facts for _seen, facts in snapshot.facts_of(RabbitMQFacts)), None)
    seen = {queue.name: queue for queue in broker.queues or ()} if broker else {}
    found = [seen[name] for name in site.queues() if name in seen]
    if broker is None or broker.queues is None or any(queue.messages is None for queue in found):
        return _("How many notifications are in flight could not be counted")
    waiting = sum(queue.ready or 0 for queue in found)
    held = sum(queue.unacknowledged or 0 for queue in found)
    if not waiting + held:
        return _("No notification is in flight: the queues are empty, and no worker has one in hand")
    names = joined(f"{queue.name}: {queue.messages}" for queue in found if queue.messages)
    text = ngettext(
        "{count} notification is in flight ({names}), {held} of them in hand: other code than that which sent them works on them",
        "{count} notifications are in flight ({names}), {held} of them in hand: other code than that which sent them works on them",
        waiting + held,
    )
    return text.format(count=waiting + held, names=names, held=held)
