"""Kinds of keys that a broker keeps, and the one form in which each is kept and handed on.

- AES: the key's own 16, 24 or 32 bytes;
- RSA: PKCS#1 DER (RFC 8017 appendix A.1.2), 2048 to 8192 bits, an odd exponent of 65537 or more;
- EC: SEC 1 DER (RFC 5915), on P-256, P-384 or P-521;
- opaque: 1 to `MAX_SECRET_SIZE` bytes that mean something to their owner alone.

Both DER forms are what Intel's Key Broker Service hands on. They are read as those, as PKCS#8, and as PEM of any
of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ambergate.core.errors import Malformed, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Algorithm = Literal["AES", "RSA", "EC", "OPAQUE"]

AES_BITS: Final = (128, 192, 256)  # FIPS 197
MIN_RSA_BITS: Final = 2048  # NIST SP 800-57 part 1, table 2: 112 bits of strength
MAX_RSA_BITS: Final = 8192  # our limit: making or checking a longer one takes minutes
MIN_EXPONENT: Final = 65537  # FIPS 186-5, A.1.1: odd, and above 2^16
# By SEC 2's names; `prime256v1` is how X9.62 calls the first.
CURVES: Final = {"secp256r1": 256, "secp384r1": 384, "secp521r1": 521}
_ALIASES: Final = {"prime256v1": "secp256r1", "p-256": "secp256r1", "p-384": "secp384r1", "p-521": "secp521r1"}
_PEM: Final = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class KeyKind:
    """What a key is: made by `KeyKind.of`, which refuses what no broker should keep."""

    algorithm: Algorithm
    bits: int | None = None  # of AES and RSA keys
    curve: str | None = None  # of EC keys

    @classmethod
    def of(cls, algorithm: str, *, bits: int | None = None, curve: str | None = None) -> KeyKind:
        """The kind of these words, in any case.

        Raises:
            Malformed: (`malformed-key-kind`) unknown, too weak, or with a member that its algorithm does not have.
        """
        match algorithm.upper():
            case "AES" if curve is None and bits in AES_BITS:
                return cls("AES", bits)
            case "RSA" if curve is None and bits is not None and MIN_RSA_BITS <= bits <= MAX_RSA_BITS and bits % 8 == 0:
                return cls("RSA", bits)
            case "EC" if (named := _curve(curve)) is not None and bits in {None, CURVES[named]}:
                return cls("EC", None, named)
            case "OPAQUE" if curve is None and bits is None:
                return OPAQUE
        seen = f"{algorithm[:16]}, {bits} bits, curve {None if curve is None else curve[:32]}"
        raise _bad("malformed-key-kind", "keys of this kind are not kept", seen=seen, wanted=_KINDS)

    def __str__(self) -> str:
        """The kind in words."""
        return " ".join(str(part) for part in (self.algorithm, self.bits, self.curve) if part is not None)

    def canonical(self, material: bytes) -> bytes:
        """The key in the one form for its kind.

        Proves that it is a key of this kind, and for RSA and EC that its parts belong together; not that anybody made
        it at random.

        Raises:
            Malformed: (`malformed-key`) something else, or a weak one.
            TooLarge: longer than `MAX_SECRET_SIZE`.
        """
        if len(material) > MAX_SECRET_SIZE:
            raise TooLarge("the key is too long", seen=f"{len(material)} bytes", wanted=f"<= {MAX_SECRET_SIZE}")
        match self.algorithm:
            case "OPAQUE":
                if not material:
                    raise _bad("malformed-key", "the secret is empty", seen="0 bytes", wanted="1 or more")
                return material
            case "AES":
                if len(material) * 8 != self.bits:
                    raise _bad(
                        "malformed-key", "this is no such AES key", seen=f"{len(material) * 8} bits", wanted=self
                    )
                return material
            case "RSA" | "EC":
                return self._encoded(material)

    def _encoded(self, material: bytes) -> bytes:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - costs only who keeps such keys
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415

        key = _private_key(material)
        if self.algorithm == "RSA" and isinstance(key, RSAPrivateKey):
            self._refuse_weak(key)
        elif not (self.algorithm == "EC" and isinstance(key, EllipticCurvePrivateKey) and key.curve.name == self.curve):
            raise _bad("malformed-key", "this is a key of another kind", seen=_told(key), wanted=self)
        return key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

    def _refuse_weak(self, key: RSAPrivateKey) -> None:
        if key.key_size != self.bits:
            raise _bad("malformed-key", "this is no such RSA key", seen=f"{key.key_size} bits", wanted=self)
        exponent = key.public_key().public_numbers().e
        if exponent < MIN_EXPONENT or exponent % 2 == 0:
            raise _bad("malformed-key", "the RSA exponent is weak", seen=exponent, wanted=f"odd, >= {MIN_EXPONENT}")


OPAQUE: Final = KeyKind("OPAQUE")
_KINDS: Final = (
    f"AES of {', '.join(map(str, AES_BITS))} bits, RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS}, "
    f"EC on {', '.join(CURVES)}, or OPAQUE"
)


def kind_of(material: bytes) -> KeyKind:
    """The kind of an RSA or EC key, by itself.

    Raises:
        Malformed: neither, or of a kind that is not kept.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - as above

    key = _private_key(material)
    if isinstance(key, RSAPrivateKey):
        return KeyKind.of("RSA", bits=key.key_size)
    return KeyKind.of("EC", curve=key.curve.name)


def _private_key(material: bytes) -> RSAPrivateKey | EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_der_private_key,
        load_pem_private_key,
    )

    if len(material) > MAX_SECRET_SIZE:
        raise TooLarge("the key is too long", seen=f"{len(material)} bytes", wanted=f"<= {MAX_SECRET_SIZE}")
    load = load_pem_private_key if material.lstrip().startswith(_PEM) else load_der_private_key
    wanted = "an RSA or EC private key, PEM or DER, without a password"
    try:
        key = load(material, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _bad("malformed-key", "this is no private key", seen=type(exc).__name__, wanted=wanted) from exc
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise _bad("malformed-key", "keys of this algorithm are not kept", seen=_told(key), wanted=wanted)
    return key


def _curve(name: str | None) -> str | None:
    if name is None:
        return None
    lower = name.lower()
    named = _ALIASES.get(lower, lower)
    return named if named in CURVES else None


def _told(key: object) -> str:
    size = getattr(key, "key_size", "")
    return f"{type(key).__name__.removesuffix('PrivateKey')} {size}".strip()


def _bad(code: str, message: str, *, seen: object, wanted: object) -> Malformed:
    return Malformed(message, code=code, seen=seen, wanted=wanted)
