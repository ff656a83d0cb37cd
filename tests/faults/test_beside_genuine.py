"""Forgeries beside what Intel really signed: the first check that meets a forgery must not be the only one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.simulator.oracle import ask

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.errors import NotGenuine
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.verify import TrustAnchor, Verifier
from ambergate.simulator.faults import SPECIMEN

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.simulator.platform import SimulatedPlatform


@dataclass(frozen=True, slots=True)
class Genuine:
    """A quote of real hardware, its collateral, and an instant at which it verifies."""

    raw: bytes
    collateral: Collateral
    at: datetime
    status: str


@pytest.fixture(scope="module")
def genuine(vectors: Path) -> Genuine:
    index = json.loads((vectors / "index.json").read_text())
    vector = next(v for v in index if v["tee"] == "SGX" and v["ours"].get("outcome") == "genuine" and v["collateral"])
    return Genuine(
        raw=(vectors / f"{vector['name']}.quote").read_bytes(),
        collateral=Collateral.from_json((vectors / vector["collateral"]).read_text()),
        at=datetime.fromisoformat(vector["verify_at"]),
        status=vector["ours"]["tcb_status"],
    )


def _refused_at(raw: bytes, collateral: Collateral, at: datetime, anchor: TrustAnchor | None = None) -> str:
    """The step at which we refuse."""
    with pytest.raises(NotGenuine) as caught:
        Verifier(anchor=anchor).verify(raw, collateral, at=at)
    return caught.value.step


def test_the_genuine_one_is_genuine(genuine: Genuine) -> None:
    verified = Verifier().verify(genuine.raw, genuine.collateral, at=genuine.at)
    assert verified.tcb_status.value == genuine.status
    assert ask(genuine.raw, genuine.collateral, at=genuine.at, root_pem=None).status == genuine.status


def test_a_forged_quote_gains_nothing_from_genuine_collateral(genuine: Genuine, platform: SimulatedPlatform) -> None:
    raw = platform.quote(SPECIMEN, bytes(64))
    assert _refused_at(raw, genuine.collateral, genuine.at) == "2.2.pck_chain_anchor"
    assert ask(raw, genuine.collateral, at=genuine.at, root_pem=None).status is None


def test_a_forged_quote_gains_nothing_from_a_genuine_chain(genuine: Genuine, platform: SimulatedPlatform) -> None:
    """All of it Intel's but the signatures that only the hardware can make."""
    forged = parse_quote(platform.quote(SPECIMEN, bytes(64)))
    raw = encode_quote(replace(forged, certification=parse_quote(genuine.raw).certification))
    assert _refused_at(raw, genuine.collateral, genuine.at) == "7.1.qe_report_signature"
    assert ask(raw, genuine.collateral, at=genuine.at, root_pem=None).status is None


def test_a_forged_quote_gains_nothing_from_a_genuine_quoting_enclave(
    genuine: Genuine, platform: SimulatedPlatform
) -> None:
    """The QE report, its signature and the chain are Intel's; the attestation key is the forger's."""
    forged, real = parse_quote(platform.quote(SPECIMEN, bytes(64))), parse_quote(genuine.raw)
    mixed = replace(real, header=forged.header, body=forged.body, signature=forged.signature)
    rebound = replace(mixed, attestation_key=forged.attestation_key)
    assert _refused_at(encode_quote(mixed), genuine.collateral, genuine.at) == "8.1.quote_signature"
    assert _refused_at(encode_quote(rebound), genuine.collateral, genuine.at) == "7.2.attestation_key_binding"
    for raw in (encode_quote(mixed), encode_quote(rebound)):
        assert ask(raw, genuine.collateral, at=genuine.at, root_pem=None).status is None


def test_a_genuine_quote_is_nobody_elses(genuine: Genuine, platform: SimulatedPlatform) -> None:
    anchor = TrustAnchor.from_pem(platform.root_pem)
    assert _refused_at(genuine.raw, genuine.collateral, genuine.at, anchor) == "2.2.pck_chain_anchor"
    assert ask(genuine.raw, genuine.collateral, at=genuine.at, root_pem=platform.root_pem).status is None


TCB_INFO: Final = ("tcb_info", "tcb_info_signature")
QE_IDENTITY: Final = ("qe_identity", "qe_identity_signature")


@pytest.mark.parametrize(
    ("members", "step"),
    [
        (("root_ca_crl",), "2.7.root_crl_signature"),
        (("pck_crl",), "2.9.pck_crl_signature"),
        (("tcb_info_issuer_chain",), "3.2.tcb_chain_anchor"),
        (("tcb_info_issuer_chain", *TCB_INFO), "3.2.tcb_chain_anchor"),
        (TCB_INFO, "3.5.tcb_info_signature"),
        (("qe_identity_issuer_chain",), "4.2.qe_chain_anchor"),
        (("qe_identity_issuer_chain", *QE_IDENTITY), "4.2.qe_chain_anchor"),
        (QE_IDENTITY, "4.5.qe_identity_signature"),
    ],
)
def test_every_forged_part_of_the_collateral_is_refused(
    genuine: Genuine, platform: SimulatedPlatform, members: tuple[str, ...], step: str
) -> None:
    forged = platform.collateral(at=genuine.at)
    mixed = replace(genuine.collateral, **{member: getattr(forged, member) for member in members})
    assert _refused_at(genuine.raw, mixed, genuine.at) == step
    assert ask(genuine.raw, mixed, at=genuine.at, root_pem=None).status is None
