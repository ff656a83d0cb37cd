"""Signing keys with a life of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make their table. The service moves the keys that there are into it: that takes the key-encryption key."""

    def ascii_text(length: int) -> sa.types.TypeEngine[str]:
        return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")

    op.create_table(
        "signing_keys",
        sa.Column("id", ascii_text(96), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=True),
        sa.Column("published_at", ascii_text(32), nullable=False),
        sa.Column("active_from", ascii_text(32), nullable=True),
        sa.Column("lifetime", sa.Integer, nullable=False),
        sa.Column("revoked_at", ascii_text(32), nullable=True),
        sa.Column("reason", sa.String(32), nullable=True),
    )
