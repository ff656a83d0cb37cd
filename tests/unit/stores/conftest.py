"""An audit log on each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.stores.audit_scene import SIGNER, Clock

from ambergate.stores.audit import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(engine: Engine, clock: Clock, tmp_path: Path) -> Iterator[AuditLog]:
    log = AuditLog(engine, SIGNER, now=clock, pin=tmp_path / "pin")
    yield log
    log.close()
