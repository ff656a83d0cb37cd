"""The TDX module and its levels: each rule of the reference with a case that fails without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TcbStatus, TdxModule, TdxModuleLevel
from ambergate.core.errors import NotGenuine
from ambergate.core.measurements import (
    Fmspc,
    Measurement384,
    MrSeam,
    MrSignerSeam,
    MrTd,
    PceId,
    ReportData,
    Rtmr,
    TdAttributes,
    TeeTcbSvn,
)
from ambergate.core.quote import TdReport
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.tdx import TdxLevels, match_module, merge_module, module_level, relaunch, tdx_levels
from ambergate.core.verify.trail import Trail

AT = datetime(2026, 5, 1, tzinfo=UTC)
UP, SW, CONF, CONF_SW, OUT, OUT_CONF, REVOKED, RELAUNCH, RELAUNCH_CONF = TcbStatus
ZERO = Measurement384(bytes(48))

REPORT = TdReport(
    tee_tcb_svn=TeeTcbSvn(bytes((5, 1, 3)) + bytes(13)),
    mr_seam=MrSeam(bytes(48)),
    mr_signer_seam=MrSignerSeam(bytes(48)),
    seam_attributes=bytes(8),
    td_attributes=TdAttributes(bytes(8)),
    xfam=bytes(8),
    mr_td=MrTd(bytes(48)),
    mr_config_id=ZERO,
    mr_owner=ZERO,
    mr_owner_config=ZERO,
    rtmrs=(Rtmr(bytes(48)),) * 4,
    report_data=ReportData(bytes(64)),
)


def module_of(*levels: tuple[int, TcbStatus], name: str = "TDX_01") -> TdxModule:
    return TdxModule(
        id=name,
        mr_signer=MrSignerSeam(bytes(48)),
        attributes=bytes(8),
        levels=tuple(TdxModuleLevel(isv_svn=svn, status=each, date=AT, advisory_ids=()) for svn, each in levels),
    )


def level_of(tdx: tuple[int, ...], status: TcbStatus = UP, *, sgx: int = 1) -> TcbLevel:
    padded = tdx + (0,) * (16 - len(tdx))
    return TcbLevel(
        components=(sgx,) * 16, pce_svn=1, status=status, date=AT, advisory_ids=(), tdx_components=padded
    )  # fmt: skip


def info_of(*levels: TcbLevel, modules: tuple[TdxModule, ...] = ()) -> TcbInfo:
    return TcbInfo(
        tee="TDX", version=3, issue_date=AT, next_update=AT, fmspc=Fmspc(bytes(6)), pce_id=PceId(bytes(2)),
        evaluation_data_number=1, levels=levels, tdx_module=module_of(name=""), tdx_module_identities=modules,
    )  # fmt: skip


PLATFORM = PlatformTcb(components=(1,) * 16, pce_svn=1, qe_isv_svn=0)


def svn(*octets: int) -> TeeTcbSvn:
    return TeeTcbSvn(bytes(octets) + bytes(16 - len(octets)))


@pytest.mark.parametrize(("tee_tcb_svn", "wanted"), [(svn(9, 1), "TDX_01"), (svn(9, 0), ""), (svn(9, 0x0A), "tdx_0a")])
def test_the_module_of_the_version_is_found_whatever_the_case(tee_tcb_svn: TeeTcbSvn, wanted: str) -> None:
    info = info_of(modules=(module_of(), module_of(name="tdx_0a")))
    assert match_module(Trail(), replace(REPORT, tee_tcb_svn=tee_tcb_svn), info).id == wanted


@pytest.mark.parametrize(
    ("report", "modules", "step"),
    [
        (replace(REPORT, tee_tcb_svn=svn(5, 2)), (module_of(),), "6.4.tdx_module_identity"),
        (REPORT, (), "6.4.tdx_module_identity"),  # no falling back to the module of version 0
        (replace(REPORT, mr_signer_seam=MrSignerSeam(b"\1" * 48)), (module_of(),), "6.5.tdx_module_signer"),
        (replace(REPORT, seam_attributes=b"\1" + bytes(7)), (module_of(),), "6.6.tdx_module_attributes"),
        (
            replace(REPORT, seam_attributes=b"\1" + bytes(7)),
            (replace(module_of(), attributes=b"\1" + bytes(7)),),
            "6.6.tdx_module_attributes",
        ),
        (REPORT, (replace(module_of(), attributes=b"\1" + bytes(7)),), "6.6.tdx_module_attributes"),
    ],
)
def test_modules_that_are_not_intels(report: TdReport, modules: tuple[TdxModule, ...], step: str) -> None:
    with pytest.raises(NotGenuine) as refusal:
        match_module(Trail(), report, info_of(modules=modules))
    assert refusal.value.step == step


@pytest.mark.parametrize(("isv_svn", "status"), [(9, UP), (6, UP), (5, OUT), (3, OUT), (2, REVOKED)])
def test_the_highest_module_level_that_is_covered_decides(isv_svn: int, status: TcbStatus) -> None:
    module = module_of((6, UP), (3, OUT), (2, REVOKED))
    level = module_level(Trail(), isv_svn, module)
    assert level is not None
    assert level.status is status


@pytest.mark.parametrize("module", [module_of((6, UP)), module_of((1, SW))])
def test_no_level_or_a_status_that_modules_do_not_have(module: TdxModule) -> None:
    with pytest.raises(NotGenuine) as refusal:
        module_level(Trail(), 5, module)
    assert refusal.value.step == "9.2.tdx_module_level"


def test_a_module_of_version_0_has_no_levels() -> None:
    assert module_level(Trail(), 5, module_of(name="")) is None


@pytest.mark.parametrize("module", [None, UP, OUT, REVOKED])
@pytest.mark.parametrize("level", [UP, SW, CONF, CONF_SW, OUT, OUT_CONF])
def test_merge_with_the_module(level: TcbStatus, module: TcbStatus | None) -> None:
    of_module = None if module is None else module_of((1, module)).levels[0]
    outdated = {UP: OUT, SW: OUT, CONF: OUT_CONF, CONF_SW: OUT_CONF, OUT: OUT, OUT_CONF: OUT_CONF}[level]
    wanted = {None: level, UP: level, OUT: outdated, REVOKED: REVOKED}[module]
    assert merge_module(level, of_module) is wanted


@pytest.mark.parametrize(
    ("tee_tcb_svn", "index"),
    [
        (svn(5, 0, 3), 0),  # version 0: all sixteen are compared
        (svn(4, 0, 3), 1),
        (svn(0, 1, 3), 0),  # later versions: the first two belong to the module's identity
        (svn(0, 1, 2), 1),
        (svn(9, 1, 1), None),
    ],
)
def test_tdx_components(tee_tcb_svn: TeeTcbSvn, index: int | None) -> None:
    levels = (level_of((5, 0, 3)), level_of((4, 0, 2)))
    found = tdx_levels(PLATFORM, tee_tcb_svn.value, info_of(*levels))
    assert (None if found is None else found.tdx) == (None if index is None else levels[index])


def test_the_sgx_level_is_the_first_that_the_platform_covers_alone() -> None:
    levels = (level_of((9,), sgx=2), level_of((0, 0, 9)), level_of((0, 0, 1)))
    found = tdx_levels(PLATFORM, REPORT.tee_tcb_svn.value, info_of(*levels))
    assert found == TdxLevels(levels[1], levels[2])


OLD = module_of((6, UP), (1, OUT))
NEWEST = level_of((6, 0, 4))
TODAY = svn(6, 1, 4)


def advised(**changes: Any) -> TcbStatus:  # noqa: ANN401  a case of many types
    """The advice for a TD whose module was old at launch while today's is current, but for the changes."""
    case: dict[str, Any] = {
        "today": TODAY, "sgx": UP, "module": OUT, "merged": OUT, "qe": UP, "modules": (OLD,), **changes,
    }  # fmt: skip
    today = None if case["today"] is None else case["today"].value
    levels = TdxLevels(level_of((), case["sgx"]), level_of(()))
    of_module = None if case["module"] is None else module_of((1, case["module"])).levels[0]
    info = info_of(NEWEST, modules=case["modules"])
    return relaunch(Trail(), today, info, levels, of_module, merged=case["merged"], qe=case["qe"])


