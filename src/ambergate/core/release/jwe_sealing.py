"""Sealing a secret as a JWE: the broker's part of `jwe.py`, by a library that the client inside an enclave has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.errors import TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.jwe import EC_ALGORITHM, ENCRYPTION, RSA_ALGORITHM

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


def seal_jwe(secret: bytes, workload_key: RSAPublicKey | EllipticCurvePublicKey) -> str:
    """Seal a secret for one workload.

    Proves nothing about who holds the private key, as `envelope.seal`. All randomness is drawn inside joserfc.

    Args:
        secret: 1 to `MAX_SECRET_SIZE` bytes.
        workload_key: the attested public key.

    Raises:
        TooLarge: the secret is longer than `MAX_SECRET_SIZE`.
        ValueError: the secret is empty.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 - costs only who seals
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415
    from joserfc import jwe  # noqa: PLC0415
    from joserfc.jwk import ECKey, RSAKey  # noqa: PLC0415

    if not secret:
        message = "an empty secret cannot be sealed"
        raise ValueError(message)
    if len(secret) > MAX_SECRET_SIZE:
        raise TooLarge("the secret is too long to seal", seen=f"{len(secret)} bytes", wanted=f"<= {MAX_SECRET_SIZE}")
    pem = workload_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    rsa = isinstance(workload_key, RSAPublicKey)
    algorithm = RSA_ALGORITHM if rsa else EC_ALGORITHM
    header = {"alg": algorithm, "enc": ENCRYPTION}
    key = RSAKey.import_key(pem) if rsa else ECKey.import_key(pem)
    return jwe.encrypt_compact(header, secret, key, algorithms=[algorithm, ENCRYPTION])
