"""The texts in ``playbooks/`` stand in both languages, complete; and each check has its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from samaops import resources
from samaops.checks import texts
from samaops.checks.registry import rules
from samaops.errors import ConfigurationError
from samaops.facts.systems import SYSTEMS
from samaops.workflows import explain

DIRECTORY = resources.directory("playbooks")
FILES = sorted(DIRECTORY.rglob("*.yaml"))
# What people read; every other text is a name or a command.
KEYS = ("title", "meaning", "text", "fix", "avoid")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def texts_in(document: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every text of a document with its place in it."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in KEYS:
                yield f"{place}.{key}", value
            else:
                yield from texts_in(value, f"{place}.{key}")
    elif isinstance(document, list):
        for number, item in enumerate(document):
            yield from texts_in(item, f"{place}[{number}]")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_text_is_there_in_both_languages_with_the_same_names_in_it(path: Path) -> None:
    places = dict(texts_in(read(path)))
    assert places
    for place, text in places.items():
        assert isinstance(text, dict), f"{place} is in one language"
        assert list(text) == ["en", "fr"], place
        assert all(text.values()), place
        assert text["en"] != text["fr"], f"{place} is not translated"
        english, french = (set(PLACEHOLDER.findall(text[language])) for language in ("en", "fr"))
        assert english == french, place


def test_every_system_has_its_file_and_no_file_is_left_over() -> None:
    assert {path.stem for path in (DIRECTORY / "checks").iterdir()} == set(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_check_has_its_texts_and_no_text_is_left_over(system: str) -> None:
    assert sorted(texts.of_system(system)) == sorted(rule.code for rule in rules((system,)))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_check_can_be_confirmed_by_hand(system: str) -> None:
    lacking = [code for code, text in texts.of_system(system).items() if not text.confirm]
    assert not lacking


def test_a_key_that_is_unknown_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checks").mkdir()
    text = (DIRECTORY / "checks" / "flower.yaml").read_text(encoding="utf-8")
    (tmp_path / "checks" / "flower.yaml").write_text(text.replace("  avoid:", "  advise:"), encoding="utf-8")
    monkeypatch.setattr(resources, "directory", lambda _name: tmp_path)
    texts.of_system.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match=r"flower\.yaml: flower\.service\.unreachable\.advise"):
            explain.describe("flower.service.unreachable")
    finally:
        texts.of_system.cache_clear()
