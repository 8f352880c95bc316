"""Save what was observed to a file and read it back: an incident can be judged again elsewhere, without the system.

The file is JSON, mode 600. The settings travel in it with their secrets masked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from samaops import __version__
from samaops.collect import registry
from samaops.config import faults, files, keys
from samaops.config.masking import MASK
from samaops.config.secrets import Secret
from samaops.config.settings import History, Settings
from samaops.errors import SamaopsError, UsageError, reason_of
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.i18n import _, joined
from samaops.journal.well import WellLook
from samaops.model.encoding import MisfitError, Place, decode, encode, keyed, written
from samaops.site.site import Site

SCHEMA = "samaops/snapshot/1"
# A look at three servers has 50 kB; this is for many servers with many containers.
_LARGEST_FILE_BYTES = 64 * 1024 * 1024
_STANDARD_INPUT = Path("/dev/stdin")
_PIPE_SECONDS = 60.0  # it may come from elsewhere, by <(ssh ...)

# A counter of 64 bits; a size in bytes of anything that there is has fewer.
_LARGEST_NUMBER = 2**64
_YEARS = range(1970, 9999)


class Saved(Struct, frozen=True):
    """A saved look: all that is needed to judge it again with the same result."""

    snapshot: Snapshot
    site: Site
    selection: Selection
    well: WellLook | None = None


def save(
    path: Path, snapshot: Snapshot, site: Site, selection: Selection, well: WellLook | None = None
) -> None:
    """Write a look to a file that only its owner can read, whole or not at all; the last one that was well with it."""
    document = {
        "schema": SCHEMA,
        "samaops": __version__,
        "settings": masked(site.settings),
        "selection": encode(selection),
        "snapshot": encode(snapshot),
        "well": encode(well),
    }
    try:
        files.write_private(path, json.dumps(document, indent=1).encode("ascii"))
    except OSError as error:
        raise UsageError(
            _("{path} cannot be written: {reason}").format(path=path, reason=reason_of(error))
        ) from error


def load(path: Path) -> Saved:
    """Read a saved look; ``-`` stands for standard input. Raises UsageError, with the place of the wrong value, when the file is not one."""
    try:
        return _saved(keyed(json.loads(_content(path))))
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {reason}").format(path=path, reason=reason_of(error))
        ) from error
    except ValidationError as error:
        faulty = (f"{keys.dotted(('settings', *key))}: {reason}" for key, reason in faults.reasons(error))
        raise _not_a_look(path, joined(faulty)) from error
    except (ValueError, RecursionError) as error:  # bad JSON and bad UTF-8 are ValueErrors too
        raise _not_a_look(path, _reason(error)) from error


def _reason(error: ValueError | RecursionError) -> str:
    """Say in the user's language what Python says in English."""
    if isinstance(error, UnicodeDecodeError):
        return _("it is not text, from byte {number} on").format(number=error.start)
    if isinstance(error, json.JSONDecodeError):
        text = _("line {line}, column {column}: not JSON")
        return text.format(line=error.lineno, column=error.colno)
    return _("too deep") if isinstance(error, RecursionError) else str(error)


def _saved(document: dict[str, Any]) -> Saved:
    if document.get("schema") != SCHEMA:
        raise MisfitError(_("its schema is not {schema}").format(schema=SCHEMA))
    for name in ("settings", "selection", "snapshot"):
        if name not in document:
            raise MisfitError(_("{key} is missing").format(key=name))
    for place in _no_numbers(document):
        raise MisfitError(_("{place}: not a number that a look can have").format(place=written(place)))
    settings = Settings.model_validate(document["settings"])
    well = decode(document.get("well"), WellLook | None, "well")  # type: ignore[arg-type] # a union is no type to mypy
    if well is not None:
        _require_moment(well.at, "well.at")
    return Saved(
        snapshot=_snapshot(document["snapshot"]),
        # A journal is read where this run looks for it, never where a file from elsewhere says.
        site=Site(settings.model_copy(update={"history": History()})),
        selection=decode(document["selection"], Selection, "selection"),
        well=well,
    )


def _no_numbers(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the places of numbers that JSON or a machine's word has not: NaN, infinity, thousands of digits."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, dict | list | float | int):
                yield from _no_numbers(inner, (*place, key))
    elif (
        not -_LARGEST_NUMBER < value < _LARGEST_NUMBER if isinstance(value, int) else not math.isfinite(value)
    ):
        yield place


def _content(path: Path) -> str:
    path = _STANDARD_INPUT if path == Path("-") else path
    return files.read(path, _LARGEST_FILE_BYTES, seconds=_PIPE_SECONDS).decode("utf-8")


def _not_a_look(path: Path, reason: str) -> SamaopsError:
    return UsageError(
        _("{path} is not a saved look of samaops: {reason}").format(path=path, reason=reason),
        hint="samaops diagnose --save FILE",
    )


def masked(settings: Settings) -> dict[str, Any]:
    """Return settings as plain data that load again, without any literal secret."""
    plain = _masked(settings)
    assert isinstance(plain, dict)
    return plain


def _masked(value: object) -> Any:
    if isinstance(value, Secret):
        return {"literal": MASK} if value.is_literal else value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, BaseModel):
        names = [name for name in type(value).model_fields if getattr(value, name) is not None]
        return {name: _masked(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {name: _masked(element) for name, element in value.items()}
    if isinstance(value, tuple):
        return [_masked(element) for element in value]
    return str(value) if isinstance(value, Path) else value


def _snapshot(document: Any) -> Snapshot:
    snapshot = decode(document, Snapshot, "snapshot")
    _require_moment(snapshot.taken_at, "snapshot.taken_at")
    observations = (
        _with_facts(observation, f"snapshot.observations[{number}]")
        for number, observation in enumerate(snapshot.observations)
    )
    return replace(snapshot, observations=tuple(observations))


def _require_moment(moment: datetime, place: str) -> None:
    """Refuse what no clock shows, at the edge of what can be said in another time zone."""
    if moment.year not in _YEARS:
        raise MisfitError(_("{place}: not of the right kind").format(place=place))


def _with_facts(observation: Observation, place: str) -> Observation:
    kind = _facts_type(observation, place)
    if (observation.facts is None) == (observation.failure is None):
        raise MisfitError(_("{place}: it must have either facts or a failure").format(place=place))
    if observation.facts is None:
        return observation
    facts: object = decode(observation.facts, kind, f"{place}.facts")
    return replace(observation, facts=facts)


def _facts_type(observation: Observation, place: str) -> type:
    """Return the struct of an observation's facts; only those of samaops itself, never a name from elsewhere."""
    if observation.system not in SYSTEMS:
        system = _("unknown system {system!r}").format(system=observation.system)
        raise MisfitError(f"{place}.system: {system}")
    # What a change keeps before a restart is observed by no look: it stands beside the others of its system.
    module = import_module(f"samaops.facts.{observation.system}")
    own = {
        name: kind
        for name, kind in vars(module).items()
        if getattr(kind, "__module__", "") == module.__name__
    }
    facts_type = {**own, **registry.facts_of(observation.system)}.get(observation.facts_type)
    if isinstance(facts_type, type) and issubclass(facts_type, Struct):
        return facts_type
    facts = _("unknown facts {name!r}").format(name=observation.facts_type)
    raise MisfitError(f"{place}.facts_type: {facts}")
