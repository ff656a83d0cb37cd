"""The platform's own collateral service on a real socket, by the system's clock."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.integration.collateral.site import PLATFORM, Site

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.simulator.pcs import Shelf, SimulatedPcs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def pcs(site: Site) -> Iterator[SimulatedPcs]:
    """Its early set says that the platform is out of date."""
    shelf = Shelf(
        PLATFORM,
        now=lambda: datetime.now(UTC),
        random=secrets.token_bytes,
        early_status=TcbStatus.OUT_OF_DATE,
    )
    with SimulatedPcs(shelf) as server:
        (site.folder / "tls.pem").write_text(server.ca_pem)
        yield server
