"""The envelope a secret travels in, and the workload's public key it is made for.

Wire format (Intel Key Broker Service, key transfer response):

- `wrapped_swk`: a fresh 32-byte symmetric wrapping key (SWK) under the workload's RSA key, OAEP with SHA-256,
  MGF1 with SHA-256, empty label (RFC 8017 section 7.1).
- `wrapped_key`: 12-byte header, nonce, AES-256-GCM ciphertext and tag under the SWK, no associated data.
  The header is three little-endian 32-bit numbers: length of the nonce, of the tag, of ciphertext and tag.

The workload's public key is the token's held data: 4-byte exponent, then the modulus, little-endian from an
SGX enclave and big-endian from a TD. It arrives inside attested data only: that makes it the workload's.

The client inside an enclave imports this module: it costs a little standard library, and `cryptography`
only when used.
"""

from __future__ import annotations

import functools
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ambergate.core.errors import Malformed, TooLarge

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import OAEP
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    WorkloadKey = RSAPublicKey | EllipticCurvePublicKey  # an EC key takes JWE (`jwe.py`)

Tee = Literal["SGX", "TDX"]

SWK_SIZE: Final = 32  # bytes; AES-256
NONCE_SIZE: Final = 12  # bytes; NIST SP 800-38D section 8.2
TAG_SIZE: Final = 16  # bytes; the full GCM tag
MAX_SECRET_SIZE: Final = 64 * 1024  # bytes; our limit, far above any key
MIN_KEY_BITS: Final = 2049  # Intel's broker wants more than 2048 bits
MAX_KEY_BITS: Final = 8192  # our limit: beyond it, one request would cost the broker too much
EXPONENT: Final = 65537  # the only one accepted

_HEADER: Final = struct.Struct("<III")
_EXPONENT_SIZE: Final = 4
# Both byte orders are in use: Intel's TD clients write big-endian where the format says little-endian.
_EXPONENT_BYTES: Final = (
    EXPONENT.to_bytes(_EXPONENT_SIZE, "little"),
    EXPONENT.to_bytes(_EXPONENT_SIZE, "big"),
)
_BYTE_ORDER: Final[dict[str, Literal["little", "big"]]] = {"SGX": "little", "TDX": "big"}
# The product of the odd primes below this bound must share no factor with a modulus.
_SMALL_PRIME_BOUND: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A sealed secret: useless to everyone but the holder of the workload's private key."""

    wrapped_key: bytes
    wrapped_swk: bytes


def seal(secret: bytes, workload_key: RSAPublicKey, *, swk: bytes, nonce: bytes) -> Envelope:
    """Seal a secret for one workload.

    Proves nothing about who holds the private key: that the key was attested is the caller's business
    (`ambergate.core.release.decision.decide`). OAEP's own random seed is drawn inside `cryptography`.

    Args:
        secret: 1 to `MAX_SECRET_SIZE` bytes.
        workload_key: the attested public key.
        swk: `SWK_SIZE` fresh random bytes, used for this envelope and never again.
        nonce: `NONCE_SIZE` fresh random bytes.

    Raises:
        TooLarge: the secret is longer than `MAX_SECRET_SIZE`.
        ValueError: the secret is empty, or `swk` or `nonce` has another length.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - costs only who seals

    if len(swk) != SWK_SIZE or len(nonce) != NONCE_SIZE:
        got = f"{len(swk)} and {len(nonce)}"
        message = f"an envelope takes {SWK_SIZE} bytes of swk and {NONCE_SIZE} of nonce, got {got}"
        raise ValueError(message)
    if not secret:
        message = "an empty secret cannot be sealed"
        raise ValueError(message)
    if len(secret) > MAX_SECRET_SIZE:
        raise TooLarge("the secret is too long to seal", seen=f"{len(secret)} bytes", wanted=f"<= {MAX_SECRET_SIZE}")
    body = AESGCM(swk).encrypt(nonce, secret, None)
    header = _HEADER.pack(NONCE_SIZE, TAG_SIZE, len(body))
    return Envelope(wrapped_key=header + nonce + body, wrapped_swk=workload_key.encrypt(swk, _oaep()))


def open_sealed(private_key: RSAPrivateKey, wrapped_key: bytes, wrapped_swk: bytes) -> bytes:
    """The secret in an envelope made for this key.

    Proves that nobody changed the envelope since it was sealed. Does not prove who sealed it: that is the TLS
    connection it came over.

    Raises:
        Malformed: (`malformed-envelope`) it is not an envelope, was changed, or is for another key.
        TooLarge: it is longer than any envelope of ours.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - costs only who opens
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    nonce, body = _split(wrapped_key)
    try:
        swk = private_key.decrypt(wrapped_swk, _oaep())
    except ValueError as exc:
        raise _unopened("the wrapped SWK does not decrypt under this key", hint="was it made for another key?") from exc
    if len(swk) != SWK_SIZE:
        raise _unopened("the SWK has another length", seen=f"{len(swk)} bytes", wanted=f"{SWK_SIZE} bytes")
    try:
        return AESGCM(swk).decrypt(nonce, body, None)
    except InvalidTag as exc:
        raise _unopened(
            "the wrapped key does not authenticate under its SWK", hint="was it changed on the way?"
        ) from exc


