"""What to fetch for a quote, and quotes that do not say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.needs import needs_of
from ambergate.core.errors import MalformedCollateral, MalformedEvidence
from ambergate.core.quote import Quote, parse_quote
from ambergate.core.quote.layout import Certification
from ambergate.core.verify import TrustAnchor
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("needs"), ca="platform")
QUOTE = parse_quote(PLATFORM.quote(SPECIMEN, bytes(64)))
PKI = PLATFORM.state.pki


def bringing(*blocks: str, kind: int = 5) -> Quote:
    return replace(QUOTE, certification=Certification(kind=kind, data="".join(blocks).encode()))


@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_what_a_quote_needs(ca: str) -> None:
    platform = SimulatedPlatform.create(at=AT, random=stream(f"needs {ca}"), ca=ca)
    anchor = TrustAnchor.from_pem(platform.root_pem)
    for raw, tee in (
        (platform.quote(SPECIMEN, bytes(64)), "SGX"),
        (platform.td_quote(TD_SPECIMEN, bytes(64), version=4), "TDX"),
    ):
        needs = needs_of(parse_quote(raw))
        assert (needs.ca, needs.tee) == (ca, tee)
        assert needs.fmspc == platform.state.hardware.fmspc
        assert needs.root_key == anchor.key


@pytest.mark.parametrize("kind", [1, 4])
def test_a_quote_without_a_chain(kind: int) -> None:
    with pytest.raises(MalformedEvidence, match="does not bring") as refusal:
        needs_of(bringing(PKI.pck.pem, PKI.root.pem, kind=kind))
    assert str(kind) in str(refusal.value.seen)


def test_a_chain_without_platform_or_root() -> None:
    for blocks in ((PKI.root.pem,), (PKI.platform_ca.pem, PKI.root.pem), (PKI.pck.pem, PKI.platform_ca.pem)):
        with pytest.raises(MalformedEvidence, match="no PCK certificate and root") as refusal:
            needs_of(bringing(*blocks))
        assert "Simulated SGX" in str(refusal.value.seen)


def test_a_chain_that_does_not_parse() -> None:
    with pytest.raises(MalformedCollateral):
        needs_of(bringing("no chain"))


def test_the_root_is_the_last_that_names_itself() -> None:
    """A PCK certificate that another one issued bears its issuer's name."""
    other = SimulatedPlatform.create(at=AT, random=stream("needs other")).state.pki.root
    needs = needs_of(bringing(PKI.pck.pem, other.pem, PKI.root.pem))
    assert needs.root_key == TrustAnchor.from_pem(PLATFORM.root_pem).key
