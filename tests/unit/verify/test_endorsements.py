"""`verify_collateral`: a bundle judged without a quote, by the steps that a quote's verification would take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import NotGenuine
from ambergate.core.verify import TrustAnchor, verify_collateral
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=["platform", "processor"])
def platform(request: pytest.FixtureRequest) -> SimulatedPlatform:
    return SimulatedPlatform.create(at=AT, ca=request.param)


@pytest.fixture(scope="module")
def collateral(platform: SimulatedPlatform) -> Collateral:
    return platform.collateral(at=AT)


@pytest.fixture(scope="module")
def anchor(platform: SimulatedPlatform) -> TrustAnchor:
    return TrustAnchor.from_pem(platform.root_pem)


def test_says_what_the_bundle_is_and_how_long_it_holds(
    platform: SimulatedPlatform, collateral: Collateral, anchor: TrustAnchor
) -> None:
    verified = verify_collateral(collateral, at=AT, anchor=anchor)
    assert verified.ca == platform.state.pki.ca
    assert verified.tcb_info.fmspc == platform.state.hardware.fmspc
    assert verified.qe_identity.kind == "QE"
    assert verified.window.not_before <= AT <= verified.window.not_after
    assert verified.earliest_expiry.window.not_after == verified.window.not_after
    assert all(record.ok for record in verified.checks)


def test_another_root(collateral: Collateral) -> None:
    with pytest.raises(NotGenuine) as refusal:
        verify_collateral(collateral, at=AT)
    assert refusal.value.step == "2.2.pck_chain_anchor"


def test_a_second_after_the_earliest_expiry(collateral: Collateral, anchor: TrustAnchor) -> None:
    verified = verify_collateral(collateral, at=AT, anchor=anchor)
    last = verified.window.not_after
    assert verify_collateral(collateral, at=last, anchor=anchor).window == verified.window
    with pytest.raises(NotGenuine) as refusal:
        verify_collateral(collateral, at=last + timedelta(seconds=1), anchor=anchor)
    assert refusal.value.step == verified.earliest_expiry.step


@pytest.mark.parametrize(
    ("chain", "word"),
    [("", "0 BEGIN"), ("tcb_info_issuer_chain", "TCB Signing")],
)
def test_an_issuer_chain_that_is_none(collateral: Collateral, anchor: TrustAnchor, chain: str, word: str) -> None:
    wrong = replace(collateral, pck_crl_issuer_chain=getattr(collateral, chain) if chain else "")
    with pytest.raises(NotGenuine) as refusal:
        verify_collateral(wrong, at=AT, anchor=anchor)
    assert refusal.value.step == "2.1.pck_chain_format"
    assert word in str(refusal.value.seen)


def test_the_other_cas_list_under_this_cas_chain(anchor: TrustAnchor, platform: SimulatedPlatform) -> None:
    other = SimulatedPlatform.create(at=AT, ca="processor" if platform.state.pki.ca == "platform" else "platform")
    mixed = replace(platform.collateral(at=AT), pck_crl=other.collateral(at=AT).pck_crl)
    with pytest.raises(NotGenuine) as refusal:
        verify_collateral(mixed, at=AT, anchor=anchor)
    assert refusal.value.step == "2.9.pck_crl_signature"


def test_an_instant_without_a_time_zone(collateral: Collateral) -> None:
    with pytest.raises(ValueError, match="time zone"):
        verify_collateral(collateral, at=AT.replace(tzinfo=None))
