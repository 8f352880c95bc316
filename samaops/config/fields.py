"""What all sections are made of: the section itself, and the kinds of values that many share, each with its own clear refusal."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from samaops.i18n import _

Port = Annotated[int, Field(ge=1, le=65535)]
# An hour is more than any single look may take; it also keeps infinity out of socket timeouts.
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
# What may go on for a night, such as a dump.
LongSeconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Limit = Annotated[float, Field(allow_inf_nan=False)]

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def _user_path(value: object, info: ValidationInfo) -> object:
    """Expand ``~``; a relative path is relative to the configuration file's directory."""
    if not isinstance(value, (str, Path)):
        return value
    if "\0" in str(value):
        raise ValueError(_("a path cannot hold a NUL character"))
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(_("the home directory of {path} is not known").format(path=value)) from error
    directory = (info.context or {}).get("directory")
    return Path(directory) / path if directory else path


def require_host(value: str) -> str:
    """Accept an IP address or a host name; refuse a half-filled one such as ``10.101.X.X1``."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        labels = value.removesuffix(".").split(".")
        looks_like_ip = labels[-1].isdigit() or (len(labels) == 4 and labels[0].isdigit())
        if looks_like_ip or len(value) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(_("{value!r} is not an IP address or a host name").format(value=value)) from None
    return value


def require_url(value: str) -> str:
    """Accept ``http://host[:port]/…`` without a user or password in it."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(_("not a URL such as http://10.101.0.1:8080")) from None
    if "@" in parts.netloc:  # never repeat the value: it holds a password
        raise ValueError(_("a URL must not hold a user or password; use the section's own keys for them"))
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(_("not a URL such as http://10.101.0.1:8080"))
    require_host(host)
    return value


def _canary_task(value: str) -> str:
    """Accept a task that is named for what it is: none that sends to customers is taken by mistake."""
    if "canary" not in value.lower():
        raise ValueError(_('the name of this task must hold the word "canary"'))
    return value


UserPath = Annotated[Path, BeforeValidator(_user_path)]
Host = Annotated[str, AfterValidator(require_host)]
Url = Annotated[str, AfterValidator(require_url)]
CanaryTask = Annotated[str, AfterValidator(_canary_task)]


class Section(BaseModel):
    """A section of the file: unknown keys are refused, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
