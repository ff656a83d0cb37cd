"""Terms of API keys. Keys from before attest, without an end, and set nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _ascii(length: int | None = None) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Add columns, and the number of the latest change."""
    with op.batch_alter_table("api_keys") as table:
        table.add_column(sa.Column("expires_at", _ascii(), nullable=True))
        table.add_column(sa.Column("scopes", sa.String(64), nullable=False, server_default="attest"))
        table.add_column(sa.Column("policy_ids", sa.Text, nullable=False, server_default="[]"))
        table.add_column(sa.Column("policy_must_match", sa.Boolean, nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("default_algorithm", sa.String(16), nullable=True))
        table.add_column(sa.Column("profile", sa.String(32), nullable=True))
        table.add_column(sa.Column("rate", sa.Float, nullable=True))
        table.add_column(sa.Column("burst", sa.Integer, nullable=True))
        table.add_column(sa.Column("replaces", sa.String(36), nullable=True))
        table.add_column(sa.Column("changed", sa.Integer, nullable=False, server_default="1"))
    op.create_index("ix_api_keys_changed", "api_keys", ["changed"])
    changes = op.create_table(
        "api_key_changes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.bulk_insert(changes, [{"id": 1, "number": 1}])
