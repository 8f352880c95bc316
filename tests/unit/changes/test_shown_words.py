"""What a change shows as the command that does the same is read by a shell as it was meant, whatever its words hold."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from msgspec import to_builtins

from samaops.changes.backup import pin
from samaops.changes.checklist import sign
from samaops.changes.notify import silence
from samaops.changes.run import operations
from samaops.changes.schedule import files, pause
from samaops.config.settings import Settings
from samaops.model.plan import Operation
from samaops.render import escape
from samaops.render.layout import CommandLine, Screen
from samaops.site.site import Site

HOSTILE = "a\x1b[2J' $(id)\n; `id` \u202e"
DAY = "2026-01-31T00:00:00+00:00"


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (
            Operation(
                silence.SILENCE, to_builtins(silence.Silencing(1, "redis.memory.high", HOSTILE, DAY, HOSTILE))
            ),
            ("silence", "redis.memory.high", HOSTILE, "--until", DAY, "--reason", HOSTILE),
        ),
        (
            Operation(pause.PAUSE, to_builtins(pause.Pausing(HOSTILE, DAY, HOSTILE))),
            ("schedule", "pause", HOSTILE, "--until", DAY, "--reason", HOSTILE),
        ),
        (
            Operation(pause.PAUSE, to_builtins(pause.Pausing(HOSTILE, "", ""))),
            ("schedule", "resume", HOSTILE),
        ),
        (
            Operation(pin.PIN, to_builtins(pin.Pinning(HOSTILE, HOSTILE, "dump", DAY, None))),
            ("backup", "pin", HOSTILE, "--reason", HOSTILE),
        ),
        (
            Operation(sign.SIGN, to_builtins(sign.Signing("before", HOSTILE, HOSTILE, HOSTILE))),
            ("checklist", "sign", "before", HOSTILE, "--by", HOSTILE, "--note", HOSTILE),
        ),
    ],
)
def test_every_word_is_one_word_and_can_be_shown(operation: Operation, words: tuple[str, ...]) -> None:
    (line,) = operations.lines(operation, Site(Settings()))
    assert line.isprintable()
    shell = ["bash", "-c", f"samaops() {{ printf '%s\\0' \"$@\"; }}; {line}"]
    read = subprocess.run(shell, capture_output=True, check=True, text=True, timeout=10).stdout
    assert tuple(read.split("\0")[:-1]) == words


def test_what_a_file_is_to_hold_can_be_pasted_from_a_screen(tmp_path: Path) -> None:
    place = tmp_path / "units"
    writing = files.Writing(
        str(place), "[Unit]\n  deep: 'x' %h\nEND\n# " + "a long line " * 20 + "\n\n\ttab\n"
    )
    (line,) = operations.lines(Operation(files.WRITE, to_builtins(writing)), Site(Settings()))
    screen = io.StringIO()
    Screen(file=screen, width=80, color_system=None).print(CommandLine(escape.command(line), indent=5))
    subprocess.run(["bash", "-c", screen.getvalue()], check=True, timeout=10, cwd=tmp_path)
    assert place.read_text() == writing.content
