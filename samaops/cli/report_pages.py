"""`samaops report monthly|incident`: what is read by others than who asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import quote

import typer

from samaops.cli import moments
from samaops.config import files, places
from samaops.errors import SamaopsError, UsageError, reason_of
from samaops.i18n import N_, _
from samaops.render import escape
from samaops.render.pages import html, text
from samaops.site.site import Site
from samaops.workflows.reports import incident as incident_report
from samaops.workflows.reports import monthly as monthly_report
from samaops.workflows.reports import sending

MONTHLY_HELP = N_(
    "The page of a month: objectives, incidents, changes, maintenance, backups, growth, what is next."
)
INCIDENT_HELP = N_(
    "The timeline of a night, for its post-mortem: states, findings, log-ins, releases, jobs, changes, by whom."
)


def monthly(
    ctx: typer.Context,
    month: Annotated[
        str,
        typer.Option("--month", metavar="YYYY-MM", help=N_("Which month; the last whole one when absent.")),
    ] = "",
) -> None:
    """Tell a month."""
    ctx.obj.show_page(lambda site: monthly_report.report(site, month))


def deliver(site: Site) -> tuple[str, ...]:
    """Write the page of the last whole month beside the history, and mail it; return what of that failed."""
    try:
        page = monthly_report.report(site)
        written = html.render(page).encode("utf-8", "backslashreplace")
        name = f"{quote(site.name, safe='')}-{page.figures['month']}.html"
        failures = _kept(name, written)
        if site.settings.notify.mail is not None:
            mailed = (text.mail(page), html.mail(page))
            failures += sending.mail(
                site, escape.plain(f"[{site.name}] {page.title}: {page.answer}", 180), mailed, (name, written)
            )
    except SamaopsError as error:
        return (_("The report was not written: {reason}").format(reason=error.message),)
    return failures


def _kept(name: str, written: bytes) -> tuple[str, ...]:
    path = places.state() / "reports" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write_private(path, written)
    except OSError as error:
        return (_("{path} cannot be written: {reason}").format(path=path, reason=reason_of(error)),)
    return ()


def incident(
    ctx: typer.Context,
    since: Annotated[
        str,
        typer.Option("--since", metavar="WHEN", help=N_("From then on: 03:00, '2026-01-31 03:00', 2h.")),
    ],
    until: Annotated[
        str, typer.Option("--until", metavar="WHEN", help=N_("Up to then; until now when absent."))
    ] = "",
) -> None:
    """Tell what happened in a short time."""
    begins, ends = _bounds(since, until)
    ctx.obj.show_table(
        lambda site: incident_report.timeline(site, begins, ends), _("What happened, in its order")
    )


def _bounds(since: str, until: str) -> tuple[datetime, datetime]:
    """Return the two moments; times of day without a date are the last ones, the second behind the first."""
    now = datetime.now().astimezone()
    begins = moments.interval(since, "--since")[0]
    ends = moments.interval(until, "--until")[1] if until else now
    if ends <= begins and moments.is_time_of_day(until):
        ends += timedelta(days=1)
    if ends <= begins:
        raise UsageError(_("--until is not behind --since"), hint="--since 03:00 --until 04:00")
    return begins, min(ends, now)
