"""Tokens made by hand, so that they can be wrong in any way: no JOSE library of ours or others' is involved."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from ambergate.core.release.envelope import encode_held_key

AT: Final = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ISSUER: Final = "https://attest.example:8443"
MR_ENCLAVE: Final = "5a" * 32
MR_SIGNER: Final = "c3" * 32
ABSENT: Final = object()  # as a claim's or header's value: leave it out

Members = dict[str, Any]


def b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(members: object) -> str:
    return b64url(json.dumps(members).encode())


def changed(members: Members, changes: Members) -> Members:
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def sign(alg: str, message: bytes, key: Any) -> bytes:  # noqa: ANN401
    """A signature by any of the algorithms that forgers try."""
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(alg[-3:])
    if alg.startswith("HS"):
        return hmac.new(
            key, message, {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}[alg[-3:]]
        ).digest()
    assert digest is not None
    if alg.startswith("PS"):
        scheme = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
        return bytes(key.sign(message, scheme, digest))
    if alg.startswith("RS"):
        return bytes(key.sign(message, padding.PKCS1v15(), digest))
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def jwk(public_key: Any, kid: str, alg: str) -> Members:  # noqa: ANN401
    """A public key as a member of a key set."""
    numbers = public_key.public_numbers()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        x, y = (b64url(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "kid": kid, "alg": alg, "x": x, "y": y}
    n = b64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big"))
    return {"kty": "RSA", "kid": kid, "alg": alg, "n": n, "e": "AQAB"}


def rsa_key(bits: int = 3072) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@dataclass(frozen=True)
class Forge:
    """An issuer's keys and a workload's, and every token that can be made with them, true or false."""

    issuer_key: rsa.RSAPrivateKey = field(default_factory=rsa_key)
    ec_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    other_key: rsa.RSAPrivateKey = field(default_factory=rsa_key)
    workload_key: rsa.RSAPrivateKey = field(default_factory=rsa_key)
    kid: str = "a1" * 48
    ec_kid: str = "e2" * 48

    def key_set(self) -> Members:
        """What the issuer serves."""
        public = self.issuer_key.public_key()
        keys = [jwk(public, self.kid, "PS384"), jwk(public, self.kid, "RS256")]
        return {"keys": [*keys, jwk(self.ec_key.public_key(), self.ec_kid, "ES256")]}

    def held(self) -> bytes:
        return encode_held_key(self.workload_key.public_key())

    def claims(self, **changes: object) -> Members:
        """A token's claims that the strict policy of the tests approves, but for `changes`."""
        at = int(AT.timestamp())
        good: Members = {
            "iss": ISSUER,
            "ver": "1.0.0",
            "iat": at - 10,
            "nbf": at - 10,
            "exp": at + 290,
            "jti": "2c8b1ba6-5a06-4c43-9a0a-6ec9d3bb5c6f",
            "attester_type": "SGX",
            "attester_tcb_status": "UpToDate",
            "attester_tcb_date": "2026-01-01T00:00:00Z",
            "attester_held_data": b64encode(self.held()).decode(),
            "sgx_mrenclave": MR_ENCLAVE,
            "sgx_mrsigner": MR_SIGNER,
            "sgx_isvprodid": 7,
            "sgx_isvsvn": 3,
            "sgx_report_data": "00" * 64,
            "sgx_is_debuggable": False,
            "dbgstat": "disabled",
            "eat_profile": f"{ISSUER}/eat_profile.html",
            "intuse": "generic",
            "verifier_instance_ids": ["7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"],
        }
        return changed(good, changes)

    def token(
        self,
        *,
        claims: Members | None = None,
        header: Members | None = None,
        alg: str = "PS384",
        key: Any = None,  # noqa: ANN401
    ) -> str:
        """A token; `header` changes members of the usual header, `alg` is what it is signed with."""
        usual = {"alg": alg, "kid": self.kid, "typ": "JWT", "jku": f"{ISSUER}/certs"}
        text = f"{segment(changed(usual, header or {}))}.{segment(self.claims() if claims is None else claims)}"
        signature = sign(alg, text.encode(), self.issuer_key if key is None else key)
        return f"{text}.{b64url(signature)}"
