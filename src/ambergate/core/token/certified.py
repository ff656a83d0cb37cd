"""Keys that an issuer's signing root vouches for: certificate chains of a key set, and revocation lists.

Who serves a key set decides who is believed, unless a root that the relying party holds says more. With such a root
each key of the set must come with a chain to it (`x5c`, RFC 7517, 4.7), of certificates that hold, may sign what they
sign and are on no revocation list. A chain in a *token* is never looked at.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from ambergate.core.errors import MalformedToken
from ambergate.core.token.jose import KeySet, load_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

MAX_CHAIN: Final = 5  # certificates; the issuers of this protocol have 3
MAX_CERTIFICATE: Final = 8 * 1024  # bytes
MAX_CRL: Final = 1024 * 1024  # bytes
MAX_ROOTS: Final = 16
_CANNOT_READ: Final = (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension)


@dataclass(frozen=True, slots=True)
class CertifiedKeys:
    """Keys that a root vouches for, until an instant: then a certificate or a revocation list has ended."""

    keys: KeySet
    until: datetime


def read_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file, each of which can sign others.

    Raises:
        MalformedToken: none, too many, or one that cannot.
    """
    try:
        roots = x509.load_pem_x509_certificates(pem)
        authorities = [root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for root in roots]
    except _CANNOT_READ as exc:
        raise MalformedToken("the signing root cannot be read", seen=type(exc).__name__, wanted="PEM") from exc
    if not 1 <= len(roots) <= MAX_ROOTS or not all(authorities):
        raise MalformedToken("the signing root is no authority", seen=f"{len(roots)} certificates", wanted="CA: true")
    return tuple(roots)


def read_crl(data: bytes) -> x509.CertificateRevocationList:
    """A revocation list in DER or PEM. Who signed it is not looked at here.

    Raises:
        MalformedToken: it is none, or too long.
    """
    if len(data) > MAX_CRL:
        raise MalformedToken("the revocation list is too long", seen=f"{len(data)} bytes", wanted=f"<= {MAX_CRL}")
    try:
        load = x509.load_pem_x509_crl if data.lstrip().startswith(b"-----") else x509.load_der_x509_crl
        return load(data)
    except _CANNOT_READ as exc:
        raise MalformedToken("the revocation list cannot be read", seen=type(exc).__name__) from exc


def certified_keys(
    text: str,
    roots: Sequence[x509.Certificate],
    crls: Sequence[x509.CertificateRevocationList] | None,
    *,
    at: datetime,
) -> CertifiedKeys:
    """The keys of a JWKS that the roots vouch for at this instant.

    A revoked key is left out; any other that does not chain to a root spoils the set, since somebody put it there.

    Args:
        text: the JWKS.
        roots: from `read_roots`, held by the relying party.
        crls: revocation lists; each certificate below a root must be covered by one that holds. None: revocation is not
            looked at.
        at: the instant, aware.

    Raises:
        MalformedToken: no key set, or one with a key that the roots do not vouch for, or with revoked keys alone.
    """
    keys = KeySet.from_json(text)
    entries = load_object(text, "the key set")["keys"]
    assert isinstance(entries, list)
    revoked: set[str] = set()
    ends: list[datetime] = []
    for entry in entries:
        kid = str(entry["kid"])
        chain = _verified(kid, _chain(kid, entry.get("x5c")), roots, at)
        _check_leaf(kid, chain[0], entry)
        ends += [certificate.not_valid_after_utc for certificate in chain]
        for certificate, issuer in _pairs(chain):
            if crls is not None:
                crl = _covering(kid, issuer, crls, at)
                assert crl.next_update_utc is not None
                ends.append(crl.next_update_utc)
                if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                    revoked.add(kid)
    good = keys.without(revoked)
    if not good.kids:
        raise MalformedToken("all keys of the set are revoked", seen=", ".join(sorted(revoked))[:200])
    return CertifiedKeys(good, min(ends))


def _chain(kid: str, x5c: object) -> list[x509.Certificate]:
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= MAX_CHAIN:
        raise MalformedToken("a key has no certificate chain", seen=kid, wanted=f"x5c, 1 to {MAX_CHAIN} certificates")
    try:
        ders = [base64.b64decode(item, validate=True) for item in x5c]
        if max(map(len, ders)) > MAX_CERTIFICATE:
            raise MalformedToken("a certificate is too long", seen=kid, wanted=f"<= {MAX_CERTIFICATE} bytes")
        return [x509.load_der_x509_certificate(der) for der in ders]
    except (*_CANNOT_READ, binascii.Error) as exc:
        raise MalformedToken("a certificate cannot be read", seen=kid, wanted="base64 of DER") from exc


def _verified(
    kid: str, chain: list[x509.Certificate], roots: Sequence[x509.Certificate], at: datetime
) -> Sequence[x509.Certificate]:
    """The chain up to a root: names, signatures, dates, and that only authorities sign (RFC 5280, 6)."""
    # What issues tokens has no host name and no extended usage: at a leaf's own usage `_check_leaf` looks.
    builder = PolicyBuilder().store(Store(list(roots))).time(at).max_chain_depth(MAX_CHAIN)
    builder = builder.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    try:
        return builder.build_client_verifier().verify(chain[0], chain[1:]).chain
    except (VerificationError, *_CANNOT_READ) as exc:
        seen, hint = f"{kid}: {exc}"[:200], "is the signing root this issuer's, and does its chain hold?"
        raise MalformedToken("the signing root does not vouch for a key", seen=seen, hint=hint) from exc


def _check_leaf(kid: str, leaf: x509.Certificate, entry: dict[str, object]) -> None:
    """It is for signatures, signs no certificates, and is of the very key that the set names."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = [e.value for e in leaf.extensions if isinstance(e.value, x509.BasicConstraints)]
    except _CANNOT_READ as exc:
        raise MalformedToken("a key's certificate does not say what it is for", seen=kid, wanted="key usage") from exc
    if not usage.digital_signature or usage.key_cert_sign or any(each.ca for each in constraints):
        raise MalformedToken("a key's certificate is not for signatures", seen=kid, wanted="digitalSignature, no CA")
    if _numbers(leaf) != _told(entry):
        raise MalformedToken("a key is another than its certificate's", seen=kid)


def _numbers(leaf: x509.Certificate) -> tuple[int, int] | None:
    public = leaf.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return numbers.n, numbers.e
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        point = public.public_numbers()
        return point.x, point.y
    return None


def _told(entry: dict[str, object]) -> tuple[int, int]:
    """`KeySet.from_json` has read these members already."""
    first, second = (_number(str(entry[name])) for name in (("n", "e") if entry["kty"] == "RSA" else ("x", "y")))
    return first, second


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def _pairs(chain: Sequence[x509.Certificate]) -> Iterator[tuple[x509.Certificate, x509.Certificate]]:
    """Each certificate below the root, and who issued it."""
    return itertools.pairwise(chain)


def _covering(
    kid: str, issuer: x509.Certificate, crls: Sequence[x509.CertificateRevocationList], at: datetime
) -> x509.CertificateRevocationList:
    """A list that this issuer signed and that holds."""
    for crl in crls:
        begins, ends = crl.last_update_utc, crl.next_update_utc
        if crl.issuer == issuer.subject and ends is not None and begins <= at < ends and _signed(crl, issuer):
            return crl
    wanted = f"one of {issuer.subject.rfc4514_string()} that holds at {at.isoformat()}"
    raise MalformedToken("no revocation list covers a key's chain", seen=kid, wanted=wanted)


def _signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    public = issuer.public_key()
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.crl_sign and crl.is_signature_valid(public)
    except _CANNOT_READ:
        return False
