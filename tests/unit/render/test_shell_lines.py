"""A broken command line is the same command."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samaops.render import shell_lines

WORDS = st.lists(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12), min_size=1, max_size=12
)


@given(words=WORDS, width=st.integers(20, 60))
def test_the_shell_reads_the_lines_as_the_command(words: list[str], width: int) -> None:
    command = shlex.join(words)
    continued = "\n".join(shell_lines.wrap(command, width)).replace("\\\n", "")  # as the shell does
    assert shlex.split(continued) == words


@pytest.mark.parametrize("width", [20, 40, 80])
def test_lines_fit_unless_a_single_word_is_longer(width: int) -> None:
    for line in shell_lines.wrap(
        "one two three four five six seven eight nine ten eleven twelve " * 3, width
    ):
        assert len(line) <= width


def test_each_line_of_a_comment_is_a_comment() -> None:
    text = "# for each key of /var/lib/samaops/exports/keys.jsonl that has this expiry still, at most 5000 per second"
    lines = shell_lines.wrap(text, 40)
    assert len(lines) > 2
    assert all(line.startswith("# ") and not line.endswith("\\") for line in lines)
    assert " ".join(line[2:] for line in lines) == text[2:]


def test_a_short_command_stays_as_it_is() -> None:
    assert shell_lines.wrap("docker ps", 80) == ["docker ps"]


def test_a_space_in_quotes_is_no_place_to_break() -> None:
    command = "psql -c 'select a, b, c from a_table where d is not null' -h host"
    assert any(
        "'select a, b, c from a_table where d is not null'" in line for line in shell_lines.wrap(command, 30)
    )
