"""Keys are found by what they are without reading all of them."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Index them."""
    op.create_index("ix_broker_secrets_algorithm", "broker_secrets", ["algorithm", "id"])
    op.create_index("ix_broker_secrets_kind", "broker_secrets", ["algorithm", "bits", "id"])
