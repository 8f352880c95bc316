"""The language is chosen by --lang, else by the environment."""

from __future__ import annotations

import pytest

from samaops import i18n
from samaops.cli import arguments

VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "fr_SN.UTF-8"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "wo:fr:en"}, "fr"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": ""}, "en"),
    ],
)
def test_the_environment_chooses_the_language(
    environment: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert i18n.language_of_environment() == language


@pytest.mark.parametrize(
    ("argv", "language"),
    [
        (["--lang", "fr", "diagnose"], "fr"),
        (["--lang=en"], "en"),
        (["diagnose"], None),
        (["--", "--lang", "fr"], None),
    ],
)
def test_the_option_is_seen_before_the_command_line_is_parsed(argv: list[str], language: str | None) -> None:
    assert arguments.language(argv) == language


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        (["diagnose", "-o", "json"], "json"),
        (["diagnose", "-ojson"], "json"),
        (["diagnose", "--output=nagios"], "nagios"),
        (["diagnose", "--output", "json", "-o", "human"], "human"),
        (["diagnose", "-o"], "human"),
        (["--", "-o", "json"], "human"),
    ],
)
def test_the_form_of_an_error_is_known_before_the_command_line_is_parsed(
    argv: list[str], output: str
) -> None:
    assert arguments.output(argv) == output
