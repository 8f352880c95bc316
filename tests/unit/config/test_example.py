"""The example configuration loads, and every key that exists appears in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samaops import resources
from samaops.config import keys, load
from samaops.config.settings import Settings
from samaops.config.toml import tomllib
from samaops.workflows import configuration


def uncommented(text: str) -> dict[str, Any]:
    """Return the example with every commented key in effect: a comment has a space behind its "#"."""
    return tomllib.loads(re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE))


def all_keys(annotation: Any, key: keys.Key = ()) -> Iterator[keys.Key]:
    model = keys.model_in(annotation)
    if model is None or keys.is_secret(annotation):
        yield key
        return
    for name, field in model.model_fields.items():
        item = keys.item_of(field.annotation, dict) or keys.item_of(field.annotation, tuple)
        below = keys.model_in(field.annotation) or keys.model_in(item)
        if below is None or below.__name__ == "Secret":
            yield (*key, name)
        else:
            yield from all_keys(below, (*key, name))


def has(document: Any, key: keys.Key) -> bool:
    """Return whether a key stands anywhere: under any name of a table, in any member of a list."""
    if not key:
        return True
    if isinstance(document, list):
        return any(has(one, key) for one in document)
    if not isinstance(document, dict):
        return False
    return (key[0] in document and has(document[key[0]], key[1:])) or any(
        has(one, key) for one in document.values() if isinstance(one, dict)
    )


def test_the_example_loads_as_it_is() -> None:
    settings = load.load(resources.example_config())
    assert set(settings.servers) == {"db", "api", "workers"}


def test_every_key_appears_in_the_example() -> None:
    document = uncommented(resources.example_config().read_text(encoding="utf-8"))
    missing = [keys.dotted(key) for key in all_keys(Settings) if not has(document, key)]
    assert not missing


def test_the_commented_values_are_valid_too(tmp_path: Path) -> None:
    text = resources.example_config().read_text(encoding="utf-8")
    document = uncommented(text)
    Settings.model_validate(document, context={"directory": tmp_path})


def test_init_writes_it_private_and_never_over_another(tmp_path: Path) -> None:
    import pytest

    from samaops.errors import RefusedError

    path = tmp_path / "new" / "config.toml"
    configuration.write_example(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("mine")
    with pytest.raises(RefusedError):
        configuration.write_example(path)
    assert path.read_text() == "mine"
    configuration.write_example(path, force=True)
    assert path.read_text() != "mine"
