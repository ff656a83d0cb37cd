"""dcap-qvl takes the simulator for a genuine platform under the simulator's root, and under no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.oracle import ask

from ambergate.core.collateral.tcb_info import DOCUMENTED, TcbStatus
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.documents import ADVISORIES

if TYPE_CHECKING:
    from ambergate.simulator.platform import SimulatedPlatform

ENCLAVE = EnclaveIdentity.of_program([b"program"])


@pytest.mark.parametrize("ca", ["platform", "processor"])
@pytest.mark.parametrize("status", [each for each in DOCUMENTED.values() if each is not TcbStatus.REVOKED])
def test_it_accepts_every_status_under_the_simulated_root(
    platform: SimulatedPlatform, processor_platform: SimulatedPlatform, at: datetime, status: TcbStatus, ca: str
) -> None:
    chosen = platform if ca == "platform" else processor_platform
    raw, collateral = chosen.quote(ENCLAVE, bytes(64)), chosen.collateral(at=at, status=status)
    opinion = ask(raw, collateral, at=at, root_pem=chosen.root_pem)
    assert (opinion.status, opinion.refusal) == (status.value, None)
    assert opinion.advisory_ids == ADVISORIES[status]


def test_it_refuses_a_revoked_level(platform: SimulatedPlatform, at: datetime) -> None:
    collateral = platform.collateral(at=at, status=TcbStatus.REVOKED)
    opinion = ask(platform.quote(ENCLAVE, bytes(64)), collateral, at=at, root_pem=platform.root_pem)
    assert "Revoked" in str(opinion.refusal)


def test_it_refuses_the_simulator_under_intels_root(platform: SimulatedPlatform, at: datetime) -> None:
    opinion = ask(platform.quote(ENCLAVE, bytes(64)), platform.collateral(at=at), at=at, root_pem=None)
    assert opinion.status is None


def test_it_refuses_one_simulator_under_anothers_root(
    platform: SimulatedPlatform, processor_platform: SimulatedPlatform, at: datetime
) -> None:
    raw, collateral = platform.quote(ENCLAVE, bytes(64)), platform.collateral(at=at)
    assert ask(raw, collateral, at=at, root_pem=processor_platform.root_pem).status is None


@pytest.mark.parametrize(
    ("after", "accepted"),
    [
        (timedelta(minutes=-59), True),
        (timedelta(days=29), True),
        (timedelta(hours=-2), False),
        (timedelta(days=31), False),
    ],
)
def test_collateral_holds_for_its_month(
    platform: SimulatedPlatform, at: datetime, after: timedelta, *, accepted: bool
) -> None:
    raw, collateral = platform.quote(ENCLAVE, bytes(64)), platform.collateral(at=at)
    opinion = ask(raw, collateral, at=at + after, root_pem=platform.root_pem)
    assert (opinion.status == "UpToDate") is accepted


def test_years_later_the_platform_still_publishes(platform: SimulatedPlatform, at: datetime) -> None:
    later = at + timedelta(days=5 * 365)
    raw, collateral = platform.quote(ENCLAVE, bytes(64)), platform.collateral(at=later)
    assert ask(raw, collateral, at=later, root_pem=platform.root_pem).status == "UpToDate"


def test_the_first_component_decides(platform: SimulatedPlatform, at: datetime) -> None:
    """The levels are real ones: without the platform's own, the next lower one speaks of it."""
    published = platform.publication(at=at)
    info = replace(published.tcb_info, levels=published.tcb_info.levels[1:])
    raw, collateral = platform.quote(ENCLAVE, bytes(64)), replace(published, tcb_info=info).collateral()
    assert ask(raw, collateral, at=at, root_pem=platform.root_pem).status == "OutOfDate"
