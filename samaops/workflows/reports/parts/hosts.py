"""The servers: updates, certificates, who may log in."""

from __future__ import annotations

from typing import Any

from samaops.facts import month as names
from samaops.facts.month import MonthlyReport, SeenFinding
from samaops.i18n import N_, _
from samaops.model.page import Section
from samaops.model.table import Column
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports.parts.events import cut
from samaops.workflows.reports.parts.words import (
    BAD,
    MOST_ROWS,
    OK,
    UNKNOWN,
    WARNING,
    clock,
    iso,
    listed,
    worst,
)

Row = dict[str, Any]
_ACCESS_WORDS = {
    "logins": N_("may log in"),
    "administrators": N_("all rights"),
    "keys": N_("key"),
}
# What maintenance says of the servers and belongs on the page, by the beginning of its codes.
OF_SERVERS = (
    "maintenance.updates", "maintenance.audit", "maintenance.logins", "maintenance.safety", "maintenance.access",
    "certificates.", "tls.",
)  # fmt: skip


def servers(site: Site, of: MonthlyReport) -> Section:
    run = of.servers
    findings = [each for each in (run.findings if run else ()) if each.code.startswith(OF_SERVERS)]
    rows = [_server_row(each) for each in findings] + [_access_row(each) for each in of.access or ()]
    count = len(rows)
    rows = rows[:MOST_ROWS]
    columns = (
        Column("subject", _("subject")),
        Column("text", _("what is told")),
        Column("shown_status", _("status")),
    )
    notes = list(cut(count))
    if run is None:
        answer = _("Not observed: no monthly maintenance ended in this month")
    else:
        bad = sum(each.status != OK for each in findings)
        text = _("As monthly maintenance saw it at {moment}: {count} to look at")
        answer = text.format(moment=clock(site, run.at), count=bad)
    if of.access is None:
        notes.append(_("Users, rights and keys: nothing to compare with; two monthly runs are needed"))
    elif not of.access:
        notes.append(_("Users, rights and keys: the same as at the run before"))
    table = listed(
        "servers",
        columns,
        rows,
        answer,
        notes=tuple(notes),
        commands=(typed(site, "maintain monthly --only updates,access,certificates --dry-run"),),
        figures={"seen_at": iso(run.at) if run else None},
    )
    status = worst(str(row["level"]) for row in rows if row["level"]) if run else UNKNOWN
    return Section("servers", _("Updates, certificates, users"), table, (), status, run is not None)


def _server_row(each: SeenFinding) -> Row:
    return {
        "subject": each.subject,
        "text": each.title or each.code,
        "code": each.code,
        "status": each.status,
        "value": each.value,
        "level": each.status if each.status in (OK, WARNING, BAD, UNKNOWN) else None,
        "shown_status": _(_STATUS_WORDS.get(each.status, each.status)),
    }


_STATUS_WORDS = {
    "ok": N_("ok"), "warning": N_("warning"), "critical": N_("critical"), "unknown": N_("unknown"),
    "skipped": N_("skipped"),
}  # fmt: skip


def _access_row(each: names.AccessChange) -> Row:
    text = _("new: {what}: {name}") if each.is_new else _("gone: {what}: {name}")
    return {
        "subject": each.server,
        "text": text.format(what=_(_ACCESS_WORDS.get(each.what, each.what)), name=each.name),
        "code": "maintenance.access",
        "status": WARNING if each.is_new else OK,
        "value": None,
        "level": WARNING if each.is_new else OK,
        "shown_status": _("new") if each.is_new else _("gone"),
    }
