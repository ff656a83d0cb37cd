from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.simulator.stream import stream

from ambergate.simulator.platform import SimulatedPlatform

_PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def at() -> datetime:
    return datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


@pytest.fixture(scope="session", params=["platform", "processor"])
def platform(request: pytest.FixtureRequest, at: datetime) -> SimulatedPlatform:
    """A platform under each of the two CAs."""
    return SimulatedPlatform.create(at=at, random=stream(f"faults {request.param}"), ca=str(request.param))


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The directory of genuine quotes and collateral, which is no part of the project."""
    directory = Path(os.environ.get("AMBER_VECTORS", _PROJECT / ".." / "shared" / "vectors"))
    if not (directory / "index.json").is_file():
        pytest.skip(f"no attestation vectors in {directory}; set AMBER_VECTORS")
    return directory
