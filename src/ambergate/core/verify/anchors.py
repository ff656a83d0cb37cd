"""Trust anchors: the one key that a whole verification hangs on, given as an argument."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ambergate.core.collateral.certificates import Certificate, read_certificate
from ambergate.core.errors import Malformed, MalformedCollateral
from ambergate.core.verify.signatures import is_signed

# x || y of the key in Intel's "SGX Root CA" certificate. Both published certificates (not after 2033 and 2049) hold
# it; the reference compares this key too (QvE wrapper, `INTEL_ROOT_PUB_KEY`), never the certificate's bytes.
INTEL_ROOT_KEY: Final = bytes.fromhex(
    "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)
# SHA-256 of those two certificates in DER: not after 2049-12-31, and not after 2033-05-21.
INTEL_ROOTS: Final = frozenset(
    {
        bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),
        bytes.fromhex("fc64f8076d79a4fee9d1d473d74c89eb8d8fd55c5abafeabeba7366d20429404"),
    }
)


@dataclass(frozen=True, slots=True)
class TrustAnchor:
    """A P-256 root key, `x || y`, 64 bytes big-endian. Whoever holds its private half can vouch for any evidence.

    `roots` are SHA-256 digests of certificates that hold this key and are signed by it. What is trusted is the key
    alone; but who brings one of these to the byte brings nothing that would have to be read or checked again.
    """

    key: bytes
    name: str
    roots: frozenset[bytes] = field(default=frozenset(), compare=False, repr=False)
    _read: dict[bytes, Certificate] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def intel(cls) -> Self:
        """Intel's SGX Root CA: genuine hardware."""
        return cls(INTEL_ROOT_KEY, "Intel SGX Root CA", INTEL_ROOTS)

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
        der = certificate.public_bytes(Encoding.DER)
        return cls(point[1:], name or certificate.subject.rfc4514_string(), _own_root(der))

    @property
    def is_intel(self) -> bool:
        """Whether this is Intel's root; every other root is somebody's software platform."""
        return self.key == INTEL_ROOT_KEY

    def get(self, der: bytes) -> Certificate | None:
        """The certificate of these bytes if it is one of `roots`: proven to be signed by its own key, the anchor's."""
        if self.key not in der:  # as they stand there, x || y: most certificates are none of these
            return None
        found = self._read.get(der)
        if found is None and hashlib.sha256(der).digest() in self.roots:
            found = self._read[der] = read_certificate(der)  # as many as there are roots, at most
        return found


def _own_root(der: bytes) -> frozenset[bytes]:
    """The digest of a root that signed itself; none of another certificate, which will be asked for it each time."""
    try:
        root = read_certificate(der)
    except Malformed:
        return frozenset()
    signed = root.self_issued and is_signed(root.public_key, root.signature, root.to_be_signed)
    return frozenset({hashlib.sha256(der).digest()}) if signed else frozenset()
