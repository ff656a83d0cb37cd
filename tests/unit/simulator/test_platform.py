from __future__ import annotations

import hashlib
import time
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.errors import SettingsError
from ambergate.core.quote.codec import encode_quote, parse_quote, signed_region
from ambergate.core.quote.report import write_enclave_report
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.evidence import SimulatedEvidenceSource
from ambergate.simulator.platform import SimulatedPlatform

ENCLAVE = EnclaveIdentity.of_program([b"program"], isv_svn=2)
REPORT_DATA = bytes(range(64))


def _verify(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> None:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def _public(key: object) -> ec.EllipticCurvePublicKey:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def test_a_quote_parses_and_encodes_to_the_same_bytes(platform: SimulatedPlatform) -> None:
    raw = platform.quote(ENCLAVE, REPORT_DATA)
    quote = parse_quote(raw)
    assert encode_quote(quote) == raw
    assert quote.trailing == b""
    assert quote.enclave.mr_enclave == ENCLAVE.mr_enclave
    assert quote.body.report_data.value == REPORT_DATA
    assert quote.certification.kind == 5
    assert len(quote.qe_auth_data) == 32


def test_a_quotes_signatures_and_bindings_hold(platform: SimulatedPlatform) -> None:
    quote = parse_quote(platform.quote(ENCLAVE, REPORT_DATA))
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
    _verify(point, quote.signature, signed_region(quote))
    leaf, intermediate, root = x509.load_pem_x509_certificates(quote.certification.data.rstrip(b"\0"))
    _verify(_public(leaf.public_key()), quote.qe_report_signature, write_enclave_report(quote.qe_report))
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    bound = hashlib.sha256(quote.attestation_key + quote.qe_auth_data).digest()
    assert quote.qe_report.report_data.value == bound + bytes(32)


def test_the_cpusvn_holds_the_components(platform: SimulatedPlatform) -> None:
    hardware = platform.state.hardware
    assert hardware.cpu_svn.value == bytes(hardware.components)
    assert parse_quote(platform.quote(ENCLAVE, REPORT_DATA)).enclave.cpu_svn == hardware.cpu_svn


def test_collateral_survives_its_json_and_is_signed_anew(platform: SimulatedPlatform, at: datetime) -> None:
    collateral = platform.collateral(at=at)
    assert Collateral.from_json(collateral.to_json()) == collateral
    signer, root = x509.load_pem_x509_certificates(collateral.tcb_info_issuer_chain.encode())
    assert root.subject == x509.load_pem_x509_certificate(platform.root_pem.encode()).subject
    key = _public(signer.public_key())
    _verify(key, bytes.fromhex(collateral.tcb_info_signature), collateral.tcb_info.encode())
    _verify(key, bytes.fromhex(collateral.qe_identity_signature), collateral.qe_identity.encode())
    later = platform.collateral(at=at + timedelta(days=100))
    assert later.tcb_info != collateral.tcb_info
    assert later.tcb_info_issuer_chain == collateral.tcb_info_issuer_chain


def test_the_same_randomness_makes_the_same_platform(at: datetime) -> None:
    first, same, other = (SimulatedPlatform.create(at=at, random=stream(seed)) for seed in ("a", "a", "b"))
    assert first.fmspc == same.fmspc
    assert first.state.attestation_key.private_numbers() == same.state.attestation_key.private_numbers()
    assert first.fmspc != other.fmspc


def test_two_platforms_share_no_secret(at: datetime) -> None:
    first, second = (SimulatedPlatform.create(at=at) for _ in range(2))
    assert first.root_pem != second.root_pem
    assert first.state.hardware.ppid != second.state.hardware.ppid
    assert first.state.attestation_key.private_numbers() != second.state.attestation_key.private_numbers()


@pytest.mark.parametrize("size", [0, 63, 65])
def test_report_data_of_another_length_is_refused(platform: SimulatedPlatform, size: int) -> None:
    with pytest.raises(SettingsError) as caught:
        SimulatedEvidenceSource(platform, ENCLAVE).quote(bytes(size))
    assert caught.value.seen == f"{size} bytes"


def test_an_unknown_ca_is_refused(at: datetime) -> None:
    with pytest.raises(SettingsError, match="no such CA"):
        SimulatedPlatform.create(at=at, ca="root")


def test_the_evidence_source_quotes_its_enclave(platform: SimulatedPlatform) -> None:
    source = SimulatedEvidenceSource(platform, ENCLAVE)
    quote = parse_quote(source.quote(REPORT_DATA))
    assert source.tee == quote.tee.name == "SGX"
    assert quote.enclave.mr_enclave == ENCLAVE.mr_enclave
    assert quote.enclave.isv_svn == 2


def test_a_platform_is_made_quickly(at: datetime) -> None:
    """Tests make platforms of their own; the best of five is free of the machine's other load."""
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        SimulatedPlatform.create(at=at)
        durations.append(time.perf_counter() - started)
    assert min(durations) < 0.1
