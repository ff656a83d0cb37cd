"""An audit log, filled, reopened and looked at."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from ambergate.stores.audit import AuditLog
from ambergate.stores.audit_check import check_whole
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import reading

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
SIGNER = CheckpointSigner("attest.example/audit/v1", bytes(range(32)))


ROOTLESS = SIGNER.signed(0, b"", at=AT)


class Clock:
    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        return self.at


def reopened(engine: Engine, pin: Path | None = None, signer: CheckpointSigner = SIGNER) -> AuditLog:
    return AuditLog(engine, signer, now=Clock(), pin=pin)


def faults(engine: Engine, *checkpoints: str) -> list[str]:
    with reading(engine) as connection:
        return check_whole(connection, SIGNER.key, checkpoints).faults


def filled(log: AuditLog, count: int) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda jti: log.append({"verdict": "issued", "jti": str(jti)}, jti=jti), ids))
    return ids
