"""Step 9: what Intel says of platform, TDX module and quoting enclave together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.verify.tcb import merge_qe, platform_level, qe_level
from ambergate.core.verify.tdx import merge_module, module_level, relaunch, tdx_levels
from ambergate.core.verify.verdict import TcbVerdict

if TYPE_CHECKING:
    from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
    from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TdxModuleLevel
    from ambergate.core.verify.tcb import PlatformTcb
    from ambergate.core.verify.trail import Trail


def evaluate_tcb(trail: Trail, platform: PlatformTcb, info: TcbInfo, identity: QeIdentity) -> TcbVerdict:
    """Steps 9.1 to 9.4.

    Args:
        trail: where the steps are recorded.
        platform: what the quote and its PCK certificate say of the platform.
        info: TCB info of this platform.
        identity: of the quoting enclave.

    Raises:
        NotGenuine: no level covers the platform, the module or the quoting enclave, or the outcome is Revoked.
    """
    svn = platform.tee_tcb_svn
    if svn is None:
        level = _covered(trail, platform_level(platform, info), platform)
        return _verdict(trail, info, level, _qe(trail, platform.qe_isv_svn, identity), level.status, None)
    module = info.module_of_version(svn[1])
    if module is None:
        raise trail.failed("6.4.tdx_module_identity", "the TDX module is not described", seen=f"version {svn[1]}")
    levels = tdx_levels(platform, svn, info)
    level = _covered(trail, levels.tdx if levels else None, platform)
    assert levels is not None
    of_module = module_level(trail, svn[0], module)
    of_qe = _qe(trail, platform.qe_isv_svn, identity)
    merged = merge_module(level.status, of_module)
    if merged is not TcbStatus.REVOKED:
        merged = relaunch(trail, platform.tee_tcb_svn2, info, levels, of_module, merged=merged, qe=of_qe.status)
    return _verdict(trail, info, level, of_qe, merged, of_module)


def _covered(trail: Trail, level: TcbLevel | None, platform: PlatformTcb) -> TcbLevel:
    if level is None:
        seen = f"components {' '.join(map(str, platform.components))}, PCE {platform.pce_svn}"
        if platform.tee_tcb_svn is not None:
            seen += f", TEE_TCB_SVN {' '.join(map(str, platform.tee_tcb_svn))}"
        raise trail.failed("9.1.tcb_level", "no TCB level covers this platform", seen=seen)
    trail.passed("9.1.tcb_level", "{} ({})", level.status.value, level.date.date())
    return level


def _qe(trail: Trail, isv_svn: int, identity: QeIdentity) -> QeLevel:
    level = qe_level(isv_svn, identity)
    if level is None:
        raise trail.failed("9.3.qe_tcb_level", "no level covers this quoting enclave", seen=f"ISVSVN {isv_svn}")
    trail.passed("9.3.qe_tcb_level", "{} at ISVSVN {}", level.status.value, isv_svn)
    return level


def _verdict(
    trail: Trail, info: TcbInfo, level: TcbLevel, qe: QeLevel, merged: TcbStatus, module: TdxModuleLevel | None
) -> TcbVerdict:
    status = merge_qe(merged, qe.status)
    if status is TcbStatus.REVOKED:
        of_module = f", TDX module {module.status.value}" if module else ""
        raise trail.failed(
            "9.4.tcb_not_revoked",
            "Intel has revoked this TCB level",
            seen=f"platform {level.status.value}{of_module}, quoting enclave {qe.status.value}",
        )
    trail.passed("9.4.tcb_not_revoked", "{}", status.value)
    advisories = (*level.advisory_ids, *(module.advisory_ids if module else ()), *qe.advisory_ids)
    return TcbVerdict(
        status=status,
        date=level.date,
        advisory_ids=tuple(dict.fromkeys(advisories)),
        evaluation_data_number=info.evaluation_data_number,
        level=level,
        qe_level=qe,
        module_level=module,
    )
