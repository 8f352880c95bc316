"""Save what was observed to a file and read it back: an incident can be judged again elsewhere, without the system.

The file is JSON, mode 600. The settings travel in it with their secrets masked.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from samaops import __version__
from samaops.config import files
from samaops.config.masking import MASK
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.errors import SamaopsError, UsageError
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.i18n import _
from samaops.journal.well import WellLook
from samaops.model.encoding import MisfitError, decode, encode, keyed
from samaops.site.site import Site

SCHEMA = "samaops/snapshot/1"
# A look at three servers has 50 kB; this is for many servers with many containers.
_LARGEST_FILE_BYTES = 64 * 1024 * 1024
_PIPE_SECONDS = 60.0  # it may come from elsewhere, by <(ssh ...)


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
            _("{path} cannot be written: {reason}").format(path=path, reason=error.strerror)
        ) from error


def load(path: Path) -> Saved:
    """Read a saved look. Raises UsageError when the file is not one."""
    try:
        document = keyed(
            json.loads(files.read(path, _LARGEST_FILE_BYTES, seconds=_PIPE_SECONDS).decode("utf-8"))
        )
        if document.get("schema") != SCHEMA:
            raise MisfitError(_("its schema is not {schema}").format(schema=SCHEMA))
        return Saved(
            snapshot=_snapshot(document["snapshot"]),
            site=Site(Settings.model_validate(document["settings"])),
            selection=decode(document["selection"], Selection),
            well=decode(document.get("well"), WellLook | None),  # type: ignore[arg-type] # a union is no type to mypy
        )
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {reason}").format(path=path, reason=error.strerror)
        ) from error
    except ValidationError as error:
        raise _not_a_look(path, _("its settings are not valid")) from error
    except KeyError as error:
        raise _not_a_look(path, _("{key} is missing").format(key=error)) from error
    except (ValueError, RecursionError) as error:  # bad JSON and bad UTF-8 are ValueErrors too
        raise _not_a_look(path, str(error)) from error


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
    snapshot = decode(document, Snapshot)
    return replace(snapshot, observations=tuple(map(_with_facts, snapshot.observations)))


def _with_facts(observation: Observation) -> Observation:
    if observation.facts is None:
        return observation
    try:
        facts: object = decode(observation.facts, _facts_type(observation))
    except MisfitError as error:
        raise MisfitError(f"{observation.subject}: {error}") from error
    return replace(observation, facts=facts)


def _facts_type(observation: Observation) -> type:
    """Return the struct of an observation's facts; only those of samaops itself, never a name from elsewhere."""
    if observation.system not in SYSTEMS:
        raise MisfitError(_("unknown system {system!r}").format(system=observation.system))
    module = import_module(f"samaops.facts.{observation.system}")
    facts_type = getattr(module, observation.facts_type, None)
    if (
        isinstance(facts_type, type)
        and issubclass(facts_type, Struct)
        and facts_type.__module__ == module.__name__
    ):
        return facts_type
    raise MisfitError(_("unknown facts {name!r}").format(name=observation.facts_type))
