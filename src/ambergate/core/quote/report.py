"""The REPORT body of an SGX enclave, as it stands in a quote.

Layout: Intel SDM volume 3D, table "REPORT"; the same 384 bytes serve as quote body and as QE report.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from ambergate.core.measurements import Attributes, CpuSvn, MrEnclave, MrSigner, ReportData

ENCLAVE_REPORT_SIZE: Final = 384  # bytes
REPORT_DATA: Final = slice(320, 384)  # where it stands
# CPUSVN, MISCSELECT, reserved, ISVEXTPRODID, ATTRIBUTES, MRENCLAVE, reserved, MRSIGNER, reserved, CONFIGID, ISVPRODID,
# ISVSVN, CONFIGSVN, reserved, ISVFAMILYID, REPORTDATA.
_LAYOUT: Final = Struct("<16s I 12s 16s 16s 32s 32s 32s 32s 64s H H H 42s 16s 64s")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveReport:
    """What one enclave is. Says nothing of who vouches for it. Reserved bytes are kept as they came."""

    cpu_svn: CpuSvn
    misc_select: int
    reserved1: bytes = bytes(12)
    isv_ext_prod_id: bytes = bytes(16)
    attributes: Attributes
    mr_enclave: MrEnclave
    reserved2: bytes = bytes(32)
    mr_signer: MrSigner
    reserved3: bytes = bytes(32)
    config_id: bytes = bytes(64)
    isv_prod_id: int
    isv_svn: int
    config_svn: int = 0
    reserved4: bytes = bytes(42)
    isv_family_id: bytes = bytes(16)
    report_data: ReportData

    @property
    def debug(self) -> bool:
        """The enclave runs under debug: nothing in it is secret."""
        return self.attributes.debug


class RawReport(NamedTuple):
    """The same fields, each as it stands in the 384 bytes."""

    cpu_svn: bytes
    misc_select: int
    reserved1: bytes
    isv_ext_prod_id: bytes
    attributes: bytes
    mr_enclave: bytes
    reserved2: bytes
    mr_signer: bytes
    reserved3: bytes
    config_id: bytes
    isv_prod_id: int
    isv_svn: int
    config_svn: int
    reserved4: bytes
    isv_family_id: bytes
    report_data: bytes


def cut_enclave_report(data: bytes) -> RawReport:
    """The fields of exactly 384 bytes."""
    return RawReport._make(_LAYOUT.unpack(data))


def read_enclave_report(data: bytes) -> EnclaveReport:
    """Exactly 384 bytes as a report."""
    raw = cut_enclave_report(data)
    return EnclaveReport(
        cpu_svn=CpuSvn(raw.cpu_svn),
        misc_select=raw.misc_select,
        reserved1=raw.reserved1,
        isv_ext_prod_id=raw.isv_ext_prod_id,
        attributes=Attributes(raw.attributes),
        mr_enclave=MrEnclave(raw.mr_enclave),
        reserved2=raw.reserved2,
        mr_signer=MrSigner(raw.mr_signer),
        reserved3=raw.reserved3,
        config_id=raw.config_id,
        isv_prod_id=raw.isv_prod_id,
        isv_svn=raw.isv_svn,
        config_svn=raw.config_svn,
        reserved4=raw.reserved4,
        isv_family_id=raw.isv_family_id,
        report_data=ReportData(raw.report_data),
    )


def write_enclave_report(report: EnclaveReport) -> bytes:
    """The report's 384 bytes."""
    return _LAYOUT.pack(
        report.cpu_svn.value,
        report.misc_select,
        report.reserved1,
        report.isv_ext_prod_id,
        report.attributes.value,
        report.mr_enclave.value,
        report.reserved2,
        report.mr_signer.value,
        report.reserved3,
        report.config_id,
        report.isv_prod_id,
        report.isv_svn,
        report.config_svn,
        report.reserved4,
        report.isv_family_id,
        report.report_data.value,
    )
