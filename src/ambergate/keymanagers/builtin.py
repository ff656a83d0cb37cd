"""The built-in key manager: keys are made here, and kept by the broker's own store, which seals them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from ambergate.core.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.material import KeyKind

OPAQUE_SIZE: Final = 32  # bytes of a secret that is made at random


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """Keys whose reference is the key itself: whoever keeps the reference seals it.

    Args:
        token_bytes: randomness for AES keys and opaque secrets; RSA and EC keys draw theirs inside `cryptography`.
    """

    token_bytes: Callable[[int], bytes]

    def create(self, name: str, kind: KeyKind) -> bytes:
        """A fresh key."""
        del name
        return generated(kind, self.token_bytes)

    def keep(self, name: str, kind: KeyKind, material: bytes) -> bytes:
        """A key that was made elsewhere; `material` in the form of its kind."""
        del name, kind
        return material

    def adopt(self, known_as: str, kind: KeyKind) -> bytes:
        """Nothing: `Malformed`. It has no keys of its own."""
        del kind
        wanted = "a key manager outside"
        raise Malformed(
            "the built-in key manager adopts nothing", code="malformed-key-kind", seen=known_as, wanted=wanted
        )

    def take(self, reference: bytes, kind: KeyKind, workload_key: WorkloadKey) -> bytes:
        """The key."""
        del kind, workload_key
        return reference

    def destroy(self, reference: bytes) -> None:
        """Nothing: it is destroyed with what it is sealed under."""
        del reference

    def check(self) -> None:
        """Nothing: it is always there."""


def generated(kind: KeyKind, token_bytes: Callable[[int], bytes]) -> bytes:
    """A fresh key of this kind, in its one form.

    Raises:
        Malformed: (`malformed-key-kind`) RSA of a length that is only imported.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415 - costs only who makes such keys
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    match kind.algorithm:
        case "AES":
            assert kind.bits is not None
            return token_bytes(kind.bits // 8)
        case "OPAQUE":
            return token_bytes(OPAQUE_SIZE)
        case "RSA":
            assert kind.bits is not None
            key = rsa.generate_private_key(public_exponent=65537, key_size=kind.bits)
        case "EC":
            curves = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}
            if kind.curve not in curves:
                raise Malformed("keys on this curve are not made", code="malformed-key-kind", seen=kind.curve)
            key = ec.generate_private_key(curves[kind.curve])
        case other:
            assert_never(other)
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
