"""Customers' telephone numbers are kept elsewhere."""

from __future__ import annotations

from alembic import op

revision = "c95e3b1f40a7"
down_revision = "7d02f5e6a81b"


def upgrade() -> None:
    """Drop the column: what stood in it is in the backups alone, so there is no way down."""
    op.drop_column("users", "phone")
