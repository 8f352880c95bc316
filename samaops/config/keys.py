"""Find one's way through the models of the settings by key: which keys exist where, what kind each is."""

from __future__ import annotations

import types
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from samaops.config.secrets import Secret
from samaops.config.settings import Settings

Key = tuple[str | int, ...]


def dotted(key: Key) -> str:
    """Return a key as a person writes it: ``servers.db.address``, ``api.instances[0].url``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def kinds(annotation: Any) -> Iterator[Any]:
    """Yield what a value may be: the members of a union, without None and without Annotated."""
    if get_origin(annotation) is Annotated:
        yield from kinds(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from kinds(member)
    elif annotation is not types.NoneType:
        yield annotation


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section (or Secret) that this value may be, if any."""
    return next(
        (kind for kind in kinds(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)), None
    )


def is_secret(annotation: Any) -> bool:
    """Return whether this value is a secret."""
    return model_in(annotation) is Secret


def item_of(annotation: Any, container: type) -> Any:
    """Return the type of the items of a ``dict`` or ``tuple`` value; None when it is no such container."""
    for kind in kinds(annotation):
        if get_origin(kind) is container:
            arguments = get_args(kind)
            return arguments[1] if container is dict else arguments[0]
    return None


def inside(annotation: Any, part: str | int) -> Any:
    """Return the type of what stands under one part of a key; None when nothing can stand there."""
    if isinstance(part, int):
        return item_of(annotation, tuple)
    model = model_in(annotation)
    if model is not None:
        field = model.model_fields.get(part)
        return field.annotation if field else None
    return item_of(annotation, dict)


def annotation_at(key: Key) -> Any:
    """Return the type of the value at a key of the settings; None when there is no such key."""
    annotation: Any = Settings
    for part in key:
        annotation = inside(annotation, part)
    return annotation


def names_at(key: Key) -> tuple[str, ...]:
    """Return the names that may stand under a key: the fields of its section."""
    model = model_in(annotation_at(key))
    return tuple(model.model_fields) if model else ()


def nearest(name: str, names: tuple[str, ...] | list[str]) -> str | None:
    """Return the name that was probably meant."""
    matches = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return matches[0] if matches else None


def nearest_few(name: str, names: tuple[str, ...]) -> list[str]:
    """Return the names, best first, that were perhaps meant."""
    return get_close_matches(name.lower(), names, n=3, cutoff=0.5)


def walk(settings: Settings) -> Iterator[tuple[Key, object]]:
    """Yield each leaf of loaded settings with its key; a Secret is a leaf, and so is an empty container."""
    yield from _walk(settings, ())


def _walk(value: object, key: Key) -> Iterator[tuple[Key, object]]:
    children: list[tuple[str | int, object]] = []
    if isinstance(value, BaseModel) and not isinstance(value, Secret):
        children = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, tuple):
        children = list(enumerate(value))
    if not children:
        yield key, value
    for part, child in children:
        yield from _walk(child, (*key, part))
