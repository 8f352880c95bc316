"""Branches of revisions, judged beside Alembic itself: where the database is right for a release, and where it is not."""

from __future__ import annotations

import io
import itertools
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from msgspec.structs import replace
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from samaops.collect.release import migrations
from samaops.facts.release import Migration
from samaops.site.way_back import Verdict, WayBack
from tests.unit.changes import test_release_plans as releases

ENV = """
from alembic import context
with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
# By their names: what comes before, what it depends on, its label. a is one line, b another, m joins both.
GRAPH = {
    "a1": ("None", "None", "'line_a'"),
    "a2": ("'a1'", "None", "None"),
    "a3": ("'a2'", "None", "None"),
    "b1": ("None", "None", "('line_b',)"),
    "b2": ("'b1'", "None", "None"),
    "m": ("('a2', 'b2')", "None", "None"),
    "x3": ("'a2'", "None", "None"),  # beside a3, of the same line
    "d3": ("'a2'", "'b2'", "None"),
    "l2": ("'a1'", "'line_b'", "None"),
}
IMAGES = (
    ("a1",), ("a1", "a2"), ("a1", "a2", "a3"), ("a1", "a2", "x3"), ("a1", "b1"), ("a1", "a2", "b1", "b2"),
    ("a1", "a2", "b1", "b2", "m"), ("a1", "a2", "b1", "b2", "d3"), ("a1", "b1", "l2"), ("b1", "b2"),
)  # fmt: skip


def text_of(name: str) -> str:
    parents, depends_on, labels = GRAPH[name]
    return (
        f"revision = {name!r}\ndown_revision = {parents}\ndepends_on = {depends_on}\nbranch_labels = {labels}\n"
        "from alembic import op\n"
        f"def upgrade():\n    op.execute('CREATE TABLE {name} (x int)')\n"
        f"def downgrade():\n    op.execute('DROP TABLE {name}')\n"
    )


def read(*names: str) -> tuple[Migration, ...]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name in names:
            entry, text = tarfile.TarInfo(f"versions/{name}.py"), text_of(name).encode()
            entry.size = len(text)
            opened.addfile(entry, io.BytesIO(text))
    return migrations.read(buffer.getvalue())


class RealAlembic:
    """Alembic with the revisions of an image, over one database in memory."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._database = directory, directory / "database"

    def of(self, *names: str, copy: str = "") -> Config:
        place = self._directory / "-".join(names)
        if not place.exists():
            (place / "versions").mkdir(parents=True)
            (place / "env.py").write_text(ENV)
            for name in names:
                (place / "versions" / f"{name}.py").write_text(text_of(name))
        config = Config(stdout=io.StringIO(), attributes={"engine": self._engine(copy)})
        config.set_main_option("script_location", str(place))
        config.set_main_option("path_separator", "os")
        return config

    def _engine(self, copy: str = "") -> Engine:
        return create_engine(f"sqlite:///{self._database}{copy}", poolclass=NullPool)

    def upgrade(self, names: tuple[str, ...], *to: str) -> tuple[str, ...]:
        """Bring the database to these revisions, or to all heads; return the rows of its table."""
        for revision in to or ("heads",):
            command.upgrade(self.of(*names), revision)
        return self.rows()

    def rows(self, copy: str = "") -> tuple[str, ...]:
        with self._engine(copy).connect() as connection:
            return tuple(sorted(MigrationContext.configure(connection).get_current_heads()))

    def finds_nothing_to_do(self, *names: str) -> bool:
        """Return whether `alembic upgrade heads` of an image leaves the database as it is, and does not fail."""
        shutil.copy(self._database, f"{self._database}.copy")
        try:
            command.upgrade(self.of(*names, copy=".copy"), "heads")
        except CommandError:
            return False
        return self.rows(".copy") == self.rows()


def way(images: Mapping[str, tuple[str, ...]], live: tuple[str, ...], **rules: Any) -> WayBack:
    """Return the way back from what runs to OLD, with the revisions of each."""
    entries = tuple(
        releases.entry(releases.recorded(image, "v", *read(*names)), at)
        for at, (image, names) in enumerate(images.items(), 1)
    )
    facts = replace(releases.KEPT, entries=entries)
    return releases.way(
        *releases.running(),
        releases.server("api", facts),
        releases.server("workers", facts),
        releases.database(*live),
        **rules,
    )


