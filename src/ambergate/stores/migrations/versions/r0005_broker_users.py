"""The key broker's users, and who failed to log in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _ascii(length: int | None = None) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make their two tables."""
    op.create_table(
        "broker_users",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("username", _ascii(255), nullable=False, unique=True),
        sa.Column("password", sa.String(512), nullable=False),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created_at", _ascii(), nullable=False),
        sa.Column("updated_at", _ascii(), nullable=False),
    )
    op.create_table(
        "broker_login_failures",
        sa.Column("who", sa.LargeBinary(32), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", _ascii(), nullable=False),
    )
    op.create_index("ix_broker_login_failures_last_at", "broker_login_failures", ["last_at"])
