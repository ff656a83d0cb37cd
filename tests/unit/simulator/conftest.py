from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream

from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def at() -> datetime:
    return datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


@pytest.fixture
def random() -> Callable[[int], bytes]:
    return stream("fixture")


@pytest.fixture(scope="session")
def platform(at: datetime) -> SimulatedPlatform:
    return SimulatedPlatform.create(at=at, random=stream("platform"))


@pytest.fixture(scope="session")
def processor_platform(at: datetime) -> SimulatedPlatform:
    return SimulatedPlatform.create(at=at, random=stream("processor"), ca="processor")
