"""What is typed wrongly is answered in the user's language, with the help of the command that was called."""

from __future__ import annotations

import io
import os

import pytest

from samaops.cli import main, streams
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
        ("--lang de diagnose", "'de' n'est pas une langue de samaops", "--lang en, --lang fr"),
    ],
)
def test_a_wrong_line_is_answered_in_french(
    line: str, sentence: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language("fr")
    assert main.run(line.split()) == 64
    shown = capsys.readouterr().err.replace("\u00a0", " ")
    assert shown.splitlines() == [f"samaops: {sentence}", f"  -> {hint}"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_sentence_is_folded_for_a_terminal_and_whole_for_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 24)))
    sentence = "samaops: /etc/samaops/config.toml ne peut pas être lu\u00a0: accès refusé"
    assert streams.folded(sentence, io.StringIO()) == sentence
    lines = streams.folded(sentence, _Terminal(), "  ").splitlines()
    assert lines == ["samaops: /etc/samaops/config.toml ne", "  peut pas être lu\u00a0: accès refusé"]
