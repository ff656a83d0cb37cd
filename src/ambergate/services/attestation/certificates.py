"""Certificates and revocation lists of the service's own small PKI for tokens: root, signing CA, RSA and EC leaves.

The profile is the one that deployed clients check (wire protocol, sections 1.6 and 7.4): RSA-3072 with PKCS#1 v1.5
signatures throughout the chain, common names holding "Root CA" and "Signing CA", CRL distribution points on
intermediate and leaf, no extended key usage.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

RSA_BITS: Final = 3072
ROOT_LIFETIME: Final = timedelta(days=27 * 365)
CA_LIFETIME: Final = timedelta(days=15 * 365)
LEAF_LIFETIME: Final = timedelta(days=5 * 365)  # the longest that the protocol's samples have
LIFETIMES: Final = {"root": ROOT_LIFETIME, "ca": CA_LIFETIME, "rsa": LEAF_LIFETIME, "ec": LEAF_LIFETIME}
CRL_LIFETIME: Final = timedelta(days=30)
SKEW: Final = timedelta(hours=1)  # how far a client's clock may be behind
ROOT_CRL_PATH: Final = "/crl/root-ca-crl.der"
CA_CRL_PATH: Final = "/crl/ats-ca-crl.der"
_NAMES: Final = {
    "root": "ambergate Token Root CA",
    "ca": "ambergate Token Signing CA",
    "rsa": "ambergate Attestation Token RSA",
    "ec": "ambergate Attestation Token EC",
}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others, and its key."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class Revocation:
    """One line of a revocation list."""

    certificate: bytes
    at: datetime
    reason: str


def new_key(kind: str) -> PrivateKey:
    """A fresh key for a certificate of this kind. RSA takes about a third of a second."""
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, RSA_BITS)


def read_key(private: bytes) -> PrivateKey:
    """The key in this PKCS#8, which was made here and came back out of its seal.

    Its numbers are not proven to be an RSA key's again: that takes a tenth of a second, and the seal says that they are
    those that were made.

    Raises:
        ValueError, TypeError: there is none of a kind that is used here.
    """
    key = load_der_private_key(private, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        msg = "a key of another kind"
        raise TypeError(msg)
    return key


def certify(kind: str, key: PrivateKey, issuer: Authority | None, *, at: datetime, base_url: str) -> bytes:
    """A certificate for this key, DER. It does not outlive its issuer's.

    Args:
        kind: "root", "ca", "rsa" or "ec".
        key: whose public half is certified.
        issuer: who signs; None: the key itself.
        at: now.
        base_url: where revocation lists are found.
    """
    signer = key if issuer is None else issuer.key
    assert isinstance(signer, rsa.RSAPrivateKey)
    is_ca = kind in ("root", "ca")
    ends = at + LIFETIMES[kind]
    if issuer is not None:
        ends = min(ends, issuer.certificate.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(_NAMES[kind]))
        .issuer_name(_name(_NAMES[kind]) if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - SKEW)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if kind == "ca" else None), critical=True)
        .add_extension(_usage(is_ca=is_ca, rsa_leaf=kind == "rsa"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer is not None:
        crl_url = base_url + (ROOT_CRL_PATH if kind == "ca" else CA_CRL_PATH)
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder.sign(signer, hashes.SHA512()).public_bytes(Encoding.DER)


def revocation_list(issuer: Authority, revoked: Iterable[Revocation], at: datetime) -> bytes:
    """The issuer's revocation list, DER, good for `CRL_LIFETIME` from `at`."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(at - SKEW)
        .next_update(at + CRL_LIFETIME)
        # Microseconds: it grows with time on every node, as it must, and from one revocation to the next.
        .add_extension(x509.CRLNumber(int(at.timestamp() * 1_000_000)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for each in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(x509.load_der_x509_certificate(each.certificate).serial_number)
            .revocation_date(each.at)
            .add_extension(x509.CRLReason(x509.ReasonFlags(each.reason)), critical=False)
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA512()).public_bytes(Encoding.DER)


def issued_by(certificate: bytes, issuer: Authority) -> bool:
    """Whether this authority's key has signed it, whichever of the authority's certificates was in force then."""
    try:
        issuer.key.public_key().verify(
            (read := x509.load_der_x509_certificate(certificate)).signature,
            read.tbs_certificate_bytes,
            padding.PKCS1v15(),
            hashes.SHA512(),
        )
    except InvalidSignature:
        return False
    return True


def digest(certificate: bytes) -> str:
    """What names a certificate here; a leaf's is the `kid` of its tokens (wire protocol, section 1.6)."""
    return hashlib.sha384(certificate).hexdigest()


@functools.lru_cache(256)
def ends_at(certificate: bytes) -> datetime:
    """The last instant at which it is valid.

    Raises:
        ValueError: it is no certificate.
    """
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def _usage(*, is_ca: bool, rsa_leaf: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=rsa_leaf,
        data_encipherment=rsa_leaf,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ambergate"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
