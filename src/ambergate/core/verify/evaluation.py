"""Step 9: what Intel says of platform, TDX module and quoting enclave together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote.td_report import TdReport
from ambergate.core.verify.tcb import merge_qe, platform_level, qe_level
from ambergate.core.verify.tdx import merge_module, module_level, relaunch, tdx_levels
from ambergate.core.verify.verdict import TcbVerdict

if TYPE_CHECKING:
    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
    from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TdxModule, TdxModuleLevel
    from ambergate.core.quote.layout import Quote
    from ambergate.core.verify.trail import Trail


def evaluate_tcb(
    trail: Trail,
    quote: Quote,
    platform: PckExtension,
    info: TcbInfo,
    identity: QeIdentity,
    module: TdxModule | None,
) -> TcbVerdict:
    """Steps 9.1 to 9.4.

    Args:
        trail: where the steps are recorded.
        quote: its report and its quoting enclave's.
        platform: from the PCK certificate.
        info: TCB info of this platform.
        identity: of the quoting enclave.
        module: the TDX module's identity, for a TD.

    Raises:
        NotGenuine: no level covers the platform, the module or the quoting enclave, or the outcome is Revoked.
    """
    if isinstance(quote.body, TdReport) and module is not None:
        levels = tdx_levels(platform, quote.body, info)
        level = _covered(trail, levels.tdx if levels else None, platform, quote.body)
        of_module = module_level(trail, quote.body, module)
        of_qe = _qe(trail, quote.qe_report.isv_svn, identity)
        assert levels is not None
        merged = merge_module(level.status, of_module)
        if merged is not TcbStatus.REVOKED:
            merged = relaunch(trail, quote.body, info, levels, of_module, merged=merged, qe=of_qe.status)
        return _verdict(trail, info, level, of_qe, merged, of_module)
    level = _covered(trail, platform_level(platform, info), platform, None)
    of_qe = _qe(trail, quote.qe_report.isv_svn, identity)
    return _verdict(trail, info, level, of_qe, level.status, None)


def _covered(trail: Trail, level: TcbLevel | None, platform: PckExtension, report: TdReport | None) -> TcbLevel:
    if level is None:
        seen = f"components {' '.join(map(str, platform.components))}, PCE {platform.pce_svn}"
        if report is not None:
            seen += f", TEE_TCB_SVN {' '.join(map(str, report.tee_tcb_svn.value))}"
        raise trail.failed("9.1.tcb_level", "no TCB level covers this platform", seen=seen)
    trail.passed("9.1.tcb_level", f"{level.status.value} ({level.date.date().isoformat()})")
    return level


def _qe(trail: Trail, isv_svn: int, identity: QeIdentity) -> QeLevel:
    level = qe_level(isv_svn, identity)
    if level is None:
        raise trail.failed("9.3.qe_tcb_level", "no level covers this quoting enclave", seen=f"ISVSVN {isv_svn}")
    trail.passed("9.3.qe_tcb_level", f"{level.status.value} at ISVSVN {isv_svn}")
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
    trail.passed("9.4.tcb_not_revoked", status.value)
    advisories = (*level.advisory_ids, *(module.advisory_ids if module else ()), *qe.advisory_ids)
    return TcbVerdict(
        status=status,
        date=level.date,
        advisory_ids=tuple(dict.fromkeys(advisories)),
        evaluation_data_number=info.evaluation_data_number,
    )
