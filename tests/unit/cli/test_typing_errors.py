"""What is typed wrongly is answered in the user's language, with the help of the command that was called."""

from __future__ import annotations

import io
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from samaops.cli import main, moments, streams
from samaops.i18n import use_language


@pytest.mark.parametrize(
    ("line", "sentence", "hint"),
    [
        ("diagnose --only", "--only demande une valeur", "samaops diagnose --help"),
        ("queue peek low_priority --count", "--count demande une valeur", "samaops queue --help"),
        ("diagnose extra", "Il y a des mots de trop : extra", "samaops diagnose --help"),
        ("history list --limit 0", "--limit : doit être d'au moins 1", "samaops history list --help"),
        (
            "diagnose --onyl redis",
            "L'option --onyl n'existe pas ; vouliez-vous dire --only ?",
            "samaops diagnose --help",
        ),
        (
            "workers lost",
            "La commande 'lost' n'existe pas ; vouliez-vous dire 'list' ?",
            "samaops workers --help",
        ),
        ("silence redis --for 2x --reason r", "--for : '2x' n'est pas une durée", "--for 30m, 2h, 3d"),
        ("diagnose --sites=", "--sites : nommez les sites, ou all", "samaops sites"),
        ("diagnose --sites ,", "--sites : nommez les sites, ou all", "samaops sites"),
        ("checklist sign tests push", "--note : dites ce qui a été vérifié, ou convenu", ""),
        ("--lang de diagnose", "'de' n'est pas une langue de samaops", "--lang en, --lang fr"),
    ],
)
def test_a_wrong_line_is_answered_in_french(
    line: str, sentence: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language("fr")
    assert main.run(line.split()) == 64
    shown = capsys.readouterr().err.replace("\u00a0", " ")
    assert shown.splitlines() == [f"samaops: {sentence}", *([f"  -> {hint}"] if hint else [])]


@pytest.mark.parametrize("words", ["docs install", "sites", "config show", "history list"])
def test_a_form_that_an_answer_has_not_is_told_with_those_that_it_has(
    words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text("version = 1\n")
    assert (
        main.run(["--lang", "en", "--config", str(tmp_path / "c.toml"), *words.split(), "-o", "nagios"]) == 64
    )
    shown = capsys.readouterr().out
    assert "-o human; -o json" in shown
    assert "eval" not in shown


def test_until_a_time_of_day_is_the_next_one_of_it() -> None:
    now = datetime.now().astimezone()
    for shift in (-1, 1):
        clock = (now + timedelta(hours=shift)).strftime("%H:%M")
        assert timedelta(0) < moments.end(None, clock) - now <= timedelta(days=1)
    assert timedelta(hours=2) <= moments.end("2h", None) - now < timedelta(hours=2, minutes=1)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_sentence_is_folded_for_a_terminal_and_whole_for_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_args, **_fallback: os.terminal_size((40, 24)))
    sentence = "samaops: /etc/samaops/config.toml ne peut pas être lu\u00a0: accès refusé"
    assert streams.folded(sentence, io.StringIO()) == sentence
    lines = streams.folded(sentence, _Terminal(), "  ").splitlines()
    assert lines == ["samaops: /etc/samaops/config.toml ne", "  peut pas être lu\u00a0: accès refusé"]
