"""Raising a security version never worsens a verdict, and the order of levels in a document never matters.

Both hold of documents in which a higher level is never worse than a lower one, as Intel publishes them. Where the
reference itself is not monotonic, a test of its own says so.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel
from ambergate.core.collateral.tcb_info import (
    TcbInfo,
    TcbLevel,
    TcbStatus,
    TdxModule,
    TdxModuleLevel,
    read_tcb_info,
)
from ambergate.core.errors import NotGenuine
from ambergate.core.measurements import Fmspc, MrSigner, MrSignerSeam, PceId
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.trail import Trail
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from random import Random

AT = datetime(2026, 5, 1, tzinfo=UTC)
UP, SW, CONF, CONF_SW, OUT, OUT_CONF, REVOKED, RELAUNCH, RELAUNCH_CONF = TcbStatus

# What is wrong under each status; more of it is worse, and statuses of which neither has all of the other's are not
# comparable. Out of date includes hardening: merged with something out of date, SWHardeningNeeded becomes OutOfDate.
WRONG = {
    UP: set(),
    SW: {"hardening"},
    CONF: {"configuration"},
    CONF_SW: {"hardening", "configuration"},
    OUT: {"hardening", "outdated"},
    OUT_CONF: {"hardening", "outdated", "configuration"},
    REVOKED: {"hardening", "outdated", "configuration", "revoked"},
    RELAUNCH: {"hardening", "outdated"},
    RELAUNCH_CONF: {"hardening", "outdated", "configuration"},
}
REFUSED = {"hardening", "outdated", "configuration", "revoked", "refused"}

small = st.integers(0, 3)
# Four of the sixteen places vary: enough to have levels that do not compare, few enough to be covered now and then.
PLACES = (0, 1, 2, 7)
sixteen = st.tuples(*[small] * 4).map(
    lambda svns: tuple(svns[PLACES.index(i)] if i in PLACES else 0 for i in range(16))
)


def never_worse_upwards(statuses: list[TcbStatus]) -> list[TcbStatus]:
    """The statuses for levels from the highest to the lowest: each at least as good as the next one."""
    chain: list[TcbStatus] = []
    for status in sorted(statuses, key=lambda each: len(WRONG[each])):
        chain.append(status if not chain or WRONG[chain[-1]] <= WRONG[status] else chain[-1])
    return chain


@st.composite
def tcb_infos(draw: st.DrawFn, *, tdx: bool) -> TcbInfo:
    ranks = draw(
        st.lists(st.tuples(sixteen, small, sixteen if tdx else st.just(())), min_size=1, max_size=6, unique=True)
    )
    statuses = draw(st.lists(st.sampled_from((UP, SW, CONF, CONF_SW, OUT, OUT_CONF, REVOKED)), min_size=6, max_size=6))
    levels = [
        TcbLevel(components=sgx, pce_svn=pce, tdx_components=td, status=status, date=AT, advisory_ids=())
        for (sgx, pce, td), status in zip(sorted(ranks, reverse=True), never_worse_upwards(statuses), strict=False)
    ]
    return TcbInfo(
        tee="TDX" if tdx else "SGX", version=3, issue_date=AT, next_update=AT, fmspc=Fmspc(bytes(6)),
        pce_id=PceId(bytes(2)), evaluation_data_number=1, levels=tuple(levels),
        tdx_module=module("", ()) if tdx else None,
        tdx_module_identities=tuple(draw(modules(f"TDX_{version:02}")) for version in (1, 2, 3)) if tdx else (),
    )  # fmt: skip


def module(name: str, levels: tuple[TdxModuleLevel, ...]) -> TdxModule:
    return TdxModule(id=name, mr_signer=MrSignerSeam(bytes(48)), attributes=bytes(8), levels=levels)


@st.composite
def modules(draw: st.DrawFn, name: str) -> TdxModule:
    svns = sorted(draw(st.sets(small, min_size=1)), reverse=True)
    statuses = never_worse_upwards(draw(st.lists(st.sampled_from((UP, OUT, REVOKED)), min_size=4, max_size=4)))
    levels = (
        TdxModuleLevel(isv_svn=svn, status=status, date=AT, advisory_ids=())
        for svn, status in zip(svns, statuses, strict=False)
    )
    return module(name, tuple(levels))


@st.composite
def identities(draw: st.DrawFn) -> QeIdentity:
    svns = sorted(draw(st.sets(small, min_size=1)), reverse=True)
    statuses = never_worse_upwards(draw(st.lists(st.sampled_from((UP, OUT, REVOKED)), min_size=4, max_size=4)))
    return identity(*zip(svns, statuses, strict=False))


def identity(*levels: tuple[int, TcbStatus]) -> QeIdentity:
    return QeIdentity(
        kind="QE", issue_date=AT, next_update=AT, evaluation_data_number=1, misc_select=0, misc_select_mask=0,
        attributes=bytes(16), attributes_mask=bytes(16), mr_signer=MrSigner(bytes(32)), isv_prod_id=1,
        levels=tuple(QeLevel(isv_svn=svn, status=each, date=AT, advisory_ids=()) for svn, each in levels),
    )  # fmt: skip


@st.composite
def platforms(draw: st.DrawFn, *, tdx: bool, today: bool) -> PlatformTcb:
    return PlatformTcb(
        components=draw(sixteen),
        pce_svn=draw(small),
        qe_isv_svn=draw(small),
        tee_tcb_svn=bytes(draw(sixteen)) if tdx else None,
        tee_tcb_svn2=bytes(draw(sixteen)) if today else None,
    )


def raised(platform: PlatformTcb, which: str, place: int) -> PlatformTcb:
    """The platform with one security version one higher."""
    if which == "components":
        return replace(platform, components=up(platform.components, place))
    if which == "TEE_TCB_SVN":
        assert platform.tee_tcb_svn is not None
        return replace(platform, tee_tcb_svn=bytes(up(tuple(platform.tee_tcb_svn), place)))
    if which == "TEE_TCB_SVN_2":
        assert platform.tee_tcb_svn2 is not None
        return replace(platform, tee_tcb_svn2=bytes(up(tuple(platform.tee_tcb_svn2), place)))
    if which == "PCE":
        return replace(platform, pce_svn=platform.pce_svn + 1)
    return replace(platform, qe_isv_svn=platform.qe_isv_svn + 1)


def up(svns: tuple[int, ...], place: int) -> tuple[int, ...]:
    return tuple(svn + (at == place) for at, svn in enumerate(svns))


def wrong(platform: PlatformTcb, info: TcbInfo, qe: QeIdentity) -> set[str]:
    """What is wrong with the platform by these documents."""
    try:
        return WRONG[evaluate_tcb(Trail(), platform, info, qe).status]
    except NotGenuine:
        return REFUSED


SGX_SVNS = ("components", "PCE", "QE")


@settings(max_examples=150)
@given(
    platforms(tdx=False, today=False), tcb_infos(tdx=False), identities(), st.sampled_from(SGX_SVNS), st.integers(0, 15)
)
def test_of_an_enclave(platform: PlatformTcb, info: TcbInfo, qe: QeIdentity, which: str, place: int) -> None:
    assert wrong(raised(platform, which, place), info, qe) <= wrong(platform, info, qe)


@settings(max_examples=150)
@given(
    platforms(tdx=True, today=False),
    tcb_infos(tdx=True),
    identities(),
    st.sampled_from((*SGX_SVNS, "TEE_TCB_SVN")),
    st.sampled_from((0, 2, 7)),  # octet 1 names another module: see below
)
def test_of_a_td(platform: PlatformTcb, info: TcbInfo, qe: QeIdentity, which: str, place: int) -> None:
    assert wrong(raised(platform, which, place), info, qe) <= wrong(platform, info, qe)


@settings(max_examples=150)
@given(
    platforms(tdx=True, today=True),
    tcb_infos(tdx=True),
    identities(),
    st.sampled_from((*SGX_SVNS, "TEE_TCB_SVN", "TEE_TCB_SVN_2")),
    st.sampled_from((0, 2, 7)),
)
def test_of_a_td_that_says_what_runs_today(
    platform: PlatformTcb, info: TcbInfo, qe: QeIdentity, which: str, place: int
) -> None:
    """Configuration apart: the relaunch advice takes that from the SGX level, and OutOfDate does not."""
    after, before = wrong(raised(platform, which, place), info, qe), wrong(platform, info, qe)
    assert after - {"configuration"} <= before


# --- Where the reference is not monotonic -------------------------------------------------------------------------


def one_level(status: TcbStatus, *, components: tuple[int, ...] = (0,) * 16, tdx: tuple[int, ...] = ()) -> TcbLevel:
    return TcbLevel(
        components=components, pce_svn=0, status=status, date=AT, advisory_ids=(), tdx_components=tdx or (0,) * 16
    )


def tdx_info(levels: tuple[TcbLevel, ...], *identities: TdxModule) -> TcbInfo:
    return TcbInfo(
        tee="TDX", version=3, issue_date=AT, next_update=AT, fmspc=Fmspc(bytes(6)), pce_id=PceId(bytes(2)),
        evaluation_data_number=1, levels=levels, tdx_module=module("", ()), tdx_module_identities=identities,
    )  # fmt: skip


def status(platform: PlatformTcb, info: TcbInfo) -> TcbStatus:
    return evaluate_tcb(Trail(), platform, info, identity((0, UP))).status


def td(isv_svn: int, *, version: int = 1, microcode: int = 0, today: bytes | None = None) -> PlatformTcb:
    svn = bytes((isv_svn, version, microcode)).ljust(16, b"\0")
    return PlatformTcb(components=(0,) * 16, pce_svn=0, qe_isv_svn=0, tee_tcb_svn=svn, tee_tcb_svn2=today)


def module_1(*levels: tuple[int, TcbStatus]) -> TdxModule:
    return module("TDX_01", tuple(TdxModuleLevel(isv_svn=n, status=s, date=AT, advisory_ids=()) for n, s in levels))


def test_a_document_whose_higher_level_is_worse_is_believed() -> None:
    """The first level that is covered decides, from the highest down: nobody looks for the best."""
    higher = one_level(OUT, components=(1,) + (0,) * 15)
    info = replace(tdx_info((higher, one_level(UP))), tee="SGX")
    older = PlatformTcb(components=(0,) * 16, pce_svn=0, qe_isv_svn=0)
    assert status(older, info) is UP
    assert status(replace(older, components=(1,) * 16), info) is OUT


def test_a_newer_module_may_lose_the_relaunch_advice() -> None:
    """Advised when the module at launch is what is old; under a current module the TD's level is simply out of date."""
    current, old = (one_level(each, tdx=(0, 0, svn) + (0,) * 13) for each, svn in ((UP, 1), (OUT, 0)))
    info = tdx_info((current, old), module_1((2, UP), (1, OUT)))
    today = bytes((2, 1, 1)).ljust(16, b"\0")
    assert status(td(1, today=today), info) is RELAUNCH
    assert status(td(2, today=today), info) is OUT


