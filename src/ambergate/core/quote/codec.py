"""`parse_quote` and `encode_quote`: exact inverses of each other.

Layout: Intel "SGX ECDSA QuoteLibReference DCAP API", appendix A.4. Integers are little-endian, key coordinates and
signatures big-endian.
"""

from __future__ import annotations

from ambergate.core.errors import MalformedEvidence
from ambergate.core.measurements import QeVendorId
from ambergate.core.octets import Cursor
from ambergate.core.quote.layout import (
    ECDSA_P256,
    INTEL_QE_VENDOR,
    MAX_QUOTE,
    MAX_TRAILING,
    Certification,
    Quote,
    QuoteHeader,
    TeeType,
)
from ambergate.core.quote.report import (
    ENCLAVE_REPORT_SIZE,
    EnclaveReport,
    read_enclave_report,
    write_enclave_report,
)


def parse_quote(raw: bytes) -> Quote:
    """Read a quote's bytes.

    Proves nothing but the shape: every length fits, every enumeration is known, the vendor is Intel, the attestation
    key type is ECDSA P-256. Up to `MAX_TRAILING` bytes of container padding are kept in `trailing`.

    Args:
        raw: the quote, at most 64 KiB.

    Raises:
        MalformedEvidence: anything else. No other error, whatever the bytes.
    """
    if len(raw) > MAX_QUOTE:
        message = "a quote is not that long"
        raise MalformedEvidence(message, seen=f"{len(raw)} bytes", wanted=f"at most {MAX_QUOTE}")
    cursor = Cursor(bytes(raw), error=MalformedEvidence, what="the quote")
    header = _read_header(cursor)
    body = read_enclave_report(cursor)
    size = cursor.integer(4, "the size of the signature data")
    signature_data = cursor.take(size, "the signature data")
    if cursor.remaining > MAX_TRAILING:
        message = "too many bytes follow the signature data"
        raise MalformedEvidence(message, seen=f"{cursor.remaining} bytes", wanted=f"at most {MAX_TRAILING} of padding")
    return _read_signature_data(header, body, signature_data, trailing=cursor.take(cursor.remaining, "the padding"))


def encode_quote(quote: Quote) -> bytes:
    """The quote's bytes, padding included; `parse_quote(encode_quote(q)) == q` and the reverse."""
    signature_data = b"".join(
        (
            quote.signature,
            quote.attestation_key,
            write_enclave_report(quote.qe_report),
            quote.qe_report_signature,
            len(quote.qe_auth_data).to_bytes(2, "little"),
            quote.qe_auth_data,
            quote.certification.kind.to_bytes(2, "little"),
            len(quote.certification.data).to_bytes(4, "little"),
            quote.certification.data,
        )
    )
    return b"".join((signed_region(quote), len(signature_data).to_bytes(4, "little"), signature_data, quote.trailing))


def signed_region(quote: Quote) -> bytes:
    """The bytes that the attestation key signs: header and body."""
    return encode_header(quote.header) + write_enclave_report(quote.body)


def encode_header(header: QuoteHeader) -> bytes:
    """The header's 48 bytes."""
    return b"".join(
        (
            header.version.to_bytes(2, "little"),
            header.attestation_key_type.to_bytes(2, "little"),
            header.tee.value.to_bytes(4, "little"),
            header.reserved,
            header.qe_vendor_id.value,
            header.user_data,
        )
    )


def _read_header(cursor: Cursor) -> QuoteHeader:
    version = cursor.integer(2, "the version")
    if version != 3:
        raise MalformedEvidence("the quote's version is not supported", seen=version, wanted="3")
    key_type = cursor.integer(2, "the attestation key type")
    if key_type != ECDSA_P256:
        raise MalformedEvidence("the attestation key type is not ECDSA P-256", seen=key_type, wanted=ECDSA_P256)
    tee = cursor.integer(4, "the TEE type")
    if tee != TeeType.SGX.value:
        raise MalformedEvidence("a version 3 quote speaks of SGX only", seen=hex(tee), wanted="0x0")
    reserved = cursor.take(4, "reserved bytes")
    vendor = QeVendorId(cursor.take(16, "the QE vendor"))
    if vendor != INTEL_QE_VENDOR:
        raise MalformedEvidence("the quoting enclave is not Intel's", seen=vendor, wanted=INTEL_QE_VENDOR)
    user_data = cursor.take(20, "user data")
    return QuoteHeader(
        version=version,
        attestation_key_type=key_type,
        tee=TeeType.SGX,
        reserved=reserved,
        qe_vendor_id=vendor,
        user_data=user_data,
    )


def _read_signature_data(header: QuoteHeader, body: EnclaveReport, data: bytes, *, trailing: bytes) -> Quote:
    cursor = Cursor(data, error=MalformedEvidence, what="the signature data")
    signature = cursor.take(64, "the quote's signature")
    attestation_key = cursor.take(64, "the attestation key")
    report = Cursor(cursor.take(ENCLAVE_REPORT_SIZE, "the QE report"), error=MalformedEvidence, what="the QE report")
    qe_report = read_enclave_report(report)
    qe_report_signature = cursor.take(64, "the QE report's signature")
    qe_auth_data = cursor.take(
        cursor.integer(2, "the size of the QE authentication data"), "the QE authentication data"
    )
    kind = cursor.integer(2, "the certification data type")
    if not 1 <= kind <= 5:
        raise MalformedEvidence("the certification data type is unknown", seen=kind, wanted="1 to 5")
    certification = Certification(
        kind=kind,
        data=cursor.take(cursor.integer(4, "the size of the certification data"), "the certification data"),
    )
    cursor.finish()
    return Quote(
        header=header,
        body=body,
        signature=signature,
        attestation_key=attestation_key,
        qe_report=qe_report,
        qe_report_signature=qe_report_signature,
        qe_auth_data=qe_auth_data,
        certification=certification,
        trailing=trailing,
    )
