"""Signed policies: a policy's text in a JWT, as the command line of this protocol wraps it (wire protocol, 5.4).

The one claim `AttestationPolicy` is the text, or the text in base64, as an older tool wrote it. The header names the
algorithm and holds the signer's certificate in `x5c`; `alg` none with an empty signature says that nobody signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from ambergate.core.appraise.named import text_bytes
from ambergate.core.errors import MalformedPolicy, MalformedToken
from ambergate.core.token.jose import MAX_RSA_BITS, MAX_TOKEN, MIN_RSA_BITS, take_apart

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

CLAIM: Final = "AttestationPolicy"
UNSIGNED: Final = "none"
ALGORITHMS: Final = ("PS384", "RS256", "PS256", "RS384")
MAX_JWT: Final = MAX_TOKEN  # characters; 20,480 bytes in base64 twice, and a certificate, are below it
MAX_CERTIFICATE: Final = 8 * 1024  # bytes of DER; one with a key of 8192 bits has about 3,000


class _Registry(jws.JWSRegistry):
    max_header_length = MAX_TOKEN  # 512 bytes hold no `x5c`; the whole is bounded already


_REGISTRIES: Final = {alg: _Registry(algorithms=[alg], strict_check_header=False) for alg in ALGORITHMS}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyText:
    """A policy's text, and who signed it.

    Attributes:
        text: the policy.
        jwt: what it came in; None: it came as it is.
        signer: SHA-256 of the public key (DER, SubjectPublicKeyInfo) that signed it; None: nobody did.
    """

    text: str
    jwt: str | None = None
    signer: bytes | None = None


def read_policy_text(text: str, *, at: datetime) -> PolicyText:
    """The policy in a text that may be a JWT.

    Proves of a signed one that the key in the certificate which it brings signed these words. Does not prove whose
    certificate that is: nothing is looked for above it. Compare `signer` with the keys that are trusted.

    Args:
        text: a policy, or a JWT that holds one. A policy is never taken for a JWT: that is one word with two dots.
        at: now, aware: the certificate must be good.

    Raises:
        MalformedPolicy: a JWT that is none, with other claims, of another algorithm, or whose signature does not hold.
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        msg = "`at` must say its time zone"
        raise ValueError(msg)
    token = text.strip()
    if not _looks_like_jwt(token):
        text_bytes(text)
        return PolicyText(text=text)
    try:
        header, payload = take_apart(token)
    except MalformedToken as exc:
        raise _bad(exc.message, seen=exc.seen, wanted=exc.wanted) from exc
    if set(payload) != {CLAIM} or not isinstance(payload[CLAIM], str):
        raise _bad("the policy's JWT has other claims", seen=sorted(payload)[:4], wanted=f"{CLAIM} alone, text")
    signer = _signer(token, header, at)
    return PolicyText(text=_plain(str(payload[CLAIM])), jwt=token, signer=signer)


def signer_of(certificate: bytes) -> bytes:
    """What `PolicyText.signer` is for policies that the key in this certificate (PEM or DER) signed.

    Raises:
        MalformedPolicy: no certificate, or of a key that signs no policies.
    """
    return _fingerprint(_rsa_key(_certificate(certificate)))


def _looks_like_jwt(text: str) -> bool:
    return text.startswith("eyJ") and text.count(".") == 2 and len(text.split()) == 1


def _signer(token: str, header: Mapping[str, object], at: datetime) -> bytes | None:
    alg, x5c = header.get("alg"), header.get("x5c")
    if alg == UNSIGNED:
        if not token.endswith(".") or x5c is not None:
            raise _bad("the policy's JWT is signed by nobody, and has a signature or a certificate")
        return None
    if alg not in ALGORITHMS:
        raise _bad("the policy's signature is of another algorithm", seen=str(alg)[:32], wanted=" or ".join(ALGORITHMS))
    if "crit" in header or "b64" in header:
        raise _bad("the policy's JWT has critical headers", wanted="none")
    if not isinstance(x5c, list) or len(x5c) != 1 or not isinstance(x5c[0], str):
        raise _bad("the policy's JWT does not bring its signer's certificate", wanted="x5c with one certificate")
    certificate = _certificate(_decoded(x5c[0]))
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        seen = f"{certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}"
        raise _bad("the certificate of the policy's signer does not hold now", seen=seen, wanted=at)
    key = _rsa_key(certificate)
    try:
        jws.deserialize_compact(token, RSAKey.import_key(key), registry=_REGISTRIES[str(alg)])
    except (JoseError, ValueError, TypeError) as exc:
        raise _bad("the policy's signature does not hold", seen=str(alg)) from exc
    return _fingerprint(key)


def _certificate(data: bytes) -> x509.Certificate:
    if len(data) > MAX_CERTIFICATE:
        raise _bad("the certificate is too long", seen=f"{len(data)} bytes", wanted=f"at most {MAX_CERTIFICATE}")
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        return x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except ValueError as exc:
        raise _bad("the certificate of the policy's signer cannot be read") from exc


def _rsa_key(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType) as exc:
        raise _bad("the key of the policy's signer cannot be read") from exc
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise _bad(
            "the key of the policy's signer is not accepted", wanted=f"RSA, {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
        )
    return key


def _fingerprint(key: rsa.RSAPublicKey) -> bytes:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _bad("x5c is not base64") from exc


def _plain(claim: str) -> str:
    """The older tool's base64 taken off: no policy is one word of base64 that decodes to text."""
    try:
        text = base64.b64decode(claim, validate=True).decode() if claim else claim
    except (binascii.Error, ValueError):
        text = claim
    text_bytes(text)
    return text


def _bad(message: str, *, seen: object = None, wanted: object = None) -> MalformedPolicy:
    return MalformedPolicy(message, code="policy-signature", seen=seen, wanted=wanted)
