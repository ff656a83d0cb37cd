"""Versions of the broker's keys, and version keys.

The step moves nothing: what is sealed in `broker_secrets` can be read only with the key-encryption key. The store
does that when it is opened next.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Say what each key is, and make the two tables."""
    text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    with op.batch_alter_table("broker_secrets") as table:
        table.add_column(sa.Column("algorithm", sa.String(8), nullable=False, server_default="OPAQUE"))
        table.add_column(sa.Column("bits", sa.Integer, nullable=True))
        table.add_column(sa.Column("curve", sa.String(16), nullable=True))
        table.add_column(sa.Column("manager", sa.String(64), nullable=False, server_default="built-in"))
        table.add_column(sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.create_table(
        "broker_secret_versions",
        sa.Column("secret_id", sa.String(36), sa.ForeignKey("broker_secrets.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version_key", sa.String(36), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.Column("changed_at", text, nullable=True),
    )
    op.create_table(
        "broker_version_keys",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=True),
        sa.Column("created_at", text, nullable=False),
        sa.Column("destroyed_at", text, nullable=True),
    )
