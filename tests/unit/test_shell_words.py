"""Words of proposed commands: whatever they hold, bash and every form of an answer take them for the same words."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from samaops.render import escape, shell_lines
from samaops.site.shell_words import joined, operands, quoted, without_pipe

WORDS = (
    "", "plain", "two words", "; touch x", "$(touch x)", "`touch x`", "'", '"', "it's", "\\", "a\\'b", "a\nb", "\n", "\t",
    "\x1b[2J", "\x7f", "\x85", "é", "日本", "\u202eabc", "\u00a0", "\x1b7", "a|b", "*", "~", "#", "!x", "-x", "--", "\U0001f600",
)  # fmt: skip


def in_bash(command: str) -> list[str]:
    """Return the words that bash gives to a program, without those of the program itself."""
    line = f"given() {{ printf '%s\\0' \"$@\"; }}; {command}"
    done = subprocess.run(
        ["/bin/bash", "-c", line], capture_output=True, timeout=10, check=True, env={"LC_ALL": "C"}
    )
    return done.stdout.decode().split("\0")[:-1]


def test_bash_reads_the_words_that_were_quoted() -> None:
    assert in_bash(f"given {joined(WORDS)}") == list(WORDS)


def test_a_command_in_a_command_has_its_words_too() -> None:
    assert in_bash(f"eval {quoted(f'given {joined(WORDS)}')}") == list(WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_no_form_has_to_change_a_quoted_word(word: str) -> None:
    command = f"given {quoted(word)} x"
    assert escape.command(command) == command
    for width in (8, 20):
        assert in_bash("\n".join(shell_lines.wrap(command, width))) == [word, "x"]


@pytest.mark.parametrize("word", WORDS)
def test_shlex_too_takes_it_for_one_word(word: str) -> None:
    words = shlex.split(f"given {quoted(word)} x")
    assert len(words) == 3
    assert words[1] == word or not word.isprintable()


def test_a_name_is_no_option_whatever_it_begins_with() -> None:
    assert operands("c1") == "c1"
    assert operands("-f", "c1") == "-- -f c1"
    assert operands("a b", "c|d") == "'a b' 'c|d'"


@pytest.mark.parametrize(
    "command", ["given a", "given 'a|b' \"c\"", "printf 'x\\n' | tr x y | cat", "given $'a\\012|b'"]
)
def test_a_command_without_its_pipe_does_the_same(command: str) -> None:
    shown = without_pipe(command)
    assert "|" not in shown
    assert in_bash(shown) == in_bash(command)
    assert (shown == command) == ("|" not in command)


def test_a_command_is_never_shortened_whatever_it_holds() -> None:
    hidden = "samaops checklist sign tests push --note 'a" + "\u200b\U000e0001" * 50 + "b'"
    assert escape.command(hidden).endswith("b'")
