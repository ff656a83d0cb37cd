"""The TD REPORT body of a TDX quote: version 1.0 (584 bytes) and 1.5 (648 bytes).

Layout: Intel "TDX DCAP Quoting Library API", appendix A.3.2 (TD Quote Body 1.0, 1.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.measurements import (
    Measurement384,
    MrSeam,
    MrSignerSeam,
    MrTd,
    ReportData,
    Rtmr,
    TdAttributes,
    TeeTcbSvn,
)

if TYPE_CHECKING:
    from ambergate.core.octets import Cursor

TD_REPORT_10_SIZE: Final = 584  # bytes
TD_REPORT_15_SIZE: Final = 648  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport:
    """What one TD is. Says nothing of who vouches for it. The last two fields are there in version 1.5 only."""

    tee_tcb_svn: TeeTcbSvn
    mr_seam: MrSeam
    mr_signer_seam: MrSignerSeam
    seam_attributes: bytes  # 8
    td_attributes: TdAttributes
    xfam: bytes  # 8
    mr_td: MrTd
    mr_config_id: Measurement384
    mr_owner: Measurement384
    mr_owner_config: Measurement384
    rtmrs: tuple[Rtmr, Rtmr, Rtmr, Rtmr]
    report_data: ReportData
    tee_tcb_svn2: TeeTcbSvn | None = None
    mr_service_td: Measurement384 | None = None

    @property
    def debug(self) -> bool:
        """The TD runs under debug: nothing in it is secret."""
        return self.td_attributes.debug

    @property
    def sept_ve_disable(self) -> bool:
        """SEPT_VE_DISABLE (bit 28): the host cannot inject #VE by taking pages away."""
        return bool(self.td_attributes.value[3] & 0x10)


def read_td_report(cursor: Cursor, *, extended: bool) -> TdReport:
    """The next 584 bytes (1.0) or 648 bytes (1.5, `extended`) as a TD report.

    Raises:
        Malformed: (the cursor's class) fewer bytes are left.
    """
    return TdReport(
        tee_tcb_svn=TeeTcbSvn(cursor.take(16, "TEE_TCB_SVN")),
        mr_seam=MrSeam(cursor.take(48, "MRSEAM")),
        mr_signer_seam=MrSignerSeam(cursor.take(48, "MRSIGNERSEAM")),
        seam_attributes=cursor.take(8, "SEAMATTRIBUTES"),
        td_attributes=TdAttributes(cursor.take(8, "TDATTRIBUTES")),
        xfam=cursor.take(8, "XFAM"),
        mr_td=MrTd(cursor.take(48, "MRTD")),
        mr_config_id=Measurement384(cursor.take(48, "MRCONFIGID")),
        mr_owner=Measurement384(cursor.take(48, "MROWNER")),
        mr_owner_config=Measurement384(cursor.take(48, "MROWNERCONFIG")),
        rtmrs=(
            Rtmr(cursor.take(48, "RTMR0")),
            Rtmr(cursor.take(48, "RTMR1")),
            Rtmr(cursor.take(48, "RTMR2")),
            Rtmr(cursor.take(48, "RTMR3")),
        ),
        report_data=ReportData(cursor.take(64, "REPORTDATA")),
        tee_tcb_svn2=TeeTcbSvn(cursor.take(16, "TEE_TCB_SVN_2")) if extended else None,
        mr_service_td=Measurement384(cursor.take(48, "MRSERVICETD")) if extended else None,
    )


def write_td_report(report: TdReport) -> bytes:
    """The report's 584 or 648 bytes."""
    parts = [
        report.tee_tcb_svn.value,
        report.mr_seam.value,
        report.mr_signer_seam.value,
        report.seam_attributes,
        report.td_attributes.value,
        report.xfam,
        report.mr_td.value,
        report.mr_config_id.value,
        report.mr_owner.value,
        report.mr_owner_config.value,
        *(rtmr.value for rtmr in report.rtmrs),
        report.report_data.value,
    ]
    if report.tee_tcb_svn2 is not None and report.mr_service_td is not None:
        parts += [report.tee_tcb_svn2.value, report.mr_service_td.value]
    return b"".join(parts)
