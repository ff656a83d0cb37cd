"""Policies that are merely there, under ids of a test's choice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import insert

from ambergate.stores.tables import policies
from ambergate.stores.transactions import writing

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine


def with_policies(engine: Engine, *ids: UUID) -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    common = {"kind": "Appraisal policy", "version": 1, "attestation_type": "", "created_at": made, "changed": 0}
    with writing(engine) as connection:
        connection.execute(
            insert(policies), [{"id": str(each), "name": f"policy-{each}"[:64], **common} for each in ids]
        )
