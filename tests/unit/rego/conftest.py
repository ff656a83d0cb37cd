"""One engine for all tests of a process that need no short deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ambergate.rego.engine import RegoEngine
from ambergate.rego.pool import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENT = Limits(seconds=60, cpu_seconds=30)  # the machine may be busy with other tests


@pytest.fixture(scope="session")
def engine() -> Iterator[RegoEngine]:
    with RegoEngine(workers=1, limits=PATIENT) as opened:
        yield opened
