"""The path of an explanation: each link is about the certificate or statement that it names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_quote
from ambergate.core.verify.path import HOLDER, THE_PLATFORM, YOURS, path_of
from ambergate.core.verify.verdict import VerifiedQuote, Window
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.simulator.pki import Entity

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("path"))
PKI = PLATFORM.state.pki
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem, name="the anchor")


def verdict(tee: str) -> VerifiedQuote:
    sgx = tee == "SGX"
    raw = PLATFORM.quote(SPECIMEN, bytes(range(64))) if sgx else PLATFORM.td_quote(TD_SPECIMEN, bytes(range(64)))
    collateral = PLATFORM.collateral(at=AT) if sgx else PLATFORM.td_collateral(at=AT)
    return verify_quote(parse_quote(raw), collateral, at=AT, anchor=ANCHOR)


def of(entity: Entity) -> tuple[str, Window]:
    certificate = entity.certificate
    window = Window(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return f"{certificate.serial_number:x}", window


ROOT, CA, PCK, SIGNER = (
    "Simulated SGX Root CA",
    "Simulated SGX PCK Platform CA",
    "Simulated SGX PCK Certificate",
    "Simulated SGX TCB Signing",
)


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_who_vouches_for_what_and_for_how_long(tee: str) -> None:
    proven = verdict(tee)
    info, identity = (each.window for each in proven.dates[:2])
    subject = "the enclave's report" if tee == "SGX" else "the TD's report"
    assert [(link.by, link.of, link.word_of, link.serial, link.window) for link in path_of(proven)] == [
        ("you", "the anchor", YOURS, None, None),
        ("the anchor", ROOT, HOLDER, *of(PKI.root)),
        (ROOT, CA, HOLDER, *of(PKI.pck_ca)),
        (CA, PCK, HOLDER, *of(PKI.pck)),
        (ROOT, SIGNER, HOLDER, *of(PKI.tcb_signing)),
        (SIGNER, "TCB info", HOLDER, None, info),
        (ROOT, SIGNER, HOLDER, *of(PKI.tcb_signing)),
        (SIGNER, "QE identity", HOLDER, None, identity),
        ("PCK", "the quoting enclave's report", THE_PLATFORM, None, None),
        ("the quoting enclave's report", "the attestation key", THE_PLATFORM, None, None),
        ("the attestation key", subject, THE_PLATFORM, None, None),
    ]


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_each_link_rests_on_its_steps(tee: str) -> None:
    assert [link.steps for link in path_of(verdict(tee))] == [
        (),
        ("2.2.pck_chain_anchor", "2.3.root_signature"),
        ("2.4.intermediate_signature", "2.7.root_crl_signature", "2.10.intermediate_revoked"),
        ("2.5.pck_signature", "2.9.pck_crl_signature", "2.11.pck_revoked", "2.12.pck_extension"),
        ("3.2.tcb_chain_anchor", "3.3.tcb_chain_signature", "3.4.tcb_signing_revoked"),
        ("3.5.tcb_info_signature",),
        ("4.2.qe_chain_anchor", "4.3.qe_chain_signature", "4.4.qe_signing_revoked"),
        ("4.5.qe_identity_signature",),
        ("7.1.qe_report_signature", "7.6.qe_mrsigner", "7.7.qe_isvprodid"),
        ("7.2.attestation_key_binding",),
        ("8.1.quote_signature",),
    ]


def test_each_link_says_what_was_proven_by_its_values() -> None:
    proven = verdict("SGX")
    said = [link.says for link in path_of(proven)]
    report, qe = proven.enclave, proven.quote.qe_report
    assert proven.anchor.key.hex()[:16] in said[0]
    assert str(proven.platform.fmspc) in said[3]
    assert " ".join(map(str, proven.platform.components)) in said[3]
    assert f"PCE SVN {proven.platform.pce_svn}" in said[3]
    assert f"(evaluation {proven.tcb.evaluation_data_number})" in said[5]
    assert f"level is {proven.tcb.level.status.value}" in said[5]
    assert said[7].endswith(proven.tcb.qe_level.status.value)
    assert f"MRSIGNER {qe.mr_signer}, product {qe.isv_prod_id}, ISVSVN {qe.isv_svn}" in said[8]
    assert proven.quote.attestation_key.hex()[:16] in said[9]
    assert f"MRENCLAVE {report.mr_enclave}, MRSIGNER {report.mr_signer}" in said[10]
    assert report.report_data.hex()[:16] in said[10]


def turned(pem: str) -> str:
    """The certificates of a chain, the last one first."""
    end = "-----END CERTIFICATE-----\n"
    return "".join(block + end for block in pem.replace("\0", "").split(end)[-2::-1])


@pytest.mark.parametrize("around", ["", "no text that \ud800 bytes can be made of\n"])
def test_the_order_of_a_chain_and_what_stands_around_it_change_nothing(around: str) -> None:
    proven = verdict("SGX")
    quote, given = proven.quote, proven.collateral
    chain = turned(quote.certification.data.decode())
    assert chain.startswith(PKI.root.pem)
    collateral = replace(
        given,
        tcb_info_issuer_chain=around + turned(given.tcb_info_issuer_chain),
        qe_identity_issuer_chain=around + turned(given.qe_identity_issuer_chain),
    )
    quote = replace(quote, certification=replace(quote.certification, data=chain.encode()))
    other = verify_quote(quote, collateral, at=AT, anchor=ANCHOR)
    assert path_of(other) == path_of(proven)
    assert other.digests.tcb_info_chain != proven.digests.tcb_info_chain
