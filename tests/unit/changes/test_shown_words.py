"""What a change shows as the command that does the same is read by a shell as it was meant, whatever its words hold."""

from __future__ import annotations

import subprocess

import pytest
from msgspec import to_builtins

from samaops.changes.backup import pin
from samaops.changes.checklist import sign
from samaops.changes.notify import silence
from samaops.changes.run import operations
from samaops.changes.schedule import files, pause
from samaops.config.settings import Settings
from samaops.model.plan import Operation
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


def test_no_line_of_a_file_ends_what_is_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("written") / "units"
    writing = files.Writing(str(place), "one\nEND\nEND_\ntouch elsewhere\n")
    lines = operations.lines(Operation(files.WRITE, to_builtins(writing)), Site(Settings()))
    subprocess.run(["bash", "-c", "\n".join(lines)], check=True, timeout=10, cwd=place.parent)
    assert place.read_text() == writing.content
    assert not (place.parent / "elsewhere").exists()
