"""Every message has its French, with the same placeholders."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file

ROOT = Path(__file__).parents[2]
PLACEHOLDER = re.compile(r"\{(\w*)(?:![rsa])?(?::[^{}]*)?\}")


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("messages", str(ROOT / "scripts" / "messages"))
    spec = importlib.util.spec_from_loader("messages", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def messages() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        yield script()


@pytest.fixture(scope="module")
def french(messages: ModuleType) -> Catalog:
    catalogue: Catalog = messages.updated()
    return catalogue


def texts(value: Any) -> list[str]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def test_every_message_has_french(messages: ModuleType, french: Catalog) -> None:
    missing = [texts(one.id)[0] for one in french if one.id and not messages.is_translated(one)]
    assert not missing, f"{len(missing)} messages have no French: run scripts/messages; {missing[:10]}"


def test_french_has_the_placeholders_of_english(french: Catalog) -> None:
    for message in french:
        for english, translated in zip(texts(message.id), texts(message.string), strict=False):
            if english and translated:
                assert set(PLACEHOLDER.findall(translated)) <= set(PLACEHOLDER.findall(english)), english
                if isinstance(message.id, str):
                    assert set(PLACEHOLDER.findall(translated)) == set(PLACEHOLDER.findall(english)), english


def test_each_plural_form_is_a_sentence_of_its_own(french: Catalog) -> None:
    """A text alone in the place of the forms would be taken apart: its first letter for one, its second for several."""
    for message in french:
        if isinstance(message.id, tuple):
            several = texts(message.string)[-1]
            assert set(PLACEHOLDER.findall(several)) == set(PLACEHOLDER.findall(message.id[1])), message.id


def test_no_message_is_fuzzy(messages: ModuleType) -> None:
    assert not [one.id for one in messages.load() if one.id and one.fuzzy]


# Whose words are settled: what every user meets, whatever system is broken.
@pytest.mark.parametrize("folder", ["render", "config", "workflows", "cli"])
def test_every_message_of_a_settled_part_has_french(
    messages: ModuleType, french: Catalog, folder: str
) -> None:
    untold = {texts(one.id)[0] for one in french if one.id and not messages.is_translated(one)}
    own: set[str] = set()
    for path in (ROOT / "samaops" / folder).glob("*.py"):
        if not path.name.startswith(("lab", "incident")):
            found = extract_from_file("python", str(path), keywords=messages.KEYWORDS)
            own.update(texts(message)[0] for _line, message, _comments, _context in found)
    assert not own & untold


def test_the_catalogue_is_sorted_and_has_no_dates(messages: ModuleType) -> None:
    assert "Creation-Date" not in messages.PO_FILE.read_text(encoding="utf-8")
    ids = [texts(one.id)[0] for one in messages.load() if one.id]
    assert ids == sorted(ids)


def test_no_message_hides_in_an_f_string() -> None:
    """Before Python 3.12 the extraction does not see a call inside an f-string: it would never be translated."""
    hidden = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "samaops").rglob("*.py")
        for text in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("_", "N_", "ngettext")
    ]
    assert hidden == []
