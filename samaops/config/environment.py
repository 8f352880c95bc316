"""Any key of the configuration can be set by an environment variable: ``SAMAOPS_POSTGRESQL__PORT=5433``.

Own code and not pydantic-settings: importing that costs about 60 ms more than pydantic itself, which every
start would pay, and it silently ignores a misspelt variable, where we name the one that was meant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from samaops.config import keys, toml
from samaops.config.keys import Key
from samaops.errors import ConfigurationError
from samaops.i18n import _

PREFIX = "SAMAOPS_"
SEPARATOR = "__"


def overrides(environment: Mapping[str, str], document: Mapping[str, Any]) -> dict[Key, tuple[str, object]]:
    """Return the keys that the environment sets, each with its variable's name and its value.

    The document is needed for the names in it: ``SAMAOPS_SERVERS__DB__ADDRESS`` is ``[servers.db]``.
    Raises ConfigurationError for a variable that names no key.
    """
    overridden = {}
    for variable in sorted(environment):
        parts = variable.removeprefix(PREFIX).split(SEPARATOR)
        if variable.startswith(PREFIX) and (len(parts) > 1 or parts[0].lower() == "site"):
            key = _key_of(variable, parts, document)
            overridden[key] = (variable, _value(environment[variable], keys.annotation_at(key)))
    return overridden


def apply(document: Mapping[str, Any], overridden: Mapping[Key, tuple[str, object]]) -> dict[str, Any]:
    """Return the document with the overrides in it."""
    changed: Any = _copy(document)
    for key, (variable, value) in overridden.items():
        _put(changed, key, value, variable)
    assert isinstance(changed, dict)
    return changed


def _key_of(variable: str, parts: list[str], document: Mapping[str, Any]) -> Key:
    key: Key = ()
    node: Any = document
    for place, part in enumerate(parts):
        names = _names(key, node)
        exact = {_normal(name): name for name in names}.get(_normal(part))
        fallback = _free_name(key, part)
        chosen: str | int | None = exact if exact is not None else fallback
        if chosen is None:
            raise ConfigurationError(_unknown(variable, parts, place, names))
        key = (*key, chosen)
        node = _child(node, chosen)
    if keys.annotation_at(key) is None:
        raise ConfigurationError(_unknown(variable, parts, len(parts) - 1, ()))
    return key


def _names(key: Key, node: Any) -> tuple[str, ...]:
    """Return the names that may follow a key: its section's fields, or what stands in the file's table."""
    written = tuple(str(name) for name in node) if isinstance(node, Mapping) else ()
    return keys.names_at(key) or written


def _free_name(key: Key, part: str) -> str | int | None:
    """Return a new name under a table of free names, or a place in a list."""
    annotation = keys.annotation_at(key)
    if keys.item_of(annotation, tuple) is not None and part.isdecimal() and len(part) < 4:
        return int(part)
    return part.lower() if part and keys.item_of(annotation, dict) is not None else None


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, Mapping) and isinstance(part, str):
        return node.get(part)
    if isinstance(node, (list, tuple)) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _unknown(variable: str, parts: list[str], place: int, names: tuple[str, ...]) -> str:
    nearest = keys.nearest(parts[place], [_normal(name) for name in names])
    if nearest is None:
        return _("The environment variable {variable} names no key of the configuration").format(
            variable=variable
        )
    path = SEPARATOR.join([*parts[:place], nearest.upper(), *parts[place + 1 :]])
    return _(
        "The environment variable {variable} names no key of the configuration; did you mean {meant}?"
    ).format(variable=variable, meant=PREFIX + path)


def _value(text: str, annotation: Any) -> object:
    """Read lists, tables and secret references as JSON or TOML; anything else stays text for pydantic."""
    is_container = any(keys.item_of(annotation, kind) is not None for kind in (dict, tuple))
    if keys.is_secret(annotation) and not text.lstrip().startswith("{"):
        return text
    if not is_container and keys.model_in(annotation) is None:
        return text
    for read in (json.loads, lambda value: toml.loads(f"value = {value}")["value"]):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return text


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(child) for name, child in value.items()}
    return [_copy(child) for child in value] if isinstance(value, list) else value


def _put(document: Any, key: Key, value: object, variable: str) -> None:
    node = document
    for depth, part in enumerate(key[:-1], start=1):
        new: object = [] if isinstance(key[depth], int) else {}
        node = _enter(node, part, new, variable)
        if keys.is_secret(keys.annotation_at(key[:depth])):  # another reference replaces the whole secret
            _clear(node)
    _enter(node, key[-1], value, variable, replace=True)


def _clear(table: Any) -> None:
    if isinstance(table, dict):
        table.clear()


def _enter(node: Any, part: str | int, new: object, variable: str, *, replace: bool = False) -> Any:
    """Return what stands at one part of a key, putting ``new`` there when there is nothing or to replace it."""
    if isinstance(node, dict):
        if replace or not isinstance(node.get(part), (dict, list)):
            node[part] = new
        return node[part]
    if not isinstance(node, list) or not isinstance(part, int) or part > len(node):
        raise ConfigurationError(
            _("The environment variable {variable} does not fit the configuration file").format(
                variable=variable
            )
        )
    if part == len(node):
        node.append(new)
    elif replace or not isinstance(node[part], (dict, list)):
        node[part] = new
    return node[part]
