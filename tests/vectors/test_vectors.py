"""Every vector gives the outcome that its index entry demands."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from tests.vectors.conftest import ABSENT, Vector, vectors

from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.quote import encode_quote, parse_quote
from ambergate.core.verify import Verifier, verify_quote
from ambergate.core.verify.anchors import INTEL_ROOT_KEY, INTEL_ROOTS
from ambergate.core.verify.signatures import is_signed

ALL = vectors()
GENUINE = [vector for vector in ALL if vector.ours["outcome"] == "genuine"]
REFUSED = [vector for vector in ALL if vector.ours["outcome"] == "refused"]

# The step that each cause in the index means.
STEP_OF_CAUSE = {
    "inter:InvalidSignature; leaf:ValueError": "2.4.intermediate_signature",
    "quote:InvalidSignature": "8.1.quote_signature",
    # The index says "attestation key is not a P-256 point"; it is one. It is the root certificate's key that is not.
    "attestation key is not a P-256 point": "2.1.pck_chain_format",
    "tcb-expired": "5.1.tcb_info_dates",
    "not-yet-issued": "5.1.tcb_info_dates",
    "tampered-tcb-status": "3.5.tcb_info_signature",
    "tampered-qe-identity": "4.5.qe_identity_signature",
    "tcb-sig-zero": "3.5.tcb_info_signature",
    "qe-sig-swapped-with-tcb-sig": "4.5.qe_identity_signature",
    "no TCB level matches": "9.1.tcb_level",
    "": "6.1.tcb_info_tee",  # neg-sgx-tcb-info-for-tdx-quote
    "fmspc-mismatch": "6.2.fmspc",
    "qe-identity-is-qe": "7.3.qe_identity_id",
    "qe-identity-is-td_qe": "7.3.qe_identity_id",
    "qe-identity-is-qve": "7.3.qe_identity_id",
    "crl-of-other-ca": "2.9.pck_crl_signature",
    "stale-pck-crl": "5.5.pck_crl_dates",
    "stale-root-crl": "5.4.root_crl_dates",
    "tampered-pck-crl-signature": "2.9.pck_crl_signature",
    "root-crl-missing": "2.6.root_crl_format",
    "tcb-chain-root-only": "3.1.tcb_chain_format",
    "tcb-chain-is-pck-ca-chain": "3.1.tcb_chain_format",
}

# A name in the index -> a field of our reports.
MEASUREMENTS = {
    "mrenclave": "mr_enclave", "mrsigner": "mr_signer", "isvprodid": "isv_prod_id", "isvsvn": "isv_svn",
    "report_data": "report_data", "mrtd": "mr_td", "mrseam": "mr_seam", "tee_tcb_svn": "tee_tcb_svn",
}  # fmt: skip


def test_the_vectors_are_there() -> None:
    if not ALL:
        pytest.skip(ABSENT)
    assert len(ALL) == 133


@pytest.mark.parametrize("vector", ALL, ids=lambda v: v.name)
def test_encode_is_the_inverse_of_parse(vector: Vector) -> None:
    assert encode_quote(parse_quote(vector.raw)) == vector.raw


@pytest.mark.parametrize("vector", GENUINE, ids=lambda v: v.name)
def test_genuine(vector: Vector) -> None:
    verified = verify_quote(parse_quote(vector.raw), vector.collateral, at=vector.at)
    assert verified.tcb_status.value == vector.ours["tcb_status"]
    assert sorted(verified.advisory_ids) == sorted(vector.ours["advisory_ids"])
    assert all(record.ok for record in verified.checks)
    assert verified.tee.name == vector.entry["tee"]
    seen = dataclasses.asdict(verified.report)
    for name, wanted in vector.entry["measurements"].items():
        if name in MEASUREMENTS:
            value = seen[MEASUREMENTS[name]]
            assert (value["value"].hex() if isinstance(value, dict) else value) == wanted


@pytest.mark.parametrize("vector", GENUINE, ids=lambda v: v.name)
def test_the_window_is_where_all_of_it_holds(vector: Vector) -> None:
    verified = verify_quote(parse_quote(vector.raw), vector.collateral, at=vector.at)
    for instant in (verified.window.not_before, verified.window.not_after):
        verify_quote(parse_quote(vector.raw), vector.collateral, at=instant)


@pytest.mark.parametrize("vector", GENUINE, ids=lambda v: v.name)
def test_a_verdict_from_memory_is_the_verdict(vector: Vector) -> None:
    verifier, collateral = Verifier(), vector.collateral
    fresh = verify_quote(parse_quote(vector.raw), collateral, at=vector.at)
    for _ in range(2):
        recalled = verifier.verify(vector.raw, collateral, at=vector.at)
        assert (recalled.tcb, recalled.platform, recalled.dates) == (fresh.tcb, fresh.platform, fresh.dates)
        assert (recalled.quote, recalled.checks) == (fresh.quote, fresh.checks)


@pytest.mark.parametrize("vector", REFUSED, ids=lambda v: v.name)
def test_refused_at_the_step_of_its_cause(vector: Vector) -> None:
    with pytest.raises(NotGenuine) as refusal:
        verify_quote(parse_quote(vector.raw), vector.collateral, at=vector.at)
    assert refusal.value.step == STEP_OF_CAUSE[vector.ours["because"]]


@pytest.mark.parametrize("vector", [v for v in ALL if v.ours["outcome"] == "parsed or malformed"], ids=lambda v: v.name)
def test_quotes_without_a_chain_are_refused_by_name(vector: Vector) -> None:
    """Two bring no chain at all, the third something that is no PEM."""
    quote = parse_quote(vector.raw)
    with pytest.raises(NotGenuine) as refusal:
        verify_quote(quote, GENUINE[0].collateral, at=GENUINE[0].at)
    chain = vector.entry["cert_data_type"] == 5
    assert refusal.value.step == ("2.1.pck_chain_format" if chain else "1.2.certification_data")


@pytest.mark.parametrize("vector", [GENUINE[0], GENUINE[-1]] if GENUINE else [], ids=lambda v: v.name)
def test_any_single_byte_change_is_refused(vector: Vector) -> None:
    """Every 13th byte of a genuine quote up to its certificate chain, changed, is refused."""
    raw = vector.raw
    for position in range(0, 1020, 13):
        changed = raw[:position] + bytes((raw[position] ^ 0x01,)) + raw[position + 1 :]
        with pytest.raises((NotGenuine, MalformedEvidence)):
            verify_quote(parse_quote(changed), vector.collateral, at=vector.at)


@pytest.mark.skipif(not GENUINE, reason=ABSENT)
def test_the_published_roots_hold_intels_key_and_signed_themselves() -> None:
    """Whoever brings one of these is not asked for its own signature: so it is checked here, of the genuine bytes."""
    found = {}
    for vector in GENUINE:
        for certificate in read_pem_chain(parse_quote(vector.raw).certification.data):
            if certificate.self_issued:
                found[hashlib.sha256(certificate.der).digest()] = certificate
        for certificate in read_pem_chain(vector.collateral.tcb_info_issuer_chain.encode()):
            if certificate.self_issued:
                found[hashlib.sha256(certificate.der).digest()] = certificate
    assert found.keys() == INTEL_ROOTS
    for root in found.values():
        assert root.point == INTEL_ROOT_KEY
        assert is_signed(root.public_key, root.signature, root.to_be_signed)
