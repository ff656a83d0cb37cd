"""P-256 keys and signatures in the forms that quotes and collateral hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Callable

# Order of the P-256 group: SEC 2, section 2.4.2 (secp256r1), value n.
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def make_key(random: Callable[[int], bytes]) -> ec.EllipticCurvePrivateKey:
    """A P-256 key out of the given randomness.

    48 random bytes reduced into 1 ..< n leave a bias below 2**-128 (FIPS 186-5, appendix A.2.1).
    """
    scalar = int.from_bytes(random(48), "big") % (P256_ORDER - 1) + 1
    return ec.derive_private_key(scalar, ec.SECP256R1())


def public_octets(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as `x || y`, 64 bytes big-endian."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def sign_raw(key: ec.EllipticCurvePrivateKey, message: bytes, *, same_again: bool = False) -> bytes:
    """An ECDSA P-256 SHA-256 signature as `r || s`, 64 bytes big-endian.

    Args:
        key: signs.
        message: what is signed.
        same_again: the same signature for the same message (RFC 6979).
    """
    scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=same_again)
    r, s = decode_dss_signature(key.sign(message, scheme))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
