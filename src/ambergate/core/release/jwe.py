"""A secret as a JWE (RFC 7516) in compact serialisation, for workloads that prefer it to Intel's envelope.

- an RSA key: `RSA-OAEP-256` and `A256GCM`, with a content key for this one secret;
- an EC key on P-256, P-384 or P-521: `ECDH-ES+A256KW` and `A256GCM`, with an ephemeral key on the same curve
  (RFC 7518, sections 4.6 and 5.3).

An EC workload key is held data as SubjectPublicKeyInfo in DER (RFC 5480), uncompressed and on a named curve; an RSA key
is held data as Intel has it (`envelope.py`). A JWK would not do: attestation services tell what is JSON as runtime
data, and a key is taken from held data alone. The client inside an enclave imports this module: `cryptography` is
loaded only when used.
"""

from __future__ import annotations

import binascii
import json
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import Malformed, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE, NONCE_SIZE, TAG_SIZE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

RSA_ALGORITHM: Final = "RSA-OAEP-256"
EC_ALGORITHM: Final = "ECDH-ES+A256KW"
ENCRYPTION: Final = "A256GCM"
MAX_JWE: Final = 2 * MAX_SECRET_SIZE  # characters; base64 adds a third, and the rest is far below
MAX_HELD_EC: Final = 256  # bytes; a key on P-521 takes 158
_MAX_HEADER: Final = 1024  # characters
_CEK_SIZE: Final = 32  # bytes; AES-256
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})


def open_jwe(private_key: RSAPrivateKey | EllipticCurvePrivateKey, text: str) -> bytes:
    """The secret in a JWE that was made for this key.

    Proves that nobody changed it since it was sealed; not who sealed it. Takes the two algorithms above and no other,
    whatever the header says.

    Raises:
        Malformed: (`malformed-envelope`) no JWE, of another algorithm, changed, or for another key.
        TooLarge: longer than any of ours.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - costs only who opens
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap  # noqa: PLC0415

    if len(text) > MAX_JWE:
        raise TooLarge("the JWE is too long", seen=f"{len(text)} characters", wanted=f"<= {MAX_JWE}")
    parts = text.split(".")
    if len(parts) != 5 or len(parts[0]) > _MAX_HEADER:
        raise _unopened("no JWE in compact serialisation")
    protected, wrapped, nonce, body, tag = parts
    try:
        header = _header(protected)
        if len(_octets(nonce)) != NONCE_SIZE or len(_octets(tag)) != TAG_SIZE:
            raise _unopened("a nonce or tag of another length")
        cek = _content_key(private_key, header, _octets(wrapped))
        if len(cek) != _CEK_SIZE:
            raise _unopened("a content key of another length")
        return AESGCM(cek).decrypt(_octets(nonce), _octets(body) + _octets(tag), protected.encode("ascii"))
    except (ValueError, InvalidTag, InvalidUnwrap) as exc:
        raise _unopened(type(exc).__name__) from exc


def decode_held_ec(held: bytes) -> EllipticCurvePublicKey:
    """The workload's EC public key in a token's held data.

    Proves that it is a point of its curve.

    Raises:
        Malformed: (`malformed-held-key`) no such key, or not in its one encoding; (`weak-held-key`) on another curve.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - costs only who has such a key
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    if len(held) > MAX_HELD_EC:
        raise _unreadable(f"{len(held)} bytes")
    try:
        key = load_der_public_key(held)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _unreadable("no DER of a public key, or a point that is not on its curve") from exc
    if not isinstance(key, EllipticCurvePublicKey):
        raise _unreadable("a key of another kind")
    if key.curve.name not in _CURVES:
        raise _weak("another curve than P-256, P-384 and P-521")
    if encode_held_ec(key) != held:
        raise _unreadable("another encoding: a compressed point, or the curve's parameters")
    return key


def encode_held_ec(public_key: EllipticCurvePublicKey) -> bytes:
    """The public key as held data: what a workload binds into its REPORTDATA to be sent secrets as JWE."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - as above

    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _content_key(private_key: RSAPrivateKey | EllipticCurvePrivateKey, header: dict[str, Any], wrapped: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDH  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash  # noqa: PLC0415
    from cryptography.hazmat.primitives.keywrap import aes_key_unwrap  # noqa: PLC0415

    rsa = isinstance(private_key, RSAPrivateKey)
    if header.get("alg") != (RSA_ALGORITHM if rsa else EC_ALGORITHM) or header.get("enc") != ENCRYPTION:
        raise _unopened("another algorithm, or one for another kind of key")
    if isinstance(private_key, RSAPrivateKey):
        return private_key.decrypt(wrapped, OAEP(MGF1(SHA256()), SHA256(), None))
    ephemeral = header.get("epk")
    if not isinstance(ephemeral, dict) or any(name in header for name in ("apu", "apv")):
        raise _unopened("no ephemeral key, or names of parties")
    point = _point(ephemeral)
    shared = private_key.exchange(ECDH(), point)
    # RFC 7518, section 4.6.2: the algorithm's name, two empty names of parties, the length in bits.
    name = EC_ALGORITHM.encode()
    info = struct.pack(">I", len(name)) + name + struct.pack(">III", 0, 0, 8 * _CEK_SIZE)
    return aes_key_unwrap(ConcatKDFHash(SHA256(), _CEK_SIZE, info).derive(shared), wrapped)


def _point(members: dict[str, Any]) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    curves: dict[object, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    name, x, y = (members.get(member) for member in ("crv", "x", "y"))
    curve = curves.get(name) if isinstance(name, str) else None
    if curve is None or not isinstance(x, str) or not isinstance(y, str):
        raise _weak("another curve than P-256, P-384 and P-521")
    numbers = [int.from_bytes(_octets(each), "big") for each in (x, y)]
    try:
        return ec.EllipticCurvePublicNumbers(numbers[0], numbers[1], curve).public_key()
    except ValueError as exc:
        raise _weak("a point that is not on its curve") from exc


def _header(protected: str) -> dict[str, Any]:
    try:
        header = json.loads(_octets(protected))
    except (ValueError, RecursionError) as exc:
        raise _unopened("a header that is no JSON") from exc
    if not isinstance(header, dict) or "crit" in header or "zip" in header:
        raise _unopened("a header that asks for more than this does")
    return header


def _octets(text: str) -> bytes:
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as exc:
        raise _NoBase64 from exc
    if urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise _NoBase64
    return data


class _NoBase64(ValueError):
    """A part that is no base64url, or not in its one spelling."""


def _unopened(seen: str) -> Malformed:
    hint = "was it made for another key, or changed on the way?"
    return Malformed("the JWE does not open", code="malformed-envelope", seen=seen, hint=hint)


def _unreadable(seen: str) -> Malformed:
    wanted = "SubjectPublicKeyInfo in DER, uncompressed, on a named curve"
    return Malformed("the held data is no EC public key", code="malformed-held-key", seen=seen, wanted=wanted)


def _weak(seen: str) -> Malformed:
    return Malformed("the EC key is not accepted", code="weak-held-key", seen=seen, wanted="P-256, P-384 or P-521")
