"""The quoting enclave: turns a report into a quote, certified by the platform's PCK.

Layout and bindings: Intel "SGX ECDSA QuoteLibReference DCAP API", appendix A.4, and "TDX DCAP Quoting Library API",
appendix A.3.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ambergate.core.measurements import MrEnclave, MrSigner, ReportData
from ambergate.core.quote.codec import signed_region
from ambergate.core.quote.layout import (
    ECDSA_P256,
    INTEL_QE_VENDOR,
    PCK_CERT_CHAIN,
    Certification,
    Quote,
    QuoteHeader,
    TeeType,
)
from ambergate.core.quote.report import EnclaveReport, write_enclave_report
from ambergate.simulator.cpu import EnclaveIdentity, Processor
from ambergate.simulator.keys import public_octets, sign_raw

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from ambergate.core.quote.td_report import TdReport

AUTH_DATA_SIZE: Final = 32  # bytes; Intel's quoting enclave always sends as many, and dcap-qvl takes no others

# The simulated quoting enclave. ISVPRODID 1 is the SGX quoting enclave's; the hashes stand for no program or key.
QUOTING_ENCLAVE: Final = EnclaveIdentity(
    mr_enclave=MrEnclave(hashlib.sha256(b"ambergate simulator: quoting enclave").digest()),
    mr_signer=MrSigner(hashlib.sha256(b"ambergate simulator: quoting enclave signer").digest()),
    isv_prod_id=1,
    isv_svn=8,
    provision_key=True,
)
# Its sibling for TDs: the same signer, ISVPRODID 2.
TD_QUOTING_ENCLAVE: Final = replace(
    QUOTING_ENCLAVE,
    mr_enclave=MrEnclave(hashlib.sha256(b"ambergate simulator: TD quoting enclave").digest()),
    isv_prod_id=2,
)
SGX_VERSION: Final = 3  # of quotes of enclaves, as deployed quoting enclaves write them
TD_VERSION: Final = 4  # of quotes of TDs: the first that knows them


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotingEnclave:
    """A quoting enclave with its keys; every part can be replaced, since forging is the point."""

    processor: Processor
    identity: EnclaveIdentity
    attestation_key: ec.EllipticCurvePrivateKey
    certification_key: ec.EllipticCurvePrivateKey  # the PCK's private half, which hardware keeps in the PCE
    certificates: str  # PCK chain in PEM, leaf first
    auth_data: bytes
    platform_id: bytes  # 16 bytes in the header's user data
    pce_svn: int

    def quote(self, report: EnclaveReport | TdReport, *, version: int | None = None) -> Quote:
        """A quote over the report, as genuine as this platform's root.

        Args:
            report: of an enclave or of a TD; nothing asks whether this quoting enclave is for its kind.
            version: of the quote; the usual one for the kind of report when not given.
        """
        key = public_octets(self.attestation_key)
        qe_report = self.processor.ereport(self.identity, binding(key, self.auth_data))
        unsigned = Quote(
            header=self._header(report, version),
            body=report,
            signature=bytes(64),
            attestation_key=key,
            qe_report=qe_report,
            qe_report_signature=self.certify(qe_report),
            qe_auth_data=self.auth_data,
            certification=Certification(kind=PCK_CERT_CHAIN, data=certification_data(self.certificates)),
        )
        return sign_quote(unsigned, self.attestation_key)

    def certify(self, qe_report: EnclaveReport) -> bytes:
        """The PCK's signature over a quoting enclave's report.

        Hardware certifies an attestation key once and keeps the signature: so every quote brings the same.
        """
        return sign_raw(self.certification_key, write_enclave_report(qe_report), same_again=True)

    def _header(self, report: EnclaveReport | TdReport, version: int | None) -> QuoteHeader:
        of_enclave = isinstance(report, EnclaveReport)
        chosen = version or (SGX_VERSION if of_enclave else TD_VERSION)
        svns = self.identity.isv_svn.to_bytes(2, "little") + self.pce_svn.to_bytes(2, "little")
        return QuoteHeader(
            version=chosen,
            attestation_key_type=ECDSA_P256,
            tee=TeeType.SGX if of_enclave else TeeType.TDX,
            reserved=svns if chosen == SGX_VERSION else bytes(4),
            qe_vendor_id=INTEL_QE_VENDOR,
            user_data=self.platform_id + bytes(4),
        )


def binding(attestation_key: bytes, auth_data: bytes) -> ReportData:
    """What a quoting enclave reports: SHA-256 over its attestation key and authentication data, then zeros."""
    return ReportData(hashlib.sha256(attestation_key + auth_data).digest() + bytes(32))


def certification_data(certificates: str) -> bytes:
    """A chain in PEM as Intel's quoting library puts it into quotes: with the C string's terminator."""
    return certificates.encode() + b"\0"


def sign_quote(quote: Quote, attestation_key: ec.EllipticCurvePrivateKey) -> Quote:
    """The quote with a fresh signature over its header and body."""
    return replace(quote, signature=sign_raw(attestation_key, signed_region(quote)))
