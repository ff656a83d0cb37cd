"""The TD REPORT body of a TDX quote: version 1.0 (584 bytes) and 1.5 (648 bytes).

Layout: Intel "TDX DCAP Quoting Library API", appendix A.3.2 (TD Quote Body 1.0, 1.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

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

TD_REPORT_10_SIZE: Final = 584  # bytes
TD_REPORT_15_SIZE: Final = 648  # bytes
TEE_TCB_SVN: Final = slice(0, 16)  # where they stand
REPORT_DATA: Final = slice(520, 584)
TEE_TCB_SVN_2: Final = slice(584, 600)
# TEE_TCB_SVN, MRSEAM, MRSIGNERSEAM, SEAMATTRIBUTES, TDATTRIBUTES, XFAM, MRTD, MRCONFIGID, MROWNER, MROWNERCONFIG,
# RTMR0 to 3, REPORTDATA; version 1.5 appends TEE_TCB_SVN_2 and MRSERVICETD.
_LAYOUT_10: Final = Struct("<16s 48s 48s 8s 8s 8s 48s 48s 48s 48s 48s 48s 48s 48s 64s")
_LAYOUT_15: Final = Struct(_LAYOUT_10.format + " 16s 48s")


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


def read_td_report(data: bytes) -> TdReport:
    """Exactly 584 bytes (version 1.0) or 648 bytes (1.5) as a TD report."""
    extended = len(data) == TD_REPORT_15_SIZE
    fields = (_LAYOUT_15 if extended else _LAYOUT_10).unpack(data)
    return TdReport(
        tee_tcb_svn=TeeTcbSvn(fields[0]),
        mr_seam=MrSeam(fields[1]),
        mr_signer_seam=MrSignerSeam(fields[2]),
        seam_attributes=fields[3],
        td_attributes=TdAttributes(fields[4]),
        xfam=fields[5],
        mr_td=MrTd(fields[6]),
        mr_config_id=Measurement384(fields[7]),
        mr_owner=Measurement384(fields[8]),
        mr_owner_config=Measurement384(fields[9]),
        rtmrs=(Rtmr(fields[10]), Rtmr(fields[11]), Rtmr(fields[12]), Rtmr(fields[13])),
        report_data=ReportData(fields[14]),
        tee_tcb_svn2=TeeTcbSvn(fields[15]) if extended else None,
        mr_service_td=Measurement384(fields[16]) if extended else None,
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