def test_a_relaunch_is_advised() -> None:
    assert advised() is RELAUNCH


@pytest.mark.parametrize(
    "changes",
    [
        {"today": None},
        {"today": svn(5, 1, 4)},
        {"today": svn(6, 1, 3)},
        {"today": svn(5, 0, 4)},
        {"sgx": OUT},
        {"sgx": OUT_CONF},
        {"sgx": REVOKED},
        {"module": None},
        {"module": UP},
        {"qe": OUT},
        {"qe": REVOKED},
    ],
)
def test_no_relaunch_is_advised(changes: dict[str, object]) -> None:
    assert advised(**changes) is OUT


@pytest.mark.parametrize("changes", [{"sgx": CONF}, {"sgx": CONF_SW}, {"merged": OUT_CONF}])
def test_a_relaunch_and_a_configuration_are_advised(changes: dict[str, object]) -> None:
    assert advised(**changes) is RELAUNCH_CONF


def test_only_what_is_out_of_date_is_relaunched() -> None:
    assert advised(merged=UP) is UP


def test_version_0_today_is_measured_by_the_newest_level() -> None:
    assert advised(today=svn(6, 0, 4)) is RELAUNCH


def test_a_module_that_runs_today_and_is_not_described_is_refused() -> None:
    with pytest.raises(NotGenuine) as refusal:
        advised(today=svn(6, 7, 4))
    assert refusal.value.step == "6.4.tdx_module_identity"
