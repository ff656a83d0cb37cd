"""`parse_quote` and `encode_quote`: exact inverses of each other.

Layout: Intel "SGX ECDSA QuoteLibReference DCAP API", appendix A.4 (version 3), and "TDX DCAP Quoting Library API",
appendix A.3 (versions 4 and 5). Integers are little-endian, key coordinates and signatures big-endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.quote.layout import INTEL_QE_VENDOR, QE_REPORT_CERTIFICATION, Certification, Quote, QuoteHeader
from ambergate.core.quote.parts import HEADER, SGX, TD_10, TD_15, BodyKind, cut_quote
from ambergate.core.quote.report import EnclaveReport, read_enclave_report, write_enclave_report
from ambergate.core.quote.td_report import read_td_report, write_td_report

if TYPE_CHECKING:
    from ambergate.core.quote.td_report import TdReport


def parse_quote(raw: bytes) -> Quote:
    """Read a quote's bytes: SGX in versions 3, 4, 5, TDX in 4 and 5.

    Proves nothing but the shape: every length fits, every enumeration is known, the vendor is Intel, the attestation
    key type is ECDSA P-256. Up to `MAX_TRAILING` bytes of container padding are kept in `trailing`.

    Args:
        raw: the quote, at most 64 KiB.

    Raises:
        MalformedEvidence: anything else. No other error, whatever the bytes.
    """
    parts = cut_quote(bytes(raw))
    version, key_type, _, reserved, _, user_data = HEADER.unpack(parts.header)
    return Quote(
        header=QuoteHeader(
            version=version,
            attestation_key_type=key_type,
            tee=parts.kind.tee,
            reserved=reserved,
            qe_vendor_id=INTEL_QE_VENDOR,
            user_data=user_data,
        ),
        body=read_enclave_report(parts.body) if parts.kind is SGX else read_td_report(parts.body),
        signature=parts.signature,
        attestation_key=parts.attestation_key,
        qe_report=read_enclave_report(parts.qe_report),
        qe_report_signature=parts.qe_report_signature,
        qe_auth_data=parts.qe_auth_data,
        certification=Certification(kind=parts.certification_kind, data=parts.certification_data),
        trailing=parts.trailing,
    )


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
    return HEADER.pack(
        header.version,
        header.attestation_key_type,
        header.tee.value,
        header.reserved,
        header.qe_vendor_id.value,
        header.user_data,
    )


def _encode_certification(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "little") + len(data).to_bytes(4, "little") + data


def _kind_of(body: EnclaveReport | TdReport) -> BodyKind:
    if isinstance(body, EnclaveReport):
        return SGX
    return TD_10 if body.tee_tcb_svn2 is None else TD_15
