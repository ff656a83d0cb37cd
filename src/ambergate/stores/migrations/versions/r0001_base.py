"""The tables as they were when migrations began.

Databases from before then hold those of one service, and a table of versions which said 1 of each.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_DOCUMENTS = ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")


def _ascii(length: int | None = None) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make what is missing."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("created_at", _ascii(), nullable=False),
        sa.Column("revoked_at", _ascii(), nullable=True),
        if_not_exists=True,
    )
    op.create_table(
        "signing_material",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "collateral",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("accepted_at", sa.String(32), nullable=False),
        *(sa.Column(f"{name}_number", _ascii(40), nullable=False) for name in _DOCUMENTS),
        *(sa.Column(f"{name}_issued", _ascii(20), nullable=False) for name in _DOCUMENTS),
        if_not_exists=True,
    )
    _platforms_seen()
    op.create_table(
        "broker_secrets",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created_at", _ascii(), nullable=False),
        if_not_exists=True,
    )
    op.drop_table("schema_versions", if_exists=True)


def _platforms_seen() -> None:
    op.create_table(
        "platforms_seen",
        sa.Column("id", sa.LargeBinary(32), primary_key=True),
        sa.Column("anchor", sa.LargeBinary(32), nullable=False),
        sa.Column("tee", sa.String(3), nullable=False),
        sa.Column("fmspc", sa.LargeBinary(6), nullable=False),
        sa.Column("ca", sa.String(9), nullable=False),
        sa.Column("pce_id", sa.LargeBinary(2), nullable=False),
        sa.Column("components", sa.LargeBinary(16), nullable=False),
        sa.Column("pce_svn", sa.Integer, nullable=False),
        sa.Column("qe_isv_svn", sa.Integer, nullable=False),
        sa.Column("tee_tcb_svn", sa.LargeBinary(16), nullable=True),
        sa.Column("tee_tcb_svn2", sa.LargeBinary(16), nullable=True),
        sa.Column("first_seen", _ascii(27), nullable=False),
        sa.Column("last_seen", _ascii(27), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_platforms_seen_last_seen", "platforms_seen", ["last_seen"], if_not_exists=True)
