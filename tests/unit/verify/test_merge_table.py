"""The reference's merge table, whole: platform, TDX module and quoting enclave, each with a level or without one.

dcap-verification section 10; for a TD its module comes first, by the same columns, and the quoting enclave after it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Final

import pytest

from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TcbStatus, TdxModule, TdxModuleLevel
from ambergate.core.errors import NotGenuine
from ambergate.core.measurements import Fmspc, MrSigner, MrSignerSeam, PceId
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.trail import Trail

AT: Final = datetime(2026, 5, 1, tzinfo=UTC)
UP, SW, CONF, CONF_SW, OUT, OUT_CONF, REVOKED, *_ = TcbStatus
QE_SVN, MODULE_SVN = 5, 3
NO_LEVEL: Final = "no level"
# Of quoting enclaves and of modules: their three statuses, and no level at all.
COLUMNS: Final[tuple[TcbStatus | str, ...]] = (UP, OUT, REVOKED, NO_LEVEL)
REFUSED: Final = "9.4.tcb_not_revoked"
NO_PLATFORM, NO_MODULE, NO_QE = "9.1.tcb_level", "9.2.tdx_module_level", "9.3.qe_tcb_level"

# Platform -> with UpToDate, OutOfDate, Revoked, no level; where there is no status, the step that refuses.
TABLE: Final[dict[TcbStatus, tuple[TcbStatus | str, ...]]] = {
    UP: (UP, OUT, REFUSED, NO_QE),
    SW: (SW, OUT, REFUSED, NO_QE),
    CONF: (CONF, OUT_CONF, REFUSED, NO_QE),
    CONF_SW: (CONF_SW, OUT_CONF, REFUSED, NO_QE),
    OUT: (OUT, OUT, REFUSED, NO_QE),
    OUT_CONF: (OUT_CONF, OUT_CONF, REFUSED, NO_QE),
    REVOKED: (REFUSED, REFUSED, REFUSED, NO_QE),
}


def identity(qe: TcbStatus | str) -> QeIdentity:
    """With a level of this status that the quoting enclave covers; or with one that it does not."""
    covered = isinstance(qe, TcbStatus)
    level = QeLevel(QE_SVN if covered else QE_SVN + 1, qe if isinstance(qe, TcbStatus) else UP, AT, ())
    return QeIdentity(
        kind="QE", issue_date=AT, next_update=AT, evaluation_data_number=1, misc_select=0, misc_select_mask=0,
        attributes=bytes(16), attributes_mask=bytes(16), mr_signer=MrSigner(bytes(32)), isv_prod_id=1, levels=(level,),
    )  # fmt: skip


def module(status: TcbStatus | str) -> TdxModule:
    covered = isinstance(status, TcbStatus)
    level = TdxModuleLevel(
        MODULE_SVN if covered else MODULE_SVN + 1, status if isinstance(status, TcbStatus) else UP, AT, ()
    )
    return TdxModule(id="TDX_01", mr_signer=MrSignerSeam(bytes(48)), attributes=bytes(8), levels=(level,))


def info(platform: TcbStatus, *modules: TdxModule, tee: str = "SGX") -> TcbInfo:
    zero = (0,) * 16
    return TcbInfo(
        tee=tee, version=3, issue_date=AT, next_update=AT, fmspc=Fmspc(bytes(6)), pce_id=PceId(bytes(2)),
        evaluation_data_number=1, levels=(TcbLevel(zero, 0, platform, AT, (), zero if tee == "TDX" else ()),),
        tdx_module=None, tdx_module_identities=modules,
    )  # fmt: skip


def outcome(of: TcbInfo, qe: TcbStatus | str, tee_tcb_svn: bytes | None = None) -> TcbStatus | str:
    """The status, or the step that refuses."""
    platform = PlatformTcb(components=(0,) * 16, pce_svn=0, qe_isv_svn=QE_SVN, tee_tcb_svn=tee_tcb_svn)
    try:
        return evaluate_tcb(Trail(), platform, of, identity(qe)).status
    except NotGenuine as exc:
        return exc.step


@pytest.mark.parametrize(("platform", "column"), list(product(TABLE, range(len(COLUMNS)))))
def test_of_an_enclave(platform: TcbStatus, column: int) -> None:
    assert outcome(info(platform), COLUMNS[column]) == TABLE[platform][column]


@pytest.mark.parametrize(("platform", "of_module"), list(product(TABLE, range(len(COLUMNS)))))
def test_of_a_td(platform: TcbStatus, of_module: int) -> None:
    """The module's column gives the row in which the quoting enclave's column is looked up."""
    merged = TABLE[platform][of_module]
    for column, qe in enumerate(COLUMNS):
        if COLUMNS[of_module] is NO_LEVEL:
            wanted: TcbStatus | str = NO_MODULE
        elif isinstance(merged, TcbStatus):
            wanted = TABLE[merged][column]
        else:
            wanted = TABLE[REVOKED][column]
        described = info(platform, module(COLUMNS[of_module]), tee="TDX")
        assert outcome(described, qe, bytes((MODULE_SVN, 1)) + bytes(14)) == wanted, qe


@pytest.mark.parametrize("qe", COLUMNS)
def test_of_a_platform_that_no_level_covers(qe: TcbStatus | str) -> None:
    of = info(UP)
    higher = of.levels[0]._replace(pce_svn=1)
    assert outcome(replace(of, levels=(higher,)), qe) == NO_PLATFORM
