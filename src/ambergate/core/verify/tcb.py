"""TCB status: which level covers this platform, what its quoting enclave adds, and what comes of both.

Source: QVL `VerifyQuote` (checkTcbLevel, convergeTcbStatus) and `EnclaveReportVerifier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.tcb_info import TcbStatus

if TYPE_CHECKING:
    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
    from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel

# What becomes of a status when something beside it is out of date.
OUT_OF_DATE_OF: Final = {
    TcbStatus.UP_TO_DATE: TcbStatus.OUT_OF_DATE,
    TcbStatus.SW_HARDENING_NEEDED: TcbStatus.OUT_OF_DATE,
    TcbStatus.CONFIGURATION_NEEDED: TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
}


def platform_level(platform: PckExtension, info: TcbInfo) -> TcbLevel | None:
    """The highest level that the platform covers. None: no level does."""
    return next((level for level in info.levels if covers(platform, level)), None)


def covers(platform: PckExtension, level: TcbLevel) -> bool:
    """Every SGX component and the PCE are at least as new as the level's."""
    return platform.pce_svn >= level.pce_svn and all(
        have >= need for have, need in zip(platform.components, level.components, strict=True)
    )


def qe_level(isv_svn: int, identity: QeIdentity) -> QeLevel | None:
    """The first level, in the document's order, that the quoting enclave covers. None: no level does."""
    return next((level for level in identity.levels if level.isv_svn <= isv_svn), None)


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
