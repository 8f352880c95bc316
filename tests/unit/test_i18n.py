"""The language is chosen by --lang, else by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops import errors, i18n
from samaops.cli import arguments
from samaops.model import quantities
from samaops.render import words

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


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("en", ("93.0 %", "1.5 MB", "2.0 s", "12 d", "36.6 MB", "0.25")),
        ("fr", ("93,0 %", "1,5 Mo", "2,0 s", "12 j", "36,6 Mo", "0,25")),
    ],
)
def test_numbers_are_written_as_the_language_writes_them(language: str, written: tuple[str, ...]) -> None:
    i18n.use_language(language)
    assert (
        i18n._FrenchSentence("{:.1f} %").format(93.0) if language == "fr" else "93.0 %",
        quantities.size(1.5 * 1024**2),
        quantities.duration(2),
        quantities.duration(12 * 86400),
        words.size(36_600_000),
        words.number(0.25),
    ) == written


def test_a_number_without_a_form_is_french_and_a_path_stays_as_it_is() -> None:
    i18n.use_language("fr")
    full = i18n._("{mount} is {percent} % full: {free} of {size} left")
    assert "93,5 %" in full.format(mount="/data", percent=93.5, free="1 Mo", size="2 Mo").replace(
        "\u00a0", " "
    )
    assert "/etc/a.toml, mode 0600" in i18n._("{path}, mode {mode:04o}").format(
        path=Path("/etc/a.toml"), mode=0o600
    )


def test_sentences_are_joined_as_the_language_does() -> None:
    i18n.use_language("fr")
    assert i18n.joined(("un", "deux")).replace("\u00a0", " ") == "un ; deux"
    i18n.use_language("en")
    assert i18n.joined(("one", "two")) == "one; two"


@pytest.mark.parametrize(
    ("language", "words"), [("en", "No such file or directory"), ("fr", "aucun fichier")]
)
def test_what_the_system_says_of_a_file_is_said_in_the_language(language: str, words: str) -> None:
    i18n.use_language(language)
    with pytest.raises(FileNotFoundError) as raised:
        Path("/nowhere/at/all").read_text(encoding="utf-8")
    assert errors.reason_of(raised.value).startswith(words)
    assert errors.reason_of(PermissionError(1, "our own words")) == "our own words"


def test_a_text_keeps_its_points_in_french() -> None:
    i18n.use_language("fr")
    title = i18n._("A transaction is idle for {seconds:.0f} s: pid {pid} of {user}, {application}")
    assert "v1.5" in title.format(seconds=2.0, pid=1, user="u", application="v1.5")
