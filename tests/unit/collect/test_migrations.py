"""Alembic's revisions are read from their text: none of it is run."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from samaops.collect.release import migrations
from samaops.facts.release import Migration, heads_of
from samaops.lab.release import releases

VERSIONS = Path(releases.__file__).parent / "migrations" / "versions"


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"versions/{name}.py")
            entry.size = len(text.encode())
            opened.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def read(text: str) -> Migration:
    (migration,) = migrations.read(archive(one=text))
    return migration


def test_the_revisions_of_the_lab_are_what_they_are() -> None:
    found = migrations.read(archive(**{path.stem: path.read_text() for path in VERSIONS.glob("*.py")}))
    assert found == (
        Migration("1a4e7c20b9d3", (), adds_only=True, has_downgrade=False),
        Migration("7d02f5e6a81b", ("1a4e7c20b9d3",), adds_only=True, has_downgrade=True),
        Migration("c95e3b1f40a7", ("7d02f5e6a81b",), adds_only=False, has_downgrade=False),
    )
    assert heads_of(found) == {"c95e3b1f40a7"}


@pytest.mark.parametrize(
    "upgrade",
    [
        "op.drop_column('users', 'phone')",
        "op.alter_column('users', 'phone', nullable=False)",
        "op.add_column('users', sa.Column('x', sa.Text(), nullable=False))",
        "op.create_unique_constraint('u', 'users', ['phone'])",
        "op.create_index('i', 'users', ['phone'], unique=True)",
        "op.execute('ALTER TABLE users RENAME phone TO mobile')",
        "op.execute('UPDATE users SET phone = 1')",
        "op.rename_table('users', 'people')",
        "helper()",
    ],
)
def test_what_old_code_may_stumble_over_is_no_mere_addition(upgrade: str) -> None:
    text = f"revision = 'b'\ndown_revision = 'a'\ndef upgrade():\n    '''Drops nothing.'''\n    {upgrade}\n"
    assert read(text).adds_only is False


@pytest.mark.parametrize(
    ("downgrade", "expected"),
    [
        ("def downgrade():\n    op.drop_table('x')", True),
        ("def downgrade():\n    '''There is none.'''\n    pass", False),
        ("def downgrade():\n    raise NotImplementedError", False),
        ("", False),
    ],
)
def test_a_way_down_is_one_that_does_something(downgrade: str, expected: bool) -> None:
    text = f"revision: str = 'b'\ndown_revision: str | None = 'a'\ndef upgrade():\n    op.create_table('x')\n{downgrade}\n"
    assert read(text) == Migration("b", ("a",), adds_only=True, has_downgrade=expected)


def test_a_merge_has_two_parents() -> None:
    assert read("revision = 'm'\ndown_revision = ('a', 'b')\n").parents == ("a", "b")


def test_nothing_of_the_image_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    text = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nrevision = 'a'\ndown_revision = None\n"
    assert read(text).revision == "a"
    assert not mark.exists()


@pytest.mark.parametrize("spoiled", [b"", b"no archive at all", archive(one="revision = 'a'\ndef (")])
def test_what_cannot_be_read_says_so(spoiled: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        migrations.read(spoiled)


def test_other_files_are_left_alone() -> None:
    assert migrations.read(archive(__init__="", helpers="VALUE = 1\n")) == ()
