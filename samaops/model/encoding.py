"""Structs as plain JSON values, and back. What does not fit is refused with the place of the wrong value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from samaops.i18n import _

ValueT = TypeVar("ValueT")


class MisfitError(ValueError):
    """A value is not of the kind that was saved."""


def encode(value: Any) -> Any:
    """Return structs, and what they hold, as plain JSON values."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):  # one that msgspec does not know, such as a read-only view
        return dict(value)
    raise NotImplementedError(type(value).__name__)


def decode(value: Any, kind: type[ValueT]) -> ValueT:
    """Return plain JSON values as the type they were encoded from; a field that was not there yet has its default.

    Raises MisfitError, which names the place, when they do not fit.
    """
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        place = re.search(r"`\$?\.?(?P<place>[^`]*)`$", str(error))
        raise MisfitError(
            _("{place}: not of the right kind").format(place=place["place"] if place else "?")
        ) from error


def keyed(value: Any) -> dict[str, Any]:
    """Return a value that must be a JSON object. Raises MisfitError."""
    if not isinstance(value, dict):
        raise MisfitError(_("{value!r} is not of the right kind").format(value=str(value)[:80]))
    return value
