"""Anchors: which certificates become one, and which certificates they know as their own root."""

from __future__ import annotations

from base64 import encodebytes
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.collateral.written import Written
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.certificates import Certificate, read_certificate
from ambergate.core.errors import MalformedCollateral
from ambergate.core.verify import TrustAnchor
from ambergate.core.verify.anchors import INTEL_ROOT_KEY, INTEL_ROOTS
from ambergate.simulator.keys import make_key
from ambergate.simulator.pki import Entity, root_template, self_signed, tcb_signing_template

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
RANDOM = stream("anchors")
KEY = make_key(RANDOM)
ROOT = self_signed(root_template(AT, RANDOM), KEY)


def pem_of(data: bytes, label: str = "CERTIFICATE") -> str:
    return f"-----BEGIN {label}-----\n{encodebytes(data).decode()}-----END {label}-----\n"


def der_of(entity: Entity) -> bytes:
    return entity.certificate.public_bytes(Encoding.DER)


def test_a_root_in_text_or_bytes() -> None:
    anchor = TrustAnchor.from_pem(ROOT.pem)
    point = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert anchor.key == point[1:]
    assert anchor == TrustAnchor.from_pem(ROOT.pem.encode())
    assert anchor.name == ROOT.certificate.subject.rfc4514_string()
    assert TrustAnchor.from_pem(ROOT.pem, name="ours").name == "ours"
    assert not anchor.is_intel


def test_intels() -> None:
    anchor = TrustAnchor.intel()
    assert anchor.is_intel
    assert anchor.key == INTEL_ROOT_KEY
    assert anchor.roots == INTEL_ROOTS
    assert anchor.name == "Intel SGX Root CA"


@pytest.mark.parametrize("pem", ["", "no PEM", pem_of(b"\x30\x00"), pem_of(der_of(ROOT), "X509 CRL")])
def test_what_is_no_certificate(pem: str) -> None:
    with pytest.raises(MalformedCollateral, match="not a PEM certificate"):
        TrustAnchor.from_pem(pem)


@pytest.mark.parametrize(
    "key",
    [ec.derive_private_key(5, ec.SECP384R1()), ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))],
    ids=["P-384", "Ed25519"],
)
def test_a_key_of_another_kind(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(MalformedCollateral, match="not P-256"):
        TrustAnchor.from_pem(pem_of(Written(key=info).der()))


def test_an_anchor_knows_its_own_root() -> None:
    anchor = TrustAnchor.from_pem(ROOT.pem)
    root = anchor.get(der_of(ROOT))
    assert root == read_certificate(der_of(ROOT))
    assert anchor.get(der_of(ROOT)) is root  # read once


def test_an_anchor_is_its_key_and_name() -> None:
    """Not the certificate that it was read from, and not what it has read since."""
    anchor, same = TrustAnchor.from_pem(ROOT.pem), TrustAnchor.from_pem(ROOT.pem)
    renewed = TrustAnchor.from_pem(self_signed(root_template(AT, RANDOM), KEY).pem)
    assert anchor.get(der_of(ROOT)) is not None
    assert anchor == same == renewed
    assert len({anchor, same, renewed}) == 1
    assert anchor != TrustAnchor.from_pem(self_signed(root_template(AT, RANDOM), make_key(RANDOM)).pem)
    assert repr(anchor) == f"TrustAnchor(key={anchor.key!r}, name={anchor.name!r})"
    with pytest.raises(TypeError):  # nobody says what it has read
        TrustAnchor(anchor.key, "", frozenset(), {})  # type: ignore[call-arg]
    assert repr(anchor) == repr(same)


def test_an_anchor_knows_no_other_certificate() -> None:
    anchor = TrustAnchor.from_pem(ROOT.pem)
    same_key = self_signed(root_template(AT, RANDOM), KEY)  # self-signed too, and nobody has looked yet
    other = self_signed(root_template(AT, RANDOM), make_key(RANDOM))
    for each in (same_key, other, ROOT.issue(tcb_signing_template(AT, RANDOM), KEY)):
        assert anchor.get(der_of(each)) is None
    assert TrustAnchor.intel().get(der_of(ROOT)) is None


def roots_of(data: bytes) -> tuple[frozenset[bytes], Certificate | None]:
    anchor = TrustAnchor.from_pem(pem_of(data))
    return anchor.roots, anchor.get(data)


def test_a_certificate_that_did_not_sign_itself_is_an_anchor_and_no_root() -> None:
    """Its key is trusted, as the caller says; what it says of itself is looked at wherever it is brought."""
    data = der_of(ROOT)
    another_signature = data[:-1] + bytes((data[-1] ^ 1,))
    by_another = self_signed(root_template(AT, RANDOM), make_key(RANDOM)).issue(root_template(AT, RANDOM), KEY)
    another_name = ROOT.issue(replace(root_template(AT, RANDOM), name="Another SGX Root CA"), KEY)
    without_extensions = Written(
        key=KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), extensions=None, version=b""
    ).der()
    for each in (another_signature, der_of(by_another), der_of(another_name), without_extensions):
        assert roots_of(each) == (frozenset(), None)
        assert TrustAnchor.from_pem(pem_of(each)).key == TrustAnchor.from_pem(ROOT.pem).key
    assert roots_of(data)[1] == read_certificate(data)
