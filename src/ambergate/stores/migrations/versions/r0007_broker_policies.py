"""Release policies by id, and which key is under which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def _ascii(length: int | None = None) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make their two tables."""
    op.create_table(
        "broker_policies",
        sa.Column("id", _ascii(36), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("created_at", _ascii(), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
    )
    op.create_table(
        "broker_policy_uses",
        sa.Column("key_id", sa.String(36), primary_key=True),
        sa.Column("policy_id", _ascii(36), sa.ForeignKey("broker_policies.id"), nullable=False),
        sa.Column("since", _ascii(), nullable=False),
    )
    op.create_index("ix_broker_policy_uses_policy_id", "broker_policy_uses", ["policy_id"])
