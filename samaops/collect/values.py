"""Take single values out of what a system answered. What is absent, null or of another kind is None: never 0, false or ""."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from samaops.clients.errors import ClientError
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.typed import ready

TEXT_CHARACTERS = 200
ValueT = TypeVar("ValueT")


def whole(raw: Mapping[str, Any], name: str) -> int | None:
    """Return a number without its fraction."""
    value = decimal(raw, name)
    return None if value is None else int(value)


def decimal(raw: Mapping[str, Any], name: str) -> float | None:
    """Return a number."""
    value = raw.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def flag(raw: Mapping[str, Any], name: str) -> bool | None:
    """Return a JSON boolean."""
    value = raw.get(name)
    return value if isinstance(value, bool) else None


def text(raw: Mapping[str, Any], name: str) -> str | None:
    """Return a text that is not empty, cut to what a finding may show."""
    value = raw.get(name)
    return value[:TEXT_CHARACTERS] if isinstance(value, str) and value else None


def table(raw: object, name: str | None = None) -> dict[str, Any]:
    """Return a JSON object, or the one it holds under a name; where there is none, one that has nothing."""
    value = raw.get(name) if name is not None and isinstance(raw, Mapping) else raw
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[dict[str, Any]] | None:
    """Return the objects of a list; None where it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else None


def lacking(*names: str, stage: str = "") -> ClientError:
    """Return the error that says that an answer lacks what it always has: no outage, we only could not look."""
    return ClientError(
        FailureKind.ERROR, _("the answer has no {names}").format(names=", ".join(names)), stage
    )


def needed(raw: Mapping[str, Any], *names: str, stage: str = "") -> Any:
    """Return what stands under a name, or a name within it. Raises ClientError where it is absent or null."""
    value: Any = raw
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None or value == "":
        raise lacking(".".join(names), stage=stage)
    return value


class Answer(dict[str, Any]):
    """One row of an answer; to ask it for a column that it does not have is a ClientError, and no bug of ours."""

    def __missing__(self, name: str) -> Any:
        raise lacking(name)


def as_read(row: Mapping[str, Any], kind: type[ValueT]) -> ValueT:
    """Return a row as the struct that it is read into. Raises ClientError where it lacks a field, or has another kind."""
    try:
        return msgspec.convert(row, ready(kind))
    except msgspec.ValidationError as error:
        raise ClientError(FailureKind.ERROR, str(error)) from error
