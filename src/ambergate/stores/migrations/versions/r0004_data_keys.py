"""Data keys, wrapped by the key-encryption key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make their table. The first is made by who opens the database with its key-encryption key."""
    hexadecimal = sa.String(16).with_variant(sa.String(16, collation="C"), "postgresql")
    op.create_table(
        "data_keys",
        sa.Column("id", hexadecimal, primary_key=True),
        sa.Column("kek", hexadecimal, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
    )
