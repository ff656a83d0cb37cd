"""The service's own small PKI for tokens: root, signing CA, one RSA and one EC leaf, and the CRLs of both CAs.

The profile is the one that deployed clients check (wire protocol, sections 1.6 and 7.4): RSA-3072 with PKCS#1 v1.5
signatures throughout the chain, common names holding "Root CA" and "Signing CA", CRL distribution points on
intermediate and leaf, no extended key usage.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from ambergate.core.errors import SettingsError
from ambergate.core.token.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping

RSA_BITS: Final = 3072
ROOT_LIFETIME: Final = timedelta(days=27 * 365)
CA_LIFETIME: Final = timedelta(days=15 * 365)
LEAF_LIFETIME: Final = timedelta(days=5 * 365)  # the longest that the protocol's samples have
CRL_LIFETIME: Final = timedelta(days=30)
_SKEW: Final = timedelta(hours=1)  # how far a client's clock may be behind
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
class _Pair:
    key: PrivateKey
    certificate: x509.Certificate


class TokenPki:
    """Keys and certificates that sign tokens. Made by `make_material`, kept by the operator's store.

    Args:
        material: name -> DER, private keys as PKCS#8.

    Raises:
        SettingsError: something is missing or does not parse.
    """

    def __init__(self, material: Mapping[str, bytes]) -> None:
        try:
            pairs = {name: _read(material, name) for name in _NAMES}
        except (KeyError, ValueError, TypeError) as exc:
            raise SettingsError("the stored signing keys cannot be read", seen=type(exc).__name__) from exc
        self._root, self._ca = pairs["root"], pairs["ca"]
        self.rsa = self._signing_key(pairs["rsa"])
        self.ec = self._signing_key(pairs["ec"])

    def key_for(self, alg: str) -> SigningKey:
        """The key that signs with this algorithm.

        Raises:
            KeyError: none does.
        """
        for key in (self.rsa, self.ec):
            if alg in key.algorithms:
                return key
        raise KeyError(alg)

    def ec_key_set(self) -> dict[str, object]:
        """The EC key as JWKS, apart from the others: a deployed client refuses a whole set for one key without `n`."""
        return {"keys": self.ec.public_members()}

    def key_set(self) -> dict[str, object]:
        """The RSA key as JWKS, under PS384 and under RS256, with its chain."""
        return {"keys": self.rsa.public_members()}

    def root_crl(self, at: datetime) -> bytes:
        """The root's revocation list, DER, empty, good for `CRL_LIFETIME` from `at`."""
        return _crl(self._root, at)

    def ca_crl(self, at: datetime) -> bytes:
        """The signing CA's revocation list, DER, empty, good for `CRL_LIFETIME` from `at`."""
        return _crl(self._ca, at)

    def _signing_key(self, pair: _Pair) -> SigningKey:
        chain = tuple(
            c.public_bytes(Encoding.DER) for c in (pair.certificate, self._ca.certificate, self._root.certificate)
        )
        return SigningKey(hashlib.sha384(chain[0]).hexdigest(), pair.key, chain)


def make_material(base_url: str, at: datetime) -> dict[str, bytes]:
    """Fresh keys and certificates. Takes about a second: three RSA keys of 3072 bits.

    Args:
        base_url: where the revocation lists will be found; written into the certificates.
        at: now.
    """
    keys: dict[str, PrivateKey] = {name: rsa.generate_private_key(65537, RSA_BITS) for name in ("root", "ca", "rsa")}
    keys["ec"] = ec.generate_private_key(ec.SECP256R1())
    root_crl, ca_crl = base_url + ROOT_CRL_PATH, base_url + CA_CRL_PATH
    plans = (
        ("root", "root", ROOT_LIFETIME, None),
        ("ca", "root", CA_LIFETIME, root_crl),
        ("rsa", "ca", LEAF_LIFETIME, ca_crl),
        ("ec", "ca", LEAF_LIFETIME, ca_crl),
    )
    material: dict[str, bytes] = {}
    for name, issuer, lifetime, crl_url in plans:
        certificate = _certificate(keys, name, issuer, at=at, lifetime=lifetime, crl_url=crl_url)
        material[f"{name}.certificate"] = certificate.public_bytes(Encoding.DER)
        material[f"{name}.key"] = keys[name].private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return material


def _certificate(
    keys: Mapping[str, PrivateKey], name: str, issuer: str, *, at: datetime, lifetime: timedelta, crl_url: str | None
) -> x509.Certificate:
    is_ca = name in ("root", "ca")
    signer = keys[issuer]
    assert isinstance(signer, rsa.RSAPrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(_NAMES[name]))
        .issuer_name(_name(_NAMES[issuer]))
        .public_key(keys[name].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _SKEW)
        .not_valid_after(at + lifetime)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if name == "ca" else None), critical=True)
        .add_extension(_usage(is_ca=is_ca, rsa_leaf=name == "rsa"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[name].public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if crl_url is not None:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder.sign(signer, hashes.SHA512())


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


def _crl(issuer: _Pair, at: datetime) -> bytes:
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(at - _SKEW)
        .next_update(at + CRL_LIFETIME)
        .add_extension(x509.CRLNumber(int(at.timestamp())), critical=False)  # grows with time, as it must
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA512())
        .public_bytes(Encoding.DER)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ambergate"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _read(material: Mapping[str, bytes], name: str) -> _Pair:
    key = load_der_private_key(material[f"{name}.key"], None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        msg = f"{name} is of another kind"
        raise TypeError(msg)
    return _Pair(key, x509.load_der_x509_certificate(material[f"{name}.certificate"]))
