"""`parse_quote` and `encode_quote`: exact inverses of each other.

Layout: Intel "SGX ECDSA QuoteLibReference DCAP API", appendix A.4 (version 3), and "TDX DCAP Quoting Library API",
appendix A.3 (versions 4 and 5). Integers are little-endian, key coordinates and signatures big-endian.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.errors import MalformedEvidence
from ambergate.core.octets import Cursor
from ambergate.core.quote.layout import (
    ECDSA_P256,
    HEADER_SIZE,
    INTEL_QE_VENDOR,
    MAX_QUOTE,
    MAX_TRAILING,
    QE_REPORT_CERTIFICATION,
    Certification,
    Quote,
    QuoteHeader,
    TeeType,
)
from ambergate.core.quote.report import EnclaveReport, read_enclave_report, write_enclave_report
from ambergate.core.quote.td_report import TD_REPORT_10_SIZE, TD_REPORT_15_SIZE, read_td_report, write_td_report

if TYPE_CHECKING:
    from ambergate.core.quote.td_report import TdReport

VERSIONS: Final = (3, 4, 5)
# Version, attestation key type, TEE type, reserved, QE vendor, user data.
_HEADER: Final = Struct("<H H I 4s 16s 20s")


class _BodyKind(NamedTuple):
    """What a version 5 body descriptor may say: its type, its size in bytes, and the TEE that has it."""

    number: int
    size: int
    tee: TeeType


_SGX: Final = _BodyKind(1, 384, TeeType.SGX)
_TD_10: Final = _BodyKind(2, TD_REPORT_10_SIZE, TeeType.TDX)
_TD_15: Final = _BodyKind(3, TD_REPORT_15_SIZE, TeeType.TDX)
_BODY_KINDS: Final = {kind.number: kind for kind in (_SGX, _TD_10, _TD_15)}


def parse_quote(raw: bytes) -> Quote:
    """Read a quote's bytes: SGX in versions 3, 4, 5, TDX in 4 and 5.

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
    body = _read_body(cursor, header)
    signature_data = cursor.take(cursor.integer(4, "the size of the signature data"), "the signature data")
    if cursor.remaining > MAX_TRAILING:
        message = "too many bytes follow the signature data"
        raise MalformedEvidence(message, seen=f"{cursor.remaining} bytes", wanted=f"at most {MAX_TRAILING} of padding")
    return _read_signature_data(header, body, signature_data, trailing=cursor.take(cursor.remaining, "the padding"))


def encode_quote(quote: Quote) -> bytes:
    """The quote's bytes, padding included; `parse_quote(encode_quote(q)) == q` and the reverse."""
    report = write_enclave_report(quote.qe_report) + quote.qe_report_signature
    auth = len(quote.qe_auth_data).to_bytes(2, "little") + quote.qe_auth_data
    certified = report + auth + _encode_certification(quote.certification.kind, quote.certification.data)
    if quote.header.version > 3:
        certified = _encode_certification(QE_REPORT_CERTIFICATION, certified)
    signature_data = quote.signature + quote.attestation_key + certified
    return b"".join((signed_region(quote), len(signature_data).to_bytes(4, "little"), signature_data, quote.trailing))


def signed_region(quote: Quote) -> bytes:
    """The bytes that the attestation key signs: header and body, in version 5 with the body's descriptor."""
    body = write_enclave_report(quote.body) if isinstance(quote.body, EnclaveReport) else write_td_report(quote.body)
    if quote.header.version < 5:
        return encode_header(quote.header) + body
    kind = _kind_of(quote.body)
    descriptor = kind.number.to_bytes(2, "little") + kind.size.to_bytes(4, "little")
    return encode_header(quote.header) + descriptor + body


def encode_header(header: QuoteHeader) -> bytes:
    """The header's 48 bytes."""
    return _HEADER.pack(
        header.version,
        header.attestation_key_type,
        header.tee.value,
        header.reserved,
        header.qe_vendor_id.value,
        header.user_data,
    )


def _encode_certification(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "little") + len(data).to_bytes(4, "little") + data


