"""Every help ends with examples that the command line takes, and with the exit codes; so does the manual."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from samaops.cli import help_text, man_page, typer_words
from samaops.cli.app import command
from samaops.i18n import language, use_language
from tests.command_line import take

ROOT = Path(__file__).parents[3]


def walk() -> dict[str, Any]:
    """Return every command by its words, groups too, in the language in use; the empty words are samaops itself."""
    return _walk(language())


@cache
def _walk(_language: str) -> dict[str, Any]:
    return {" ".join(words): found for words, found in man_page.walk(command())}


def test_every_command_has_examples_of_its_own() -> None:
    commands = walk()
    leaves = {path for path, found in commands.items() if path and not getattr(found, "commands", None)}
    assert leaves == set(help_text.EXAMPLES)
    for path in commands:
        assert help_text.examples(path)


@pytest.mark.parametrize("line", [line for lines in help_text.EXAMPLES.values() for line, _meaning in lines])
def test_an_example_is_a_line_that_is_taken(line: str) -> None:
    take(shlex.split(line))
    assert len(f"   samaops {line}") <= 80
    assert any(line == path or line.startswith(f"{path} ") for path in help_text.EXAMPLES)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_help_ends_with_examples_and_exit_codes(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language(language)
    for path, found in walk().items():
        with found.make_context(path or "samaops", [], resilient_parsing=True) as context:
            found.format_help(context, context.make_formatter())
        shown = capsys.readouterr().out
        assert {"en": "Exit codes", "fr": "Codes de sortie"}[language] in shown
        assert f"samaops {help_text.examples(path)[0][0]}" in shown
        assert ("75 " in " ".join(shown.split())) == (75 in help_text.exit_codes(path, found))
        assert max(map(len, shown.splitlines())) <= 80
        assert ("Usage : " in shown.replace("\u00a0", " ")) == (language == "fr")


def shown_help(path: str, capsys: pytest.CaptureFixture[str], found: Any = None) -> str:
    found = found or walk()[path]
    with found.make_context(path, [], resilient_parsing=True) as context:
        found.format_help(context, context.make_formatter())
    return capsys.readouterr().out.replace("\u00a0", " ")


def test_no_french_help_has_a_word_or_a_number_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    use_language("fr")
    for path, found in walk().items():
        shown = shown_help(path, capsys, found)
        assert not re.findall(r"(?:\[par défaut : |[\[=])\d+\.\d", shown), path
        assert not re.findall(
            r"<(?:str|path|float|int|bool)>|\b(?:MEMBER|BACKUP|RELEASE|TEXT|DAY)\b", shown
        ), path
        assert not [line for line in shown.splitlines() if re.match(r"[│ ]*[;:?!] ", line)], path
    assert re.search(r"\[\S[^]]*: 30,0\]", shown_help("db slow", capsys)), (
        "typer has the word in its first language"
    )
    assert "[0,1<=x<=3600]" in shown_help("db slow", capsys)
    use_language("en")
    assert "30.0]" in shown_help("db slow", capsys)


def test_no_help_has_brackets_that_the_library_takes_for_markup() -> None:
    for path, found in walk().items():
        texts = [found.help, *(getattr(param, "help", None) for param in found.params)]
        assert not [text for text in texts if text and "[" in text], path


# Words that French has too, and names of the systems.
SAME = {
    "BUCKET",
    "CONDITION",
    "CRONTAB",
    "GID",
    "ID",
    "INDEX",
    "MM",
    "PAGE",
    "PID",
    "QUERYID",
    "TABLE",
    "VERSION",
    "WORKER",
}


def test_every_word_that_stands_for_a_value_is_one_that_is_translated() -> None:
    use_language("en")
    shown = {
        word for found in walk().values() for param in found.params for word in capitals(param.metavar or "")
    }
    assert shown - SAME == set(typer_words.PLACEHOLDERS) - {"ARGS"}  # that one is typer's


def capitals(metavar: str) -> list[str]:
    return re.findall(r"[A-Z]{2,}", metavar)


def test_a_list_offers_the_forms_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    use_language("en")
    commands = walk()
    for path in ("db locks", "docker ps", "queue list", "workers list", "pool pools"):
        assert "nagios" not in shown_help(path, capsys, commands[path])


def test_what_stands_for_a_value_is_in_the_user_s_language(capsys: pytest.CaptureFixture[str]) -> None:
    use_language("fr")
    shown = shown_help("queue park", capsys)
    assert "Usage : queue park [OPTIONS] FILE" in shown
    assert "SECONDES" in shown
    assert not {"QUEUE", "SECONDS", "LEVEL", "<str>"} & set(shown.replace("samaops.parked.QUEUE", "").split())
    assert "[OPTIONS] COMMANDE [ARGUMENTS]..." in shown_help("queue", capsys)


@pytest.mark.parametrize(
    ("path", "usage"),
    [
        ("db vacuum", "[OPTIONS] [TABLE]..."),
        ("db psql", "[OPTIONS] [-- ARGUMENTS]"),
        ("db index create", "[OPTIONS] TABLE COLUMN..."),
        ("pool set-size", "[OPTIONS] [DATABASE] N"),
        ("pool pause", "[OPTIONS] [DATABASE]"),
    ],
)
def test_a_usage_has_brackets_once(path: str, usage: str, capsys: pytest.CaptureFixture[str]) -> None:
    use_language("en")
    assert f"{path} {usage}" in " ".join(shown_help(path, capsys).split())


def test_what_changes_something_may_be_refused() -> None:
    commands = walk()
    assert 77 in help_text.exit_codes("queue purge", commands["queue purge"])
    assert 77 not in help_text.exit_codes("queue list", commands["queue list"])
    assert help_text.exit_codes("diagnose", commands["diagnose"])[:4] == (0, 1, 2, 3)


def test_the_manual_is_without_a_fault_of_roff() -> None:
    for name in ("samaops.1", "samaops.fr.1"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert text.startswith(".TH SAMAOPS 1")
        for path in help_text.EXAMPLES:
            assert f".SS \\fBsamaops {path.replace('-', chr(92) + '-')}\\fR" in text
        requests = {line.split()[0] for line in text.splitlines() if line.startswith(".")}
        assert requests == {".TH", ".SH", ".SS", ".TP", ".PP", ".RS", ".RE", ".br", ".B"}
        assert not any(line.startswith("'") for line in text.splitlines())
