"""A quote as types.

Layout: Intel "SGX ECDSA QuoteLibReference DCAP API", appendix A.4 (version 3), and "TDX DCAP Quoting Library API",
appendix A.3 (versions 4 and 5).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.measurements import QeVendorId
from ambergate.core.quote.report import EnclaveReport

if TYPE_CHECKING:
    from ambergate.core.quote.td_report import TdReport

HEADER_SIZE: Final = 48  # bytes
ECDSA_P256: Final = 2  # attestation key type: ECDSA-256 with P-256; the only one that the reference accepts
INTEL_QE_VENDOR: Final = QeVendorId.from_hex("939a7233f79c4ca9940a0db3957f0607")
PCK_CERT_CHAIN: Final = 5  # certification data type: PCK leaf, intermediate and root as concatenated PEM
QE_REPORT_CERTIFICATION: Final = 6  # certification data type: QE report, its signature, and certification data inside
MAX_TRAILING: Final = 4096  # bytes of padding after the signature data; see docs/adr/0009 for what is published
MAX_QUOTE: Final = 64 * 1024  # bytes; the largest published quote is below 12 KiB


class TeeType(enum.Enum):
    """The trusted execution environment that a quote speaks of, by its number in the header."""

    SGX = 0x00
    TDX = 0x81


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteHeader:
    """The first 48 bytes, all of them covered by the quote's signature."""

    version: int
    attestation_key_type: int
    tee: TeeType
    # Version 3: QE SVN and PCE SVN, two bytes each, not to be trusted, the certificate says; reserved later.
    reserved: bytes = bytes(4)
    qe_vendor_id: QeVendorId
    user_data: bytes = bytes(20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """What came along to certify the quoting enclave; `kind` is the certification data type, 1 to 5.

    In versions 4 and 5 it stands inside certification data of type 6, together with the QE report.
    """

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What somebody claims. Nothing in it is proven; `verify_quote` makes a `VerifiedQuote` of it."""

    header: QuoteHeader
    body: EnclaveReport | TdReport
    signature: bytes  # r || s, 64 bytes big-endian, by the attestation key over header and body
    attestation_key: bytes  # x || y, 64 bytes big-endian
    qe_report: EnclaveReport
    qe_report_signature: bytes  # r || s, by the PCK key over the QE report
    qe_auth_data: bytes
    certification: Certification
    trailing: bytes = b""  # bytes after the signature data: padding of the container, covered by nothing

    @property
    def tee(self) -> TeeType:
        """The kind of environment that the header claims."""
        return self.header.tee

    @property
    def enclave(self) -> EnclaveReport:
        """The report of an SGX quote.

        Raises:
            ValueError: the quote is of a TD.
        """
        return enclave_of(self.body)


def enclave_of(report: EnclaveReport | TdReport) -> EnclaveReport:
    """The report, if it is of an SGX enclave.

    Raises:
        ValueError: it is of a TD.
    """
    if not isinstance(report, EnclaveReport):
        msg = "this is the report of a TD, not of an enclave"
        raise ValueError(msg)  # noqa: TRY004  a quote of another TEE is another value, not a wrong type
    return report
