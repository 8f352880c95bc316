"""The example configuration loads, and every key that exists appears in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samaops import resources
from samaops.config import example, keys, load
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
    configuration.write_example(path, example.filled_in({}))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("mine")
    with pytest.raises(RefusedError):
        configuration.write_example(path, example.filled_in({}))
    assert path.read_text() == "mine"
    configuration.write_example(path, example.filled_in({}), force=True)
    assert path.read_text() != "mine"


def test_what_was_answered_stands_in_it_and_the_rest_is_the_example(tmp_path: Path) -> None:
    answers = {
        "site": 'the "first"',
        "db": "10.9.0.1",
        "api": "api.senelec.sn",
        "workers": "10.9.0.3",
        "ssh_user": "ops",
        "vip": "https://api.senelec.sn",
        "recipients": "a@senelec.sn, b@senelec.sn",
        "mail_host": "10.9.0.20",
    }
    assert set(answers) == {question.key for question in example.QUESTIONS}
    path = tmp_path / "config.toml"
    configuration.write_example(path, example.filled_in(answers))
    settings = load.load(path)
    assert settings.site == 'the "first"'
    assert [server.address for server in settings.servers.values()] == [
        "10.9.0.1",
        "api.senelec.sn",
        "10.9.0.3",
    ]
    assert {getattr(server.ssh, "user", "") for server in settings.servers.values()} == {"ops"}
    assert settings.loadbalancer is not None
    assert settings.loadbalancer.url == "https://api.senelec.sn"
    assert settings.api is not None
    assert settings.api.instances[0].url == "http://api.senelec.sn:8001"
    assert settings.notify.mail is not None
    assert (settings.notify.mail.host, len(settings.notify.mail.recipients)) == ("10.9.0.20", 2)
    assert settings.postgresql is not None
    assert settings.postgresql.user == "samaops"


def test_what_is_proposed_is_the_example_itself() -> None:
    proposed = {question.key: question.proposed for question in example.QUESTIONS}
    assert example.filled_in(proposed) == resources.example_config().read_text(encoding="utf-8")
    for question in example.QUESTIONS:
        question.require(question.proposed)
