"""TCB status: which level covers this platform, what its quoting enclave adds, and what comes of both.

Source: QVL `VerifyQuote` (checkTcbLevel, convergeTcbStatus) and `EnclaveReportVerifier`.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import ge
from typing import TYPE_CHECKING, Final, Self

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote.td_report import TdReport

if TYPE_CHECKING:
    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
    from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel
    from ambergate.core.quote.layout import Quote

# What becomes of a status when something beside it is out of date.
OUT_OF_DATE_OF: Final = {
    TcbStatus.UP_TO_DATE: TcbStatus.OUT_OF_DATE,
    TcbStatus.SW_HARDENING_NEEDED: TcbStatus.OUT_OF_DATE,
    TcbStatus.CONFIGURATION_NEEDED: TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformTcb:
    """All that the TCB status of a platform depends on, besides Intel's statements. Names no machine and no program."""

    components: tuple[int, ...]  # sixteen SGX TCB component SVNs, from the PCK certificate
    pce_svn: int
    qe_isv_svn: int
    tee_tcb_svn: bytes | None = None  # of a TD: 16 SVNs of its TDX module and platform when it was launched
    tee_tcb_svn2: bytes | None = None  # of a TD whose report is of version 1.5: the same, today

    @classmethod
    def of(cls, quote: Quote, platform: PckExtension) -> Self:
        """What a quote and its PCK certificate say."""
        report = quote.body if isinstance(quote.body, TdReport) else None
        now = report.tee_tcb_svn2 if report else None
        return cls(
            components=platform.components,
            pce_svn=platform.pce_svn,
            qe_isv_svn=quote.qe_report.isv_svn,
            tee_tcb_svn=report.tee_tcb_svn.value if report else None,
            tee_tcb_svn2=now.value if now else None,
        )


def platform_level(platform: PlatformTcb, info: TcbInfo) -> TcbLevel | None:
    """The highest level that the platform covers. None: no level does."""
    for level in info.levels:
        if covers(platform, level):
            return level
    return None


def covers(platform: PlatformTcb, level: TcbLevel) -> bool:
    """Every SGX component and the PCE are at least as new as the level's."""
    return platform.pce_svn >= level.pce_svn and all(map(ge, platform.components, level.components))


def qe_level(isv_svn: int, identity: QeIdentity) -> QeLevel | None:
    """The first level, in the document's order, that the quoting enclave covers. None: no level does."""
    for level in identity.levels:
        if level.isv_svn <= isv_svn:
            return level
    return None


def merge_qe(platform: TcbStatus, qe: TcbStatus) -> TcbStatus:
    """The status of platform and quoting enclave together.

    Not "the worse of both": ConfigurationNeeded with an outdated quoting enclave is OutOfDateConfigurationNeeded.
    A quoting enclave that is neither up to date nor revoked counts as out of date.
    """
    if TcbStatus.REVOKED in (platform, qe):
        return TcbStatus.REVOKED
    if qe is TcbStatus.UP_TO_DATE:
        return platform
    return OUT_OF_DATE_OF.get(platform, platform)
