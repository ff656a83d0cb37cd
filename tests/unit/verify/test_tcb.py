"""TCB evaluation: the merge table of the reference, whole, and its monotonicity."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TcbStatus
from ambergate.core.measurements import Fmspc, MrSigner, PceId
from ambergate.core.verify.tcb import PlatformTcb, merge_qe, platform_level, qe_level

AT = datetime(2026, 5, 1, tzinfo=UTC)
UP, SW, CONF, CONF_SW, OUT, OUT_CONF, REVOKED, *_ = TcbStatus

# dcap-verification section 10: platform status -> with the quoting enclave UpToDate, OutOfDate, Revoked.
TABLE = {
    UP: (UP, OUT, REVOKED),
    SW: (SW, OUT, REVOKED),
    CONF: (CONF, OUT_CONF, REVOKED),
    CONF_SW: (CONF_SW, OUT_CONF, REVOKED),
    OUT: (OUT, OUT, REVOKED),
    OUT_CONF: (OUT_CONF, OUT_CONF, REVOKED),
    REVOKED: (REVOKED, REVOKED, REVOKED),
}


@pytest.mark.parametrize("platform", list(TABLE))
@pytest.mark.parametrize(("column", "qe"), list(enumerate((UP, OUT, REVOKED))))
def test_merge_table(platform: TcbStatus, column: int, qe: TcbStatus) -> None:
    assert merge_qe(platform, qe) is TABLE[platform][column]


@pytest.mark.parametrize("qe", [SW, CONF, CONF_SW, OUT_CONF])
def test_a_quoting_enclave_of_any_other_status_counts_as_out_of_date(qe: TcbStatus) -> None:
    assert merge_qe(UP, qe) is OUT


svns = st.tuples(*[st.integers(0, 3)] * 16)


def level(components: tuple[int, ...], pce_svn: int, status: TcbStatus) -> TcbLevel:
    return TcbLevel(components=components, pce_svn=pce_svn, status=status, date=AT, advisory_ids=())


def info(*levels: TcbLevel) -> TcbInfo:
    return TcbInfo(
        tee="SGX", version=3, issue_date=AT, next_update=AT, fmspc=Fmspc(bytes(6)), pce_id=PceId(bytes(2)),
        evaluation_data_number=1, levels=tuple(sorted(levels, key=lambda each: each.rank, reverse=True)),
    )  # fmt: skip


def platform(components: tuple[int, ...], pce_svn: int) -> PlatformTcb:
    return PlatformTcb(components=components, pce_svn=pce_svn, qe_isv_svn=0)


@given(svns, st.integers(0, 3), st.lists(st.tuples(svns, st.integers(0, 3)), min_size=1, max_size=5))
def test_the_first_level_that_the_platform_covers_decides(
    components: tuple[int, ...], pce_svn: int, ranks: list[tuple[tuple[int, ...], int]]
) -> None:
    tcb = info(*(level(each, pce, UP) for each, pce in dict.fromkeys(ranks)))
    found = platform_level(platform(components, pce_svn), tcb)
    covered = [
        each
        for each in tcb.levels
        if pce_svn >= each.pce_svn and all(h >= n for h, n in zip(components, each.components, strict=True))
    ]
    assert found == (covered[0] if covered else None)


@given(svns, st.integers(0, 15), st.lists(svns, min_size=1, max_size=5))
def test_raising_an_svn_never_lowers_the_level(
    components: tuple[int, ...], raised: int, ranks: list[tuple[int, ...]]
) -> None:
    tcb = info(*(level(each, 0, UP) for each in dict.fromkeys(ranks)))
    newer = tuple(c + (i == raised) for i, c in enumerate(components))
    before, after = (platform_level(platform(each, 0), tcb) for each in (components, newer))
    assert before is None or (after is not None and after.rank >= before.rank)


def test_the_pce_counts() -> None:
    tcb = info(level((1,) * 16, 2, UP))
    assert platform_level(platform((1,) * 16, 1), tcb) is None
    assert platform_level(platform((1,) * 16, 2), tcb) is not None


def test_qe_levels_in_the_order_of_the_document() -> None:
    identity = QeIdentity(
        kind="QE", issue_date=AT, next_update=AT, evaluation_data_number=1, misc_select=0, misc_select_mask=0,
        attributes=bytes(16), attributes_mask=bytes(16), mr_signer=MrSigner(bytes(32)), isv_prod_id=1,
        levels=tuple(QeLevel(isv_svn=svn, status=each, date=AT, advisory_ids=()) for svn, each in ((8, UP), (5, OUT))),
    )  # fmt: skip
    assert [getattr(qe_level(svn, identity), "status", None) for svn in (9, 8, 7, 5, 4)] == [UP, UP, OUT, OUT, None]
    backwards = replace(identity, levels=identity.levels[::-1])
    assert getattr(qe_level(9, backwards), "status", None) is OUT
