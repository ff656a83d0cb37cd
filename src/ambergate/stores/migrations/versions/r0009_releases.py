"""How often each of the key broker's secrets was released."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make its table."""
    op.create_table(
        "broker_releases",
        sa.Column("secret_id", sa.String(36), primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
