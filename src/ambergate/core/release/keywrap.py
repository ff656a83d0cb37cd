"""A key that its token wrapped for the workload itself: nobody between the two ever holds it.

Two layers, as `CKM_RSA_AES_KEY_WRAP` (PKCS#11 3.0, 6.1.19) has them: the key under a fresh AES-256 key, by AES key wrap
with padding (RFC 5649), and that under the workload's RSA key, by OAEP with an empty label. RSA and EC keys are PKCS#8
inside. What was wrapped may be padded with zeros to a multiple of 8 bytes: SoftHSM does that before it wraps.

The client inside an enclave imports this module: `cryptography` is loaded only when used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ambergate.core.errors import Malformed, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE, SWK_SIZE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from ambergate.core.release.material import KeyKind

OaepHash = Literal["sha256", "sha1"]
# As answers of the broker name them: what wraps the AES key, and what that wraps.
WRAPPINGS: Final[dict[OaepHash, str]] = {"sha256": "RSA-OAEP-256+A256KWP", "sha1": "RSA-OAEP+A256KWP"}
OVERHEAD: Final = 15  # bytes: 8 of RFC 5649's initial value, and padding up to 7
_LONG_FORM: Final = 0x80  # of DER lengths (X.690, 8.1.3.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWrap:
    """A wrapped key: useless to everyone but the holder of the workload's private key.

    Attributes:
        wrapped_key: the key under the AES key.
        wrapped_swk: the AES key under the workload's.
        oaep: the hash of OAEP and of its MGF1. OAEP does not rest on the hash being collision-free, so SHA-1 weakens
            nothing known; some tokens have no other.
        kind: what the key is.
    """

    wrapped_key: bytes
    wrapped_swk: bytes
    oaep: OaepHash
    kind: KeyKind


def open_key_wrap(private_key: RSAPrivateKey, wrapped: KeyWrap) -> bytes:
    """The key, in the one form of its kind.

    Proves that nobody changed it since it was wrapped, and that it is a key of its kind. Does not prove who wrapped it.

    Raises:
        Malformed: (`malformed-envelope`) not wrapped for this key, or changed; (`malformed-key`) no such key.
        TooLarge: longer than any key.
    """
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - costs only who opens
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP  # noqa: PLC0415
    from cryptography.hazmat.primitives.keywrap import (  # noqa: PLC0415
        InvalidUnwrap,
        aes_key_unwrap_with_padding,
    )

    if len(wrapped.wrapped_key) > MAX_SECRET_SIZE + OVERHEAD:
        raise TooLarge("the wrapped key is too long", seen=f"{len(wrapped.wrapped_key)} bytes")
    algorithm = hashes.SHA256() if wrapped.oaep == "sha256" else hashes.SHA1()  # noqa: S303  see `KeyWrap.oaep`
    try:
        swk = private_key.decrypt(wrapped.wrapped_swk, OAEP(MGF1(algorithm), algorithm, None))
        if len(swk) != SWK_SIZE:
            raise _unopened(f"{len(swk)} bytes of wrapping key")
        padded = aes_key_unwrap_with_padding(swk, wrapped.wrapped_key)
    except (ValueError, InvalidUnwrap) as exc:
        raise _unopened(type(exc).__name__) from exc
    return wrapped.kind.canonical(padded if wrapped.kind.algorithm == "AES" else _der(padded))


def _der(padded: bytes) -> bytes:
    """The one DER value at the start, without the zeros behind it."""
    head = 2
    length = padded[1] if len(padded) > 1 else 0
    if length & _LONG_FORM:
        head += length & ~_LONG_FORM
        length = int.from_bytes(padded[2:head], "big")
    if any(padded[head + length :]) or head + length > len(padded) or len(padded) - head - length > OVERHEAD:
        raise _unopened("something behind the key")
    return padded[: head + length]


def _unopened(seen: str) -> Malformed:
    hint = "was it made for another key, or changed on the way?"
    return Malformed("the wrapped key does not open", code="malformed-envelope", seen=seen, hint=hint)
