"""X.509 certificates of Intel's PKI, parsed by `cryptography` and reduced to what the verifier compares.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3; RFC 5280.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from ambergate.core.collateral import der
from ambergate.core.errors import MalformedCollateral

if TYPE_CHECKING:
    from datetime import datetime

MAX_CHAIN: Final = 8  # certificates; Intel's chains hold two or three
MAX_CERTIFICATE: Final = 8 * 1024  # bytes of DER; Intel's are about 700 to 1300
_PEM_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,12000})-----END CERTIFICATE-----")
_BEGIN: Final = b"-----BEGIN"
_END: Final = b"-----END"

# Extensions that Intel's parser insists on (QVL `Certificate::setExtensions`).
_REQUIRED: Final = (
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.BASIC_CONSTRAINTS,
)

# What `cryptography` raises on certificates and CRLs that it cannot make sense of, at load or at first access.
FOREIGN_ERRORS: Final = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate. Nothing of it is proven. Names are compared as DER bytes."""

    der: bytes
    to_be_signed: bytes
    signature: bytes  # DER SEQUENCE of r and s
    subject: bytes
    issuer: bytes
    common_name: str
    serial: int
    not_before: datetime
    not_after: datetime
    is_ca: bool
    public_key: ec.EllipticCurvePublicKey
    point: bytes  # x || y, 64 bytes
    sgx_extension: bytes | None

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are one name."""
        return self.subject == self.issuer


def read_pem_chain(text: bytes) -> tuple[Certificate, ...]:
    """The certificates of concatenated PEM blocks, in the order they stand in.

    Text around the blocks is tolerated, as the reference does, unless it holds another marker.

    Raises:
        MalformedCollateral: no block, more than `MAX_CHAIN`, broken markers, or a certificate that does not parse.
    """
    blocks = _PEM_BLOCK.findall(text)
    markers = (text.count(_BEGIN), text.count(_END))
    if not 1 <= len(blocks) <= MAX_CHAIN or markers != (len(blocks), len(blocks)):
        raise MalformedCollateral(
            "the chain is not concatenated PEM certificates",
            seen=f"{len(blocks)} whole blocks, {markers[0]} BEGIN and {markers[1]} END markers",
            wanted=f"1 to {MAX_CHAIN} whole blocks",
        )
    return tuple(read_certificate(_unarmour(block)) for block in blocks)


def read_certificate(data: bytes) -> Certificate:
    """One certificate from DER.

    Raises:
        MalformedCollateral: not X.509 v3 with a P-256 key, ECDSA with SHA-256, a common name and Intel's extensions.
    """
    if len(data) > MAX_CERTIFICATE:
        raise MalformedCollateral(
            "a certificate is too long", seen=f"{len(data)} bytes", wanted=f"at most {MAX_CERTIFICATE}"
        )
    try:
        parsed = x509.load_der_x509_certificate(data)
        return _reduce(parsed, data)
    except FOREIGN_ERRORS as exc:
        raise MalformedCollateral("a certificate does not parse", seen=str(exc) or type(exc).__name__) from exc


def _unarmour(block: bytes) -> bytes:
    try:
        return binascii.a2b_base64(b"".join(block.split()), strict_mode=True)
    except binascii.Error as exc:
        raise MalformedCollateral("a PEM block is not base64", seen=str(exc)) from exc


def _reduce(parsed: x509.Certificate, data: bytes) -> Certificate:
    extensions = parsed.extensions
    present = {extension.oid: extension.value for extension in extensions}
    missing = [oid.dotted_string for oid in _REQUIRED if oid not in present]
    if missing:
        raise MalformedCollateral(
            "a certificate lacks extensions",
            seen=f"no {', '.join(missing)}",
            wanted="Intel's certificate profile",
        )
    if parsed.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        oid = parsed.signature_algorithm_oid.dotted_string
        raise MalformedCollateral(
            "a certificate is not signed with ECDSA and SHA-256", seen=oid, wanted="1.2.840.10045.4.3.2"
        )
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise MalformedCollateral("a certificate has no single common name", seen=f"{len(names)} of them", wanted="1")
    key = p256_key(parsed.public_key())
    sgx = present.get(SGX_EXTENSION_OID)
    to_be_signed, issuer, subject = _slices(data)
    return Certificate(
        der=data,
        to_be_signed=to_be_signed,
        signature=parsed.signature,
        subject=subject,
        issuer=issuer,
        common_name=str(names[0].value),
        serial=parsed.serial_number,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        is_ca=_is_ca(present[ExtensionOID.BASIC_CONSTRAINTS]),
        public_key=key,
        point=key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:],
        sgx_extension=sgx.value if isinstance(sgx, x509.UnrecognizedExtension) else None,
    )


SGX_EXTENSION_OID: Final = x509.ObjectIdentifier("1.2.840.113741.1.13.1")


def p256_key(key: object) -> ec.EllipticCurvePublicKey:
    """The key, if it is one of P-256.

    Raises:
        MalformedCollateral: another algorithm or curve.
    """
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedCollateral("a certificate's key is not P-256", seen=type(key).__name__, wanted="EC P-256")
    return key


def _is_ca(constraints: x509.ExtensionType) -> bool:
    return isinstance(constraints, x509.BasicConstraints) and constraints.ca


def _slices(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The signed bytes, the issuer and the subject, sliced out of the certificate as they stand.

    `cryptography` re-serialises the signed part; what was signed is what stands here. The certificate has already
    been parsed by it, so the order of the fields (RFC 5280, 4.1) is known.
    """
    start, end = der.whole(data, der.SEQUENCE, "a certificate")
    _, content, stop = der.element(data, start, end)
    fields = [(begin, finish) for tag, begin, _, finish in der.children(data, content, stop) if tag != der.CONTEXT_0]
    (issuer, subject) = (fields[2], fields[4])  # serial, algorithm, issuer, validity, subject, key ...
    return data[start:stop], data[slice(*issuer)], data[slice(*subject)]
