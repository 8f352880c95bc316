"""By which channel a notification is sent: nothing stands for a push, as before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "7d02f5e6a81b"
down_revision = "1a4e7c20b9d3"


def upgrade() -> None:
    """Add the column; who does not know it writes none."""
    op.add_column("notifications", sa.Column("channel", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take the column out again, with what was written in it."""
    op.drop_column("notifications", "channel")
