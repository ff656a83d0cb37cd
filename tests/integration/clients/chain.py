"""Certificates, revocation lists and signatures as clients check them: `cryptography` and `PyJWT`, nothing of ours."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from datetime import datetime

# PyJWT reads the clock of the machine; the tests turn the service's. Times are checked by each client's own rule.
TIMELESS: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


def certificates(entry: dict[str, Any], most: int = 10) -> list[x509.Certificate]:
    """The `x5c` of a key, standard base64 of DER."""
    texts = entry["x5c"]
    assert 0 < len(texts) <= most
    return [x509.load_der_x509_certificate(b64decode(text, validate=True)) for text in texts]


def name_of(name: x509.Name) -> str:
    """The common name."""
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def by_name(chain: list[x509.Certificate]) -> tuple[x509.Certificate, x509.Certificate, x509.Certificate]:
    """Leaf, intermediate, root, by the words in their names: the order of the array says nothing."""
    root = leaf = intermediate = None
    for each in chain:
        subject, issuer = name_of(each.subject), name_of(each.issuer)
        if subject == issuer and "Root CA" in subject:
            root = each
        elif "Signing CA" in subject:
            assert subject != issuer
            intermediate = each
        else:
            leaf = each
    assert leaf is not None
    assert intermediate is not None
    assert root is not None
    return leaf, intermediate, root


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """An RSA signature by PKCS#1 v1.5, and nothing else."""
    key, algorithm = issuer.public_key(), certificate.signature_hash_algorithm
    assert isinstance(key, rsa.RSAPublicKey)
    assert algorithm is not None
    key.verify(certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)


def list_address(certificate: x509.Certificate) -> str:
    """The first address of the first distribution point."""
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    names = points[0].full_name
    assert names
    return str(names[0].value)


def not_revoked(certificate: x509.Certificate, issuer: x509.Certificate, der: bytes, at: datetime) -> None:
    """The list is DER, its issuer's, in date, and does not name the certificate."""
    found = x509.load_der_x509_crl(der)
    key = issuer.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert found.is_signature_valid(key)
    assert found.issuer == issuer.subject
    assert found.next_update_utc is not None
    assert found.next_update_utc > at
    assert found.get_revoked_certificate_by_serial_number(certificate.serial_number) is None


def decoded(token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:  # noqa: ANN401  what PyJWT takes
    """The claims of a token that this key signed. PyJWT refuses `aud`, and ids that are no text."""
    return dict(jwt.decode(token, key, algorithms=algorithms, options=TIMELESS))


def in_time(claims: dict[str, Any], at: datetime) -> None:
    """exp, nbf and iat without any leeway."""
    now = at.timestamp()
    assert now < claims["exp"]
    assert claims["iat"] <= now
    assert claims["nbf"] <= now
