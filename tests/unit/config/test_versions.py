"""Which version the format of a configuration has, and how a file gets to say it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import to_builtins

from samaops.changes.configuration.upgrade import VERSION_LINE, VersionLine
from samaops.changes.run.operations import run
from samaops.config import load, versions
from samaops.config.settings import Settings
from samaops.config.toml import tomllib
from samaops.errors import CONFIGURATION, ConfigurationError
from samaops.model.plan import Operation
from samaops.site.site import Site


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('# Ours.\n\nsite = "x"\n')
    path.chmod(0o640)
    return path


def put(path: Path, number: int, *, is_back: bool = False) -> None:
    operation = Operation(VERSION_LINE, to_builtins(VersionLine(str(path), number, is_back)))
    outcome = run(operation, Site(Settings()))
    assert outcome.is_ok, outcome.output


def test_a_configuration_of_a_newer_samaops_is_refused_for_that_alone(configuration: Path) -> None:
    configuration.write_text('version = 2\nsite = "x"\n[a_new_section]\nkey = 1\n')
    with pytest.raises(ConfigurationError, match="version 2, and this samaops knows 1") as caught:
        load.read(configuration)
    assert caught.value.exit_code == CONFIGURATION
    assert "a_new_section" not in caught.value.message


@pytest.mark.parametrize("text", ["", "version = 1\n"])
def test_one_that_says_none_is_of_the_first(configuration: Path, text: str) -> None:
    configuration.write_text(f'{text}site = "x"\n')
    assert load.read(configuration).settings.version == 1


@pytest.mark.parametrize("said", ["0", '"two"', "1.5"])
def test_what_is_no_version_is_a_fault(configuration: Path, said: str) -> None:
    configuration.write_text(f'version = {said}\nsite = "x"\n')
    with pytest.raises(ConfigurationError, match="version"):
        load.read(configuration)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "version = 1\n"),
        ("[servers.one]\n", "version = 1\n[servers.one]\n"),
        ('# Ours.\n\n# The site.\nsite = "x"\n', '# Ours.\n\nversion = 1\n# The site.\nsite = "x"\n'),
        ('# The site.\nsite = "x"\n', 'version = 1\n# The site.\nsite = "x"\n'),
        ("# Nothing yet\n\n", "# Nothing yet\n\nversion = 1\n"),
        ("\r\n[servers.one]\r\n", "\r\nversion = 1\r\n[servers.one]\r\n"),
    ],
)
def test_it_stands_before_the_first_key_and_what_belongs_to_that(before: str, after: str) -> None:
    number = versions.place(before)
    assert versions.with_line(before, number) == after
    assert versions.without_line(after, number) == before


@given(
    st.lists(st.sampled_from(["# a", "", " ", 'site = "x"', "[servers.one]", 'address = "a"']), max_size=6)
)
@example(["# a"])
def test_whatever_stands_there_nothing_else_is_changed(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    after = versions.with_line(text, versions.place(text))
    assert tomllib.loads(after) == {**document, "version": 1}
    assert versions.without_line(after, versions.place(text)) == text


def test_the_file_keeps_its_rights_and_its_owner(configuration: Path) -> None:
    if os.geteuid() == 0:
        os.chown(configuration, 0, 4711)
    before = configuration.stat()
    put(configuration, 3)
    assert configuration.read_text() == '# Ours.\n\nversion = 1\nsite = "x"\n'
    seen = configuration.stat()
    assert (stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid) == (0o640, before.st_uid, before.st_gid)
    put(configuration, 3, is_back=True)
    assert configuration.read_text() == '# Ours.\n\nsite = "x"\n'


def test_what_a_link_leads_to_is_written(configuration: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(configuration)
    put(link, 3)
    assert link.is_symlink()
    assert "version = 1\n" in configuration.read_text()


def test_a_file_that_was_changed_meanwhile_is_not_touched(configuration: Path) -> None:
    with pytest.raises(AssertionError, match="changed meanwhile"):
        put(configuration, 3, is_back=True)
    assert configuration.read_text() == '# Ours.\n\nsite = "x"\n'
