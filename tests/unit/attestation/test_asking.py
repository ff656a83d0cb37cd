"""Whom the service asks for collateral about: platforms that a root's holder certified, and no other."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.collateral.needs import needs_of
from ambergate.core.errors import NotGenuine
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.services.attestation.evidence import Evidence
from ambergate.services.attestation.nonces import Nonces
from ambergate.services.attestation.pki import TokenPki, make_material
from ambergate.services.attestation.ports import ANYBODY
from ambergate.services.attestation.usecase import Attestation, Issuer, Trust
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.pki import pem_chain
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc
    from ambergate.services.attestation.decision import Decision

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("asking"))
FORGER = SimulatedPlatform.create(at=AT, random=stream("asking for more"))
LIFETIME = timedelta(seconds=300)
BOUND = hashlib.sha256(b"data").digest() + bytes(32)


class Counting:
    """A source that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        self.asked.append(f"{tee} {fmspc} {ca}")
        return PLATFORM.collateral(at=AT)


class Kept:
    """A log that notes what was decided."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def record(self, decision: Decision, /) -> None:
        self.decisions.append(decision)


def service(source: Counting) -> Attestation:
    return Attestation(
        roots=[Trust(anchor=TrustAnchor.from_pem(PLATFORM.root_pem), collateral=source, simulated=True)],
        policy=AppraisalPolicy(),
        nonces=Nonces(bytes(32), lifetime=LIFETIME, token_bytes=stream("nonces")),
        keys=TokenPki(make_material("https://attest.example", AT)),
        audit=Kept(),
        issuer=Issuer(
            base_url="https://attest.example", instance_id=UUID(int=1), token_lifetime=LIFETIME, new_id=uuid4
        ),
    )


def attest(attestation: Attestation, raw: bytes) -> str:
    evidence = Evidence(quote=raw, nonce=None, runtime_data=b"data", policy_ids=(), algorithm="ES256")
    return attestation.attest(evidence, ANYBODY, at=AT)


def forged() -> bytes:
    """A forger's own platform and CA, behind them the root that the service believes: that one is public."""
    quote = parse_quote(FORGER.quote(SPECIMEN, BOUND))
    pki = FORGER.state.pki
    data = pem_chain(pki.pck, pki.pck_ca, PLATFORM.state.pki.root).encode()
    return encode_quote(replace(quote, certification=replace(quote.certification, data=data)))


def test_a_forged_chain_makes_nobody_be_asked() -> None:
    source = Counting()
    attestation = service(source)
    raw = forged()
    assert needs_of(parse_quote(raw)).root_key == TrustAnchor.from_pem(PLATFORM.root_pem).key
    for _ in range(2):  # and it is not remembered as one that may be asked for
        with pytest.raises(NotGenuine) as refusal:
            attest(attestation, raw)
        assert refusal.value.step == "2.4.intermediate_signature"
    assert source.asked == []


def test_a_certificate_that_the_ca_did_not_sign_makes_nobody_be_asked() -> None:
    source = Counting()
    quote = parse_quote(FORGER.quote(SPECIMEN, BOUND))
    data = pem_chain(FORGER.state.pki.pck, PLATFORM.state.pki.pck_ca, PLATFORM.state.pki.root).encode()
    raw = encode_quote(replace(quote, certification=replace(quote.certification, data=data)))
    with pytest.raises(NotGenuine) as refusal:
        attest(service(source), raw)
    assert refusal.value.step == "2.5.pck_signature"
    assert source.asked == []


def test_of_a_platform_that_was_certified_the_source_is_asked() -> None:
    source = Counting()
    attestation = service(source)
    for _ in range(2):
        assert attest(attestation, PLATFORM.quote(SPECIMEN, BOUND)).count(".") == 2
    assert source.asked == [f"SGX {PLATFORM.fmspc} {PLATFORM.ca}"] * 2
