"""What a look at the lists before the go-live has shown, for the tests of the meeting's page: an item of each kind."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from samaops.checks.registry import rules
from samaops.config import checklists
from samaops.facts.checklist import MEASURED, SEEN, SIGNED, BookFacts, Entry
from samaops.model.finding import Finding
from samaops.model.status import NAGIOS_CODE, Status, worst
from samaops.site.site import Site
from samaops.workflows.checklist import judged, listing
from samaops.workflows.checklist.judged import Seen
from samaops.workflows.checklist.listing import Answer, Looked
from tests.unit.test_checklists import SETTINGS

SITE = Site(SETTINGS.model_copy(update={"site": "dakar"}))
NOW = datetime(2026, 6, 1, 9, tzinfo=timezone.utc)
BAD = {
    "checklist.firewall.open": (Status.CRITICAL, "The firewall of api lets everything in"),
    "checklist.fail2ban.missing": (Status.WARNING, "fail2ban does not run on api"),
    "checklist.dns.unresolved": (Status.UNKNOWN, "The name server does not answer"),
}


def at(hours_ago: float) -> str:
    return (NOW - timedelta(hours=hours_ago)).isoformat(timespec="milliseconds")


def entry(checklist: str, item: str, kind: str, hours_ago: float, **details: Any) -> Entry:
    return Entry(at(hours_ago), checklist, item, kind, **details)


def findings() -> tuple[Finding, ...]:
    """Return that all checks found their part well, but for those above."""
    made = []
    for rule in rules():
        status, title = BAD.get(rule.code, (Status.OK, "well"))
        hint = f"samaops explain {rule.code}" if status is not Status.OK else ""
        made.append(Finding(rule.code, status, f"{rule.code.partition('.')[0]}/x", title, hint=hint))
    return tuple(made)


def book(note: str = "seen on 3 phones", by: str = "awa") -> tuple[Entry, ...]:
    """Return what is kept: some items are signed, the firewall was well the day before."""
    return (
        entry("installation", "api-firewall", SEEN, 50, state="ok", status="ok"),
        entry("installation", "api-firewall", SEEN, 20, state="failed", status="critical"),
        entry("tests", "push", SEEN, 50, state="to_sign", status="warning"),
        entry("tests", "push", SIGNED, 30, by=by, note=note),
        entry("tests", "upload", SIGNED, 29, by="modou", note="a photo of 3 MB"),
        entry("", "load", MEASURED, 28, state="ok", reason="1000 of 1000 requests were answered with 200"),
    )


def looked(
    names: tuple[str, ...] = checklists.DECISIVE,
    kept: tuple[Entry, ...] | None = None,
    seen: tuple[Finding, ...] | None = None,
) -> Looked:
    """Return what a look at these lists has shown."""
    entries = BookFacts(book() if kept is None else kept)
    shown = Seen(SITE, findings() if seen is None else seen, entries, NOW)
    items = tuple(each for name in names for each in judged.judge(checklists.named(name), shown))
    known = {each.checklist for each in entries.entries if each.kind == SEEN}
    first = tuple(name for name in names if name not in known)
    return Looked(items, (), first, NAGIOS_CODE[worst(each.status for each in items)])


def answer(names: tuple[str, ...] = checklists.DECISIVE, **shown: Any) -> Answer:
    """Return the answer of ``samaops checklist report``."""
    return listing.reported(SITE, names, looked(names, **shown))
