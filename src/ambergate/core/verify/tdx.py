"""The TDX module: steps 6.4 to 6.6 and 9.2, and the status that it gives a TD.

Source: QVL `VerifyQuote` 13 and 20 (TDX module identity, convergeTcbStatus, relaunch); dcap-verification 7 and 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.verify.tcb import OUT_OF_DATE_OF, covers

if TYPE_CHECKING:
    from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TdxModule, TdxModuleLevel
    from ambergate.core.quote.td_report import TdReport
    from ambergate.core.verify.tcb import PlatformTcb
    from ambergate.core.verify.trail import Trail

_MODULE_STATUSES: Final = (TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED)
_CURRENT: Final = (
    TcbStatus.UP_TO_DATE,
    TcbStatus.SW_HARDENING_NEEDED,
    TcbStatus.CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
)
_CONFIGURATION: Final = (
    TcbStatus.CONFIGURATION_NEEDED,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
)


@dataclass(frozen=True, slots=True)
class TdxLevels:
    """The highest level that the platform covers by its SGX components, and the highest that the TD covers too."""

    sgx: TcbLevel
    tdx: TcbLevel


def match_module(trail: Trail, report: TdReport, info: TcbInfo) -> TdxModule:
    """Steps 6.4 to 6.6: the TDX module is one that the TCB info describes.

    Raises:
        NotGenuine: at the first step that fails.
    """
    version = report.tee_tcb_svn.value[1]
    module = info.module_of_version(version)
    if module is None:
        known = ", ".join(["version 0", *(each.id for each in info.tdx_module_identities)])
        raise trail.failed(
            "6.4.tdx_module_identity", "the TDX module is not described", seen=f"version {version}", wanted=known
        )
    trail.passed("6.4.tdx_module_identity", "{}", module.id or "version 0")
    if report.mr_signer_seam != module.mr_signer:
        raise trail.failed(
            "6.5.tdx_module_signer",
            "the TDX module's signer differs",
            seen=report.mr_signer_seam,
            wanted=module.mr_signer,
        )
    trail.passed("6.5.tdx_module_signer", "{}…", report.mr_signer_seam.value[:16])
    # The reference asks for zero and for equality, and does not apply the mask.
    if any(report.seam_attributes) or report.seam_attributes != module.attributes:
        raise trail.failed(
            "6.6.tdx_module_attributes",
            "the TDX module's attributes differ",
            seen=report.seam_attributes.hex(),
            wanted=f"{module.attributes.hex()}, zero",
        )
    trail.passed("6.6.tdx_module_attributes", "{}", report.seam_attributes)
    return module


def module_level(trail: Trail, isv_svn: int, module: TdxModule) -> TdxModuleLevel | None:
    """Step 9.2: the highest level that the module covers. None: version 0, which has no levels and is up to date.

    Raises:
        NotGenuine: no level covers it, or its status is not one that a module can have.
    """
    if not module.id:
        trail.passed("9.2.tdx_module_level", "version 0 has no levels")
        return None
    level = next((level for level in module.levels if level.isv_svn <= isv_svn), None)
    if level is None or level.status not in _MODULE_STATUSES:
        raise trail.failed(
            "9.2.tdx_module_level",
            "no usable level covers this TDX module",
            seen=f"{module.id} at ISVSVN {isv_svn}",
            wanted=", ".join(f">= {each.isv_svn}" for each in module.levels),
        )
    trail.passed("9.2.tdx_module_level", "{} at ISVSVN {}", level.status.value, isv_svn)
    return level


def tdx_levels(platform: PlatformTcb, svn: bytes, info: TcbInfo) -> TdxLevels | None:
    """The levels that platform and TD cover; None: no level does.

    Components 0 and 1 of TEE_TCB_SVN (`svn`) are the module's own version when it has one (byte 1 above 0); its
    identity judges them then, and they are not compared here, as in the reference.
    """
    first = 2 if svn[1] > 0 else 0
    covered = [level for level in info.levels if covers(platform, level)]
    for level in covered:
        if all(svn[i] >= level.tdx_components[i] for i in range(first, len(svn))):
            return TdxLevels(covered[0], level)
    return None


def merge_module(level: TcbStatus, module: TdxModuleLevel | None) -> TcbStatus:
    """The status of TD and module together."""
    if module is None or module.status is TcbStatus.UP_TO_DATE:
        return level
    return TcbStatus.REVOKED if module.status is TcbStatus.REVOKED else OUT_OF_DATE_OF.get(level, level)


def relaunch(  # noqa: PLR0913  what the reference's rule compares
    trail: Trail,
    now: bytes | None,
    info: TcbInfo,
    levels: TdxLevels,
    module: TdxModuleLevel | None,
    *,
    merged: TcbStatus,
    qe: TcbStatus,
) -> TcbStatus:
    """The merged status, or the advice to launch the TD again: only its module at launch is old, today's is current.

    Version 1.5 reports only: TEE_TCB_SVN_2 (`now`) says what the platform runs today.

    Raises:
        NotGenuine: the module that runs today is not described, as in the reference.
    """
    old = merged in (TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED)
    only_module = module is not None and module.status is TcbStatus.OUT_OF_DATE and levels.sgx.status in _CURRENT
    if now is None or qe is not TcbStatus.UP_TO_DATE or not old or not only_module:
        return merged
    newest = info.levels[0].tdx_components
    version = now[1]
    today = info.module_of_version(version)
    if today is None:
        raise trail.failed(
            "6.4.tdx_module_identity", "the TDX module that runs today is not described", seen=f"version {version}"
        )
    minimum = newest[0] if version == 0 else today.levels[0].isv_svn
    if now[0] < minimum or now[2] < newest[2]:
        return merged
    if levels.sgx.status in _CONFIGURATION or merged in _CONFIGURATION:
        return TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
    return TcbStatus.TD_RELAUNCH_ADVISED
