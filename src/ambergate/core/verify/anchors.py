"""Trust anchors: the one key that a whole verification hangs on, given as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ambergate.core.errors import MalformedCollateral

# x || y of the key in Intel's "SGX Root CA" certificate. Both published certificates (not after 2033 and 2049) hold
# it; the reference compares this key too (QvE wrapper, `INTEL_ROOT_PUB_KEY`), never the certificate's bytes.
INTEL_ROOT_KEY: Final = bytes.fromhex(
    "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """A P-256 root key, `x || y`, 64 bytes big-endian. Whoever holds its private half can vouch for any evidence."""

    key: bytes
    name: str

    @classmethod
    def intel(cls) -> Self:
        """Intel's SGX Root CA: genuine hardware."""
        return cls(INTEL_ROOT_KEY, "Intel SGX Root CA")

    @classmethod
    def from_pem(cls, pem: str | bytes, *, name: str = "") -> Self:
        """The key of a root certificate in PEM.

        Args:
            pem: one certificate.
            name: how to call it; its common name when not given.

        Raises:
            MalformedCollateral: not a certificate with a P-256 key.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)
            key = certificate.public_key()
        except ValueError as exc:
            raise MalformedCollateral(
                "the trust anchor is not a PEM certificate", hint="give one X.509 root in PEM"
            ) from exc
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise MalformedCollateral("the trust anchor's key is not P-256", seen=type(key).__name__, wanted="EC P-256")
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return cls(point[1:], name or certificate.subject.rfc4514_string())

    @property
    def is_intel(self) -> bool:
        """Whether this is Intel's root; every other root is somebody's software platform."""
        return self.key == INTEL_ROOT_KEY