def _kind_of(body: EnclaveReport | TdReport) -> _BodyKind:
    if isinstance(body, EnclaveReport):
        return _SGX
    return _TD_10 if body.tee_tcb_svn2 is None else _TD_15


def _read_header(cursor: Cursor) -> QuoteHeader:
    version, key_type, tee, reserved, vendor, user_data = _HEADER.unpack(cursor.take(HEADER_SIZE, "the header"))
    if version not in VERSIONS:
        raise MalformedEvidence("the quote's version is not supported", seen=version, wanted="3, 4 or 5")
    if key_type != ECDSA_P256:
        raise MalformedEvidence("the attestation key type is not ECDSA P-256", seen=key_type, wanted=ECDSA_P256)
    if vendor != INTEL_QE_VENDOR.value:
        raise MalformedEvidence("the quoting enclave is not Intel's", seen=vendor.hex(), wanted=INTEL_QE_VENDOR)
    return QuoteHeader(
        version=version,
        attestation_key_type=key_type,
        tee=_read_tee(tee, version),
        reserved=reserved,
        qe_vendor_id=INTEL_QE_VENDOR,
        user_data=user_data,
    )


def _read_tee(number: int, version: int) -> TeeType:
    if version == 3 and number != TeeType.SGX.value:
        raise MalformedEvidence("a version 3 quote speaks of SGX only", seen=hex(number), wanted="0x0")
    try:
        return TeeType(number)
    except ValueError as exc:
        raise MalformedEvidence("the TEE type is unknown", seen=hex(number), wanted="0x0 or 0x81") from exc


def _read_body(cursor: Cursor, header: QuoteHeader) -> EnclaveReport | TdReport:
    kind = _SGX if header.tee is TeeType.SGX else _TD_10
    if header.version == 5:
        number, size = cursor.integer(2, "the body's type"), cursor.integer(4, "the body's size")
        described = _BODY_KINDS.get(number)
        if described is None or described.size != size or described.tee is not header.tee:
            wanted = ", ".join(
                f"type {k.number} of {k.size} bytes" for k in _BODY_KINDS.values() if k.tee is header.tee
            )
            raise MalformedEvidence(
                "the body's descriptor is wrong", seen=f"type {number} of {size} bytes", wanted=wanted
            )
        kind = described
    return read_enclave_report(cursor) if kind is _SGX else read_td_report(cursor, extended=kind is _TD_15)


def _read_signature_data(header: QuoteHeader, body: EnclaveReport | TdReport, data: bytes, *, trailing: bytes) -> Quote:
    cursor = Cursor(data, error=MalformedEvidence, what="the signature data")
    signature = cursor.take(64, "the quote's signature")
    attestation_key = cursor.take(64, "the attestation key")
    inner = _unwrap(cursor) if header.version > 3 else cursor
    qe_report = read_enclave_report(inner)
    qe_report_signature = inner.take(64, "the QE report's signature")
    qe_auth_data = inner.take(inner.integer(2, "the size of the QE authentication data"), "the QE authentication data")
    certification = _read_certification(inner)
    inner.finish()
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


def _unwrap(cursor: Cursor) -> Cursor:
    """The inside of the certification data of type 6, in which versions 4 and 5 keep the QE report."""
    kind = cursor.integer(2, "the outer certification data type")
    if kind != QE_REPORT_CERTIFICATION:
        raise MalformedEvidence("the outer certification data type is wrong", seen=kind, wanted=QE_REPORT_CERTIFICATION)
    data = cursor.take(cursor.integer(4, "the size of the outer certification data"), "the outer certification data")
    return Cursor(data, error=MalformedEvidence, what="the outer certification data")


def _read_certification(cursor: Cursor) -> Certification:
    kind = cursor.integer(2, "the certification data type")
    if not 1 <= kind <= 5:
        raise MalformedEvidence("the certification data type is unknown", seen=kind, wanted="1 to 5")
    size = cursor.integer(4, "the size of the certification data")
    return Certification(kind=kind, data=cursor.take(size, "the certification data"))
