"""Facts as plain JSON values, and back: driven by the types that the structs declare."""

from __future__ import annotations

import types
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from samaops.i18n import _


class MisfitError(ValueError):
    """A value is not of the kind that was saved."""


def _misfit(value: object) -> MisfitError:
    return MisfitError(_("{value!r} is not of the right kind").format(value=str(value)[:80]))


def encode(value: Any) -> Any:
    """Return facts as plain JSON values."""
    if isinstance(value, Struct):
        return {name: encode(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): encode(one) for key, one in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        return [encode(one) for one in value]
    return value


_fields = cache(fields)


def decode(value: Any, kind: Any) -> Any:
    """Return plain JSON values as the type they were encoded from. Raises ValueError when they do not fit."""
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin is Annotated:
        return decode(value, get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return _decode_union(value, get_args(kind))
    if origin is not None:
        return _decode_container(value, origin, get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _decode_fields(value, kind)
    return _decode_plain(value, kind)


def _decode_union(value: Any, members: tuple[Any, ...]) -> Any:
    if value is None:
        return None
    for member in members:
        is_class = isinstance(member, type) and member in (str, int, float, bool)
        if member is types.NoneType or (is_class and type(value) is not member):
            continue
        try:
            return decode(value, member)
        except (ValueError, KeyError, TypeError):
            continue
    if isinstance(value, (dict, list)):
        raise _misfit(value)
    return float(value) if type(value) is int and float in members else value


def _decode_container(value: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        items = list_of(value)
        if len(items) != len(arguments):
            raise _misfit(value)
        return tuple(decode(one, kind) for one, kind in zip(items, arguments, strict=True))
    if issubclass(origin, Mapping):
        key_kind, value_kind = arguments
        return {_decode_key(key, key_kind): decode(one, value_kind) for key, one in table_of(value).items()}
    make = tuple if not issubclass(origin, (list, set, frozenset)) else origin
    return make(decode(one, arguments[0]) for one in list_of(value))


def _decode_key(key: str, kind: Any) -> Any:
    return int(key) if kind is int else decode(key, kind)


def _decode_fields(value: Any, kind: type[Struct]) -> Any:
    table = table_of(value)
    # A file from before a field existed takes the field's default.
    given: list[FieldInfo] = [one for one in _fields(kind) if one.required or one.name in table]
    return kind(**{one.name: decode(table[one.name], one.type) for one in given})


def _decode_plain(value: Any, kind: Any) -> Any:
    if kind is datetime:
        return datetime.fromisoformat(str(value))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind in (tuple, list):
        return kind(list_of(value))
    if kind is dict:
        return table_of(value)
    if isinstance(value, (dict, list)):
        raise _misfit(value)
    # A float that is whole comes back as a float. Another scalar than declared stays what it is: a server
    # said something unforeseen, and the same facts must be judged again.
    return float(value) if kind is float and type(value) is int else value


def table_of(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _misfit(value)
    return value


def list_of(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _misfit(value)
    return value
