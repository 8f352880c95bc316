"""Mail a report to those that [notify.mail] names."""

from __future__ import annotations

from samaops.clients import smtp
from samaops.clients.errors import ClientError
from samaops.errors import SamaopsError
from samaops.i18n import _
from samaops.site.site import Site


def mail(site: Site, subject: str, bodies: tuple[str, str], page: tuple[str, bytes]) -> tuple[str, ...]:
    """Mail a page (its file name and content), told as text and as HTML; return a sentence where that failed."""
    settings = site.settings.notify.mail
    if settings is None:
        return ()
    plain, html = bodies
    try:
        smtp.send_page(settings, subject, plain, html, page)
    except (ClientError, SamaopsError) as error:  # a secret that is not there, too
        text = _("The notification by {channel} failed: {reason}")
        return (text.format(channel="mail", reason=error.message),)
    return ()