@pytest.mark.parametrize("running", IMAGES, ids="-".join)
def test_the_code_alone_is_enough_exactly_where_alembic_finds_nothing_to_do(
    running: tuple[str, ...], tmp_path: Path
) -> None:
    alembic = RealAlembic(tmp_path)
    rows = alembic.upgrade(running)
    for target in IMAGES:
        verdict = way({releases.OLD: target, releases.NEW: running}, rows).verdict
        assert (verdict is Verdict.CODE_ONLY) == alembic.finds_nothing_to_do(*target), (rows, target)
        if verdict is Verdict.NEEDS_DOWNGRADE:
            assert len(rows) == 1, (rows, target)
            (head,) = releases.recorded(releases.OLD, "v", *read(*target)).heads
            command.downgrade(
                alembic.of(*running), f"{rows[0]}:{head}", sql=True
            )  # what is asked of it is written
        bears = way({releases.OLD: target, releases.NEW: running}, rows, tolerates_additions=True).verdict
        # Whatever old code bears: what it needs must be there.
        assert bears is not Verdict.CODE_ONLY or set(target) <= set(running), (rows, target)


def test_a_branch_that_was_left_behind_is_not_passed_over(tmp_path: Path) -> None:
    both = ("a1", "a2", "b1", "b2")
    rows = RealAlembic(tmp_path).upgrade(both, "a2", "b1")
    assert rows == ("a2", "b1")
    found = way({releases.OLD: both, releases.NEW: (*both, "m")}, rows)
    assert found.verdict is Verdict.IMPOSSIBLE
    assert "wants it at a2; b2" in found.reason


@pytest.mark.parametrize(
    ("running", "rows", "target", "reason"),
    [
        (("a1", "a2", "b1", "b2"), ("a2", "b2"), ("a1", "a2"), "several heads (a2; b2 to a2)"),
        (("a1", "a2", "b1", "b2", "m"), ("m",), ("a1", "a2", "b1", "b2"), "several heads (m to a2; b2)"),
        (("a1", "a2", "b1", "b2", "m"), ("m",), ("a1", "a2"), "b1; m joins branches"),
        (("a1", "a2", "a3"), ("a3",), ("a1", "a2", "x3"), "wants it at x3, of another branch"),
    ],
)
def test_a_way_down_that_the_tool_does_not_write_is_a_restore(
    running: tuple[str, ...], rows: tuple[str, ...], target: tuple[str, ...], reason: str
) -> None:
    found = way({releases.OLD: target, releases.NEW: running}, rows)
    assert (found.verdict, reason in found.reason) == (Verdict.NEEDS_RESTORE, True), found.reason


def test_what_another_branch_brought_is_seen_through_a_dependency() -> None:
    images = {releases.OLD: ("a1", "a2"), releases.NEW: ("a1", "a2", "b1", "b2", "d3")}
    assert set(way(images, ("d3",)).between) == {"d3", "b2", "b1"}
    destructive = way(images, ("d3",), compatible=("d3", "b2"), tolerates_additions=False)
    assert destructive.verdict is not Verdict.CODE_ONLY, "b1 was judged by nobody"


def test_a_table_that_alembic_would_not_write_is_not_judged() -> None:
    found = way({releases.OLD: ("a1", "a2"), releases.NEW: ("a1", "a2", "a3")}, ("a1", "a2"))
    assert found.verdict is Verdict.UNKNOWN
    assert "contradicts itself" in found.reason


def test_a_revision_before_it_that_is_not_written_out_is_one_that_nobody_knows() -> None:
    text = "revision = 'b'\ndown_revision = (PARENT, 'a')\ndepends_on = f'{x}'\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        entry = tarfile.TarInfo("b.py")
        entry.size = len(text)
        opened.addfile(entry, io.BytesIO(text.encode()))
    (found,) = migrations.read(buffer.getvalue())
    assert found.parents == ("PARENT", "a")
    assert found.depends_on == ("f'{x}'",)


def test_a_backup_suits_a_release_at_all_its_heads_alone() -> None:
    both = releases.recorded(releases.OLD, "v", *read("a1", "a2", "b1", "b2"))
    for rows in itertools.chain.from_iterable(itertools.combinations(("a1", "a2", "b1", "b2", "m"), n) for n in range(4)):  # fmt: skip
        assert both.runs_with(rows) == ({"a2", "b2"} <= set(rows) <= {"a1", "a2", "b1", "b2"}), rows
