"""Terms of API keys, and named policies. Keys from before attest, without an end, and set nothing."""

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
        "changes",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.bulk_insert(changes, [{"kind": "api keys", "number": 1}])
    _policies()


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("attestation_type", sa.String(64), nullable=False),
        sa.Column("service_offer_id", sa.String(36), nullable=True),
        sa.Column("created_at", _ascii(), nullable=False),
        sa.Column("created_by", sa.String(36), nullable=True),
        sa.Column("deleted_at", _ascii(), nullable=True),
        sa.Column("deleted_by", sa.String(36), nullable=True),
        sa.Column("changed", sa.Integer, nullable=False),
    )
    op.create_index("ix_policies_changed", "policies", ["changed"])
    op.create_table(
        "policy_versions",
        sa.Column("policy_id", sa.String(36), sa.ForeignKey("policies.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary(48), nullable=False),
        sa.Column("jwt", sa.Text, nullable=True),
        sa.Column("signer", sa.LargeBinary(32), nullable=True),
        sa.Column("made_at", _ascii(), nullable=False),
        sa.Column("made_by", sa.String(36), nullable=True),
    )
