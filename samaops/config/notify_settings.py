"""What can be configured of a webhook of one's own; the other ways to tell somebody are in ``settings``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from samaops.config.fields import Seconds, Section, UserPath
from samaops.config.secrets import Secret

# How long nobody is reminded, in hours: at most a year.
ReminderHours = Annotated[float, Field(gt=0, le=8784, allow_inf_nan=False)]


class Webhook(Section):
    """A URL that gets each notification as its template says (docs/notifications.md); the URL itself is a secret."""

    url: Secret
    # A Jinja2 template of the body, here or in a file; samaops' own JSON without one.
    template: str | None = None
    template_file: UserPath | None = None
    content_type: str = "application/json"
    # Further headers, each a secret: Authorization, X-Api-Key.
    headers: dict[str, Secret] = {}
    # Whether the way there leads through [proxy].
    through_proxy: bool = False
    ca_file: UserPath | None = None
    timeout: Seconds = 5.0
