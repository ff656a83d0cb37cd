"""ECDSA P-256 with SHA-256: the one signature scheme of the whole chain."""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from ambergate.core.collateral.der import raw_signature

_SCHEME: Final = ec.ECDSA(Prehashed(SHA256()))  # a digest of `hashlib` costs less than one that `cryptography` makes
_CURVE: Final = ec.SECP256R1()


def is_signed(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `signature` (DER) is one by `key` over `data`.

    Accepts both `s` and `n - s`, as every reference does: a signature is never an identity.
    """
    try:
        key.verify(signature, hashlib.sha256(data).digest(), _SCHEME)
    except InvalidSignature:
        return False
    return True


def is_signed_raw(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """The same for a signature as `r || s`, 64 bytes big-endian."""
    return is_signed(key, raw_signature(signature), data)


def point_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """The key at `x || y`, 64 bytes big-endian.

    Raises:
        ValueError: not a point of P-256.
    """
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, b"\x04" + point)
