"""The REPORT body of an SGX enclave, as it stands in a quote.

Layout: Intel SDM volume 3D, table "REPORT"; the same 384 bytes serve as quote body and as QE report.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from ambergate.core.measurements import Attributes, CpuSvn, MrEnclave, MrSigner, ReportData

if TYPE_CHECKING:
    from ambergate.core.octets import Cursor

ENCLAVE_REPORT_SIZE: Final = 384  # bytes
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


def read_enclave_report(cursor: Cursor) -> EnclaveReport:
    """The next 384 bytes as a report.

    Raises:
        Malformed: (the cursor's class) fewer bytes are left.
    """
    fields = _LAYOUT.unpack(cursor.take(ENCLAVE_REPORT_SIZE, "the enclave report"))
    return EnclaveReport(
        cpu_svn=CpuSvn(fields[0]),
        misc_select=fields[1],
        reserved1=fields[2],
        isv_ext_prod_id=fields[3],
        attributes=Attributes(fields[4]),
        mr_enclave=MrEnclave(fields[5]),
        reserved2=fields[6],
        mr_signer=MrSigner(fields[7]),
        reserved3=fields[8],
        config_id=fields[9],
        isv_prod_id=fields[10],
        isv_svn=fields[11],
        config_svn=fields[12],
        reserved4=fields[13],
        isv_family_id=fields[14],
        report_data=ReportData(fields[15]),
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