def test_another_version_of_the_module_is_another_module() -> None:
    """The octet that names the module is no security version: one version may be current, the next one not."""
    second = replace(module_1((0, OUT)), id="TDX_02")
    info = tdx_info((one_level(UP),), module_1((0, UP)), second)
    assert status(td(0, version=1), info) is UP
    assert status(td(0, version=2), info) is OUT


def test_what_runs_today_must_be_described_once_it_is_asked_for() -> None:
    """Asked only of platforms that are current but for the module: a newer platform is refused, an older one is not."""
    current, old = (one_level(each, components=(svn,) + (0,) * 15) for each, svn in ((UP, 1), (OUT, 0)))
    info = tdx_info((current, old), module_1((2, UP), (1, OUT)))
    older = td(1, today=bytes((2, 7, 1)).ljust(16, b"\0"))
    assert status(older, info) is OUT
    with pytest.raises(NotGenuine, match="runs today"):
        status(replace(older, components=(1,) * 16), info)


# --- Order in the file --------------------------------------------------------------------------------------------

PLATFORM = SimulatedPlatform.create(at=AT, random=stream("orderings"))


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_order_of_levels_in_the_file_never_matters(rng: Random) -> None:
    text = PLATFORM.td_collateral(at=AT).tcb_info
    document = json.loads(text)
    rng.shuffle(document["tcbLevels"])
    for each in document["tdxModuleIdentities"]:
        rng.shuffle(each["tcbLevels"])
    assert read_tcb_info(json.dumps(document)) == read_tcb_info(text)
