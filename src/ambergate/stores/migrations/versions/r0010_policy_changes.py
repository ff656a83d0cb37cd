"""Changes of release policies that wait for their owners."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def _ascii(length: int | None = None) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "broker_policy_changes",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("key_id", sa.String(36), nullable=False),
        sa.Column("before", sa.String(64), nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("approvals", sa.Text, nullable=False),
        sa.Column("expires_at", _ascii(), nullable=False),
        sa.Column("proposed_by", sa.String(255), nullable=False),
        sa.Column("proposed_at", _ascii(), nullable=False),
    )
    op.create_index("ix_broker_policy_changes_expires_at", "broker_policy_changes", ["expires_at"])
