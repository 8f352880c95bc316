"""``--textfile``: what the node exporter reads is whole, readable, current, and says when a run failed."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import Samaops, redis_at

Address = tuple[str, int]
LOOK = ("diagnose", "--only", "redis.service,redis.memory")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the collector's directory, which holds nothing else."""
    made = tmp_path / "collector"
    made.mkdir()
    return made


@pytest.fixture
def _private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def checked(file: Path) -> str:
    """Return what promtool and the node exporter's user may read."""
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    text = file.read_bytes()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return text.decode()


@pytest.mark.usefixtures("_private_umask")
def test_it_is_written_beside_the_answer_for_a_user_of_its_own(
    samaops: Samaops, redis_server: Address, directory: Path
) -> None:
    config, file = samaops.configure(redis_at(redis_server)), directory / "samaops.prom"
    file.write_text("what was there before")
    done = samaops("--config", config, *LOOK, "--textfile", file)
    assert (done.code, done.stderr) == (0, "")
    assert "All is well" in done.stdout
    assert "samaops_status 0\n" in checked(file)
    assert list(directory.iterdir()) == [file], "nothing else is left for the collector"


def test_two_commands_have_a_file_each_and_no_series_in_common(
    samaops: Samaops, redis_server: Address, directory: Path
) -> None:
    home = samaops.home
    more = f'[safety]\nlock_directory = "{home}"\n[maintenance]\nlog = "{home}/daily.log"\n'
    config = samaops.configure(redis_at(redis_server) + more)
    samaops("--config", config, *LOOK, "--textfile", directory / "a.prom")
    done = samaops(
        "--config", config, "maintain", "daily", "--only", "redis", "--textfile", directory / "b.prom"
    )
    assert (done.code, done.stdout) == (0, ""), "silent all the same"
    texts = [checked(directory / name) for name in ("a.prom", "b.prom")]
    series = [{line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"} for text in texts]
    assert series[0]
    assert series[1]
    assert not series[0] & series[1]


def test_who_reads_meanwhile_has_the_old_one_or_the_new_one(
    samaops: Samaops, redis_server: Address, directory: Path
) -> None:
    config, file = samaops.configure(redis_at(redis_server)), directory / "samaops.prom"
    samaops("--config", config, *LOOK, "--textfile", file)
    whole, seen, over = len(file.read_text().splitlines()), set(), threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.add(len(file.read_text().splitlines()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        samaops("--config", config, *LOOK, "--textfile", file)
    finally:
        over.set()
        reader.join(10)
    assert seen == {whole}


@pytest.mark.parametrize(
    ("text", "words", "code", "command"),
    [
        ("nonsense = 1\n", LOOK, 78, ""),
        ("", ("diagnose", "--only", "nonsense"), 64, ""),
        ("nonsense = 1\n", ("maintain", "daily"), 78, 'command="maintain daily"'),
    ],
)
def test_a_run_that_fails_does_not_leave_the_last_good_one_there(
    samaops: Samaops, directory: Path, text: str, words: tuple[str, ...], code: int, command: str
) -> None:
    config, file = samaops.configure(text), directory / "samaops.prom"
    file.write_text("samaops_status 0\n")
    assert samaops("--config", config, *words, "--textfile", file).code == code
    written = checked(file)
    assert f"samaops_status{f'{{{command}}}' if command else ''} 3\n" in written
    assert f'exit_code="{code}"' in written


def test_a_run_that_fails_says_so_on_stdout_too(samaops: Samaops) -> None:
    done = samaops("--config", samaops.configure("nonsense = 1\n"), "diagnose", "-o", "prometheus")
    assert done.code == 78
    assert 'samaops_error{exit_code="78"} 1\n' in done.stdout


def test_what_the_node_exporter_would_not_read_or_nobody_could_write_is_64_before_anything_is_done(
    samaops: Samaops, redis_server: Address, directory: Path
) -> None:
    config = samaops.configure(redis_at(redis_server))
    pipe = directory / "pipe.prom"
    os.mkfifo(pipe)
    for file, words in (
        (directory / "samaops.txt", "--textfile " + str(directory / "samaops.prom")),
        (directory / "absent" / "samaops.prom", "No such file or directory"),
        (pipe, "it is not a regular file"),
    ):
        done = samaops("--config", config, *LOOK, "--textfile", file, "-o", "json")
        assert done.code == 64
        assert words in done.stderr
        assert done.json()["errors"][0]["exit_code"] == 64
        assert file == pipe or not file.exists()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(directory.iterdir()) == [pipe]


def test_a_command_without_the_option_overwrites_nothing(samaops: Samaops, directory: Path) -> None:
    file = directory / "precious.prom"
    file.write_text("precious")
    assert samaops("queue", "list", "--textfile", file).code == 64
    assert file.read_text() == "precious"
