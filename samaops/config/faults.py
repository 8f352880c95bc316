"""What is wrong with a configuration, in one sentence per fault: file or variable, key, reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from samaops.config import keys
from samaops.config.keys import Key
from samaops.i18n import N_, _

# By pydantic's error type, up to its first "_".
_REASONS = {
    "missing": N_("this key is required"),
    "int": N_("must be a whole number"),
    "float": N_("must be a number"),
    "finite": N_("must be a finite number"),
    "bool": N_("must be true or false"),
    "string": N_("must be a text in quotes"),
    "tuple": N_('must be a list, such as ["a", "b"]'),
    "list": N_('must be a list, such as ["a", "b"]'),
    "dict": N_("must be a section or a table"),
    "model": N_("must be a section or a table"),
    "path": N_("must be a path in quotes"),
    "literal": N_("must be one of {expected}"),
}
_LIMITS = {
    "greater_than": ("gt", N_("must be more than {limit}")),
    "greater_than_equal": ("ge", N_("must be at least {limit}")),
    "less_than": ("lt", N_("must be less than {limit}")),
    "less_than_equal": ("le", N_("must be at most {limit}")),
}


def sentences(error: ValidationError, place: Callable[[Key], str]) -> Iterator[str]:
    """Yield one sentence per fault. ``place`` says for a key whether the file or a variable set it."""
    for key, reason in reasons(error):
        yield _("{place}: {key}: {reason}").format(place=place(key), key=keys.dotted(key), reason=reason)


def reasons(error: ValidationError) -> Iterator[tuple[Key, str]]:
    """Yield the key and the reason of each fault."""
    details = error.errors(include_url=False, include_input=False)
    for detail in _without_other_members(details):
        key = _key(detail["loc"])
        yield key, _reason(detail, key)


def _without_other_members(details: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Yield the errors of the member of a union that was meant; pydantic lists those of every member.

    An error inside the section beats "must be one of"; "must be one of" beats "must be a section".
    """
    best: dict[Key, int] = {}
    for detail in details:
        key, member = _union_of(detail["loc"])
        if member is not None:
            best[key] = max(best.get(key, 0), _weight(detail, key))
    for detail in details:
        key, member = _union_of(detail["loc"])
        if member is None or _weight(detail, key) == best[key]:
            yield detail


def _weight(detail: ErrorDetails, union: Key) -> int:
    if len(detail["loc"]) > len(union) + 1:
        return 2
    return 1 if detail["type"] == "literal_error" else 0


def _union_of(location: Key) -> tuple[Key, str | None]:
    """Return the key of the union an error was found in, and pydantic's name of the member."""
    for place, part in enumerate(location):
        if _is_member(location[:place], part):
            return location[:place], str(part)
    return location, None


def _is_member(key: Key, part: str | int) -> bool:
    kinds = list(keys.kinds(keys.annotation_at(key))) if key else []
    return len(kinds) > 1 and any(
        str(part) in (getattr(kind, "__name__", ""), _literal_name(kind)) for kind in kinds
    )


def _literal_name(kind: Any) -> str:
    arguments = getattr(kind, "__args__", ())
    return "literal[{}]".format(",".join(repr(argument) for argument in arguments))


def _key(location: Key) -> Key:
    """Return the key as written in the file: without pydantic's names of union members."""
    key: Key = ()
    for part in location:
        if part == "[key]" or (key and _is_member(key, part)):
            continue
        key = (*key, part)
    return key


def _reason(detail: ErrorDetails, key: Key) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(key)
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    if kind in _LIMITS:
        name, text = _LIMITS[kind]
        return _(text).format(limit=context.get(name))
    if kind == "string_pattern_mismatch":
        return _("must have the form {pattern}").format(pattern=context.get("pattern"))
    if keys.is_secret(keys.annotation_at(key)):
        return _('a secret is a string, {env = "NAME"}, {file = "PATH"} or {command = ["…"]}')
    text = _REASONS.get(kind.partition("_")[0], "")
    return (
        _(text).format(expected=context.get("expected", "").replace(" or ", ", ")) if text else detail["msg"]
    )


def _unknown_key(key: Key) -> str:
    names = keys.names_at(key[:-1])
    nearest = keys.nearest(str(key[-1]), names)
    if nearest is not None:
        return _("unknown key; did you mean {meant}?").format(meant=nearest)
    return _("unknown key; known here: {names}").format(names=", ".join(sorted(names)))


def place_of(file: str, variables: Mapping[Key, str]) -> Callable[[Key], str]:
    """Return what names the origin of a key: the variable that set it or a part of it, else the file."""

    def place(key: Key) -> str:
        for length in range(len(key), 0, -1):
            if key[:length] in variables:
                return variables[key[:length]]
        return file

    return place
