"""Users without a home, directories that are gone or not ours, disks that cannot be written: one line, the right code."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.contract.conftest import Samaops, redis_at

Address = tuple[str, int]


# A user that does not exist, who may read the Python of whoever runs the tests.
NOBODY = (
    *("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"),
    *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"),
)


def _run(command: Sequence[str], environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
        cwd=cwd,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a user that does not exist")
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("diagnose", "--only", "redis"), 69, "Redis"),
        (("history", "list"), 78, "HOME is not set"),
        (("undo", "x", "--yes"), 78, "HOME is not set"),
        (("queue", "purge", "normal", "--yes"), 78, "HOME is not set"),
        (("config", "show"), 0, "redis.host"),
        (("config", "init"), 78, "HOME is not set"),
        (("config", "path"), 0, "config.toml"),
    ],
)
def test_a_user_without_home_and_passwd_entry(
    samaops: Samaops, refused: Address, words: tuple[str, ...], code: int, text: str
) -> None:
    text_of_config = redis_at(refused) + '[rabbitmq]\nhost = "127.0.0.1"\nport = 1\n'
    left_out = ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME")
    environment = {name: value for name, value in samaops.environment().items() if name not in left_out}
    with tempfile.TemporaryDirectory() as directory:  # pytest's own may be entered by its owner only
        config = Path(directory) / "config.toml"
        config.write_text(text_of_config)
        for path in (directory, config):
            os.chown(path, 54321, 54321)
        given = () if words == ("config", "init") else ("--config", config)
        done = _run((*NOBODY, *samaops.command(*given, *words)), environment, Path("/"))
    assert (done.returncode, "bug" in done.stderr, "Traceback" in done.stderr) == (code, False, False)
    assert text in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("diagnose", "--only", "redis"), 69),
        (("diagnose", "--only", "redis", "--save", "look.json"), 64),
        (("config", "show"), 0),
        (("config", "init", "--path", "x.toml"), 78),
    ],
)
def test_a_working_directory_that_is_gone(
    samaops: Samaops, refused: Address, words: tuple[str, ...], code: int
) -> None:
    config = samaops.configure(redis_at(refused))
    line = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    command = samaops.command("--config", config, *words)
    done = _run(("sh", "-c", line, "sh", *command), samaops.environment(), samaops.home)
    assert (done.returncode, "bug" in done.stderr, "Traceback" in done.stderr) == (code, False, False)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("diagnose", "--only", "redis"), 69),
        (("diagnose", "--only", "redis", "--save", "/proc/look.json"), 64),
        (("diagnose", "--only", "redis", "--save", "."), 64),
        (("history", "list"), 0),
        (("config", "init", "--path", "/proc/samaops.toml"), 78),
        (("lab", "up"), 78),
    ],
)
def test_a_place_that_cannot_be_written(
    samaops: Samaops, refused: Address, words: tuple[str, ...], code: int
) -> None:
    config = samaops.configure(redis_at(refused))
    done = samaops("--config", config, *words, XDG_STATE_HOME="/proc/samaops")
    assert (done.code, "bug" in done.stderr, "Traceback" in done.stderr) == (code, False, False)


def test_a_home_that_cannot_be_looked_into_has_no_configuration(samaops: Samaops) -> None:
    done = samaops("config", "path", XDG_CONFIG_HOME=f"/{'x' * 300}")
    assert (done.code, "bug" in done.stderr) == (78, False)
    assert "There is no configuration" in done.stderr
