"""The tables of SamaConso, as they were when Alembic was brought in."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "1a4e7c20b9d3"
down_revision = None


def upgrade() -> None:
    """Create what is missing: older databases have these tables already."""
    op.execute((Path(__file__).parents[1] / "schema.sql").read_text(encoding="utf-8"))