def encode_held_key(public_key: RSAPublicKey, *, tee: Tee = "SGX") -> bytes:
    """The public key as held data: what a workload binds into its REPORTDATA to be sent secrets.

    Raises:
        Malformed: (`weak-held-key`) a key that no broker would accept.
    """
    numbers = public_key.public_numbers()
    if numbers.e != EXPONENT:
        raise _weak("the public exponent is not accepted", seen=numbers.e, wanted=EXPONENT)
    _refuse_weak_modulus(numbers.n)
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, _BYTE_ORDER[tee])
    return EXPONENT.to_bytes(_EXPONENT_SIZE, "little") + modulus


def decode_held_key(held: bytes, *, tee: Tee = "SGX") -> RSAPublicKey:
    """The workload's public key in a token's held data.

    Does not prove that the modulus is the product of two large primes; refuses what is surely none: even,
    too short, too long, or with a small factor (which also catches most moduli in the wrong byte order).

    Args:
        held: the held data, as decoded from base64.
        tee: which TEE reported it; decides the byte order of the modulus.

    Raises:
        Malformed: (`malformed-held-key`) not exponent and modulus; (`weak-held-key`) a key not to seal for.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers  # noqa: PLC0415 - costs only who asks

    if tee not in _BYTE_ORDER:
        raise _unreadable("held keys of this TEE are not known", seen=tee, wanted=" or ".join(_BYTE_ORDER))
    exponent, modulus = held[:_EXPONENT_SIZE], held[_EXPONENT_SIZE:]
    shortest, longest = MIN_KEY_BITS // 8 + 1, MAX_KEY_BITS // 8
    if not shortest <= len(modulus) <= longest:
        wanted = f"4 bytes of exponent and {shortest} to {longest} of modulus"
        raise _unreadable("the held data is no RSA public key", seen=f"{len(held)} bytes", wanted=wanted)
    if exponent not in _EXPONENT_BYTES:
        raise _weak("the public exponent is not accepted", seen=exponent.hex(), wanted="65537, in either byte order")
    number = int.from_bytes(modulus, _BYTE_ORDER[tee])
    _refuse_weak_modulus(number)
    return RSAPublicNumbers(EXPONENT, number).public_key()


def _split(wrapped_key: bytes) -> tuple[bytes, bytes]:
    """Nonce, and ciphertext with tag, after a header that says exactly what is there."""
    overhead = _HEADER.size + NONCE_SIZE + TAG_SIZE
    if len(wrapped_key) > overhead + MAX_SECRET_SIZE:
        raise TooLarge(
            "the wrapped key is too long",
            seen=f"{len(wrapped_key)} bytes",
            wanted=f"<= {overhead + MAX_SECRET_SIZE}",
        )
    if len(wrapped_key) <= overhead:
        raise _unopened("the wrapped key is too short", seen=f"{len(wrapped_key)} bytes", wanted=f"> {overhead}")
    lengths = _HEADER.unpack_from(wrapped_key)
    wanted = (NONCE_SIZE, TAG_SIZE, len(wrapped_key) - _HEADER.size - NONCE_SIZE)
    if lengths != wanted:
        raise _unopened("the wrapped key's header does not describe it", seen=lengths, wanted=wanted)
    start = _HEADER.size + NONCE_SIZE
    return wrapped_key[_HEADER.size : start], wrapped_key[start:]


def _refuse_weak_modulus(modulus: int) -> None:
    bits = modulus.bit_length()
    if not MIN_KEY_BITS <= bits <= MAX_KEY_BITS:
        raise _weak(
            "the modulus has an unacceptable length",
            seen=f"{bits} bits",
            wanted=f"{MIN_KEY_BITS} to {MAX_KEY_BITS}",
        )
    factor = math.gcd(modulus, 2 * _small_primes_product())
    if factor != 1:
        hint = "is the modulus in the byte order of its TEE?"
        raise _weak(
            "the modulus has small factors",
            seen=f"divisible by {_least_prime(factor)}",
            wanted="none",
            hint=hint,
        )


@functools.cache
def _small_primes_product() -> int:
    """The product of all odd primes below the bound: a millisecond's work, done once."""
    odd = range(3, _SMALL_PRIME_BOUND, 2)
    return math.prod(n for n in odd if all(n % d for d in range(3, math.isqrt(n) + 1, 2)))


def _least_prime(number: int) -> int:
    return next(d for d in range(2, _SMALL_PRIME_BOUND) if number % d == 0)


def _oaep() -> OAEP:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP  # noqa: PLC0415 - costs only who seals or opens
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    return OAEP(mgf=MGF1(algorithm=SHA256()), algorithm=SHA256(), label=None)


def _unopened(message: str, *, seen: object = None, wanted: object = None, hint: str | None = None) -> Malformed:
    return Malformed(message, code="malformed-envelope", seen=seen, wanted=wanted, hint=hint)


def _unreadable(message: str, *, seen: object, wanted: object) -> Malformed:
    hint = "held data is a 4-byte exponent and the modulus, not DER, PEM or JSON"
    return Malformed(message, code="malformed-held-key", seen=seen, wanted=wanted, hint=hint)


def _weak(message: str, *, seen: object, wanted: object, hint: str | None = None) -> Malformed:
    return Malformed(message, code="weak-held-key", seen=seen, wanted=wanted, hint=hint)
