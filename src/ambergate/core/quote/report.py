"""The REPORT body of an SGX enclave, as it stands in a quote.

Layout: Intel SDM volume 3D, table "REPORT"; the same 384 bytes serve as quote body and as QE report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambergate.core.measurements import Attributes, CpuSvn, MrEnclave, MrSigner, ReportData

if TYPE_CHECKING:
    from ambergate.core.octets import Cursor

ENCLAVE_REPORT_SIZE = 384  # bytes


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


def read_enclave_report(cursor: Cursor) -> EnclaveReport:
    """The next 384 bytes as a report.

    Raises:
        Malformed: (the cursor's class) fewer bytes are left.
    """
    return EnclaveReport(
        cpu_svn=CpuSvn(cursor.take(16, "CPUSVN")),
        misc_select=cursor.integer(4, "MISCSELECT"),
        reserved1=cursor.take(12, "reserved bytes"),
        isv_ext_prod_id=cursor.take(16, "ISVEXTPRODID"),
        attributes=Attributes(cursor.take(16, "ATTRIBUTES")),
        mr_enclave=MrEnclave(cursor.take(32, "MRENCLAVE")),
        reserved2=cursor.take(32, "reserved bytes"),
        mr_signer=MrSigner(cursor.take(32, "MRSIGNER")),
        reserved3=cursor.take(32, "reserved bytes"),
        config_id=cursor.take(64, "CONFIGID"),
        isv_prod_id=cursor.integer(2, "ISVPRODID"),
        isv_svn=cursor.integer(2, "ISVSVN"),
        config_svn=cursor.integer(2, "CONFIGSVN"),
        reserved4=cursor.take(42, "reserved bytes"),
        isv_family_id=cursor.take(16, "ISVFAMILYID"),
        report_data=ReportData(cursor.take(64, "REPORTDATA")),
    )


def write_enclave_report(report: EnclaveReport) -> bytes:
    """The report's 384 bytes."""
    return b"".join(
        (
            report.cpu_svn.value,
            report.misc_select.to_bytes(4, "little"),
            report.reserved1,
            report.isv_ext_prod_id,
            report.attributes.value,
            report.mr_enclave.value,
            report.reserved2,
            report.mr_signer.value,
            report.reserved3,
            report.config_id,
            report.isv_prod_id.to_bytes(2, "little"),
            report.isv_svn.to_bytes(2, "little"),
            report.config_svn.to_bytes(2, "little"),
            report.reserved4,
            report.isv_family_id,
            report.report_data.value,
        )
    )
