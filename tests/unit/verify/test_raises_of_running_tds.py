"""What a raise would gain a TD whose host has moved on since its launch, and platforms that no statement describes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.simulator.stream import stream
from tests.unit.verify.test_gaps import AT, at, judged, level, statements

from ambergate.core.collateral.qe_identity import QeLevel
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.verify import TrustAnchor, VerifiedCollateral, verify_collateral
from ambergate.core.verify.forecast import forecast
from ambergate.core.verify.gaps import Statements, best_of, higher_levels, improvements, platform_gaps
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.simulator.platform import SimulatedPlatform

UP, OUT, RELAUNCH, REVOKED = (
    TcbStatus.UP_TO_DATE,
    TcbStatus.OUT_OF_DATE,
    TcbStatus.TD_RELAUNCH_ADVISED,
    TcbStatus.REVOKED,
)


def published(first: dict[int, TcbStatus], second: dict[int, TcbStatus]) -> Statements:
    """The newest level wants TDX component 3 at 2; these are the levels of the modules of version 1 and 2."""
    levels = [level((1, 1), 1, 2, UP), level((1, 1), 1, 0, OUT)]
    one, two = (statements(levels, each, {1: UP}) for each in (first, second))
    other = replace(two.info.tdx_module_identities[0], id="TDX_02")
    return replace(one, info=replace(one.info, tdx_module_identities=(*one.info.tdx_module_identities, other)))


def td(launched: tuple[int, int], now: tuple[int, int, int]) -> PlatformTcb:
    """A TD launched under a module's ISVSVN and version, with component 3 at 0; and the host's first three today."""
    module, version = launched
    platform = at(1, 1, 1, 0, module, 1)
    return replace(platform, tee_tcb_svn=bytes((module, version)) + bytes(14), tee_tcb_svn2=bytes(now) + bytes(13))


@pytest.mark.parametrize(
    ("modules", "launched", "now", "gained"),
    [
        # Component 3 raised, for the host as well: the module that it has is current, so a launch is all that lacks.
        (({1: OUT, 3: UP}, {3: UP}), (1, 1), (3, 1, 0), RELAUNCH),
        (({1: OUT, 3: UP}, {3: UP}), (1, 1), (2, 1, 0), None),  # it is not current
        # What a TD was launched under, its host has, if both are of one version.
        (({1: OUT}, {3: UP}), (1, 1), (0, 1, 0), RELAUNCH),
        (({2: OUT}, {3: UP}), (2, 1), (0, 1, 0), RELAUNCH),
        # Of another version the module today stays what it is, whatever the launch was under.
        (({5: OUT}, {3: UP}), (5, 1), (3, 2, 0), RELAUNCH),
        (({5: OUT}, {3: UP}), (5, 1), (0, 2, 0), None),
        (({3: UP}, {5: OUT}), (5, 2), (3, 1, 0), RELAUNCH),
        (({9: UP}, {5: OUT}), (5, 2), (6, 1, 0), None),
    ],
)
def test_component_3_alone_is_raised(
    modules: tuple[dict[int, TcbStatus], dict[int, TcbStatus]],
    launched: tuple[int, int],
    now: tuple[int, int, int],
    gained: TcbStatus | None,
) -> None:
    by, platform = published(*modules), td(launched, now)
    verdict = judged(platform, by)
    assert verdict is not None
    assert verdict.status is OUT
    found = {
        each.status
        for each in improvements(platform, verdict, by)
        if [g.part for g in each.raises] == ["TDX component 3"]
    }
    assert found == ({gained} if gained else set())


def test_a_level_below_the_newest_promises_no_launch() -> None:
    """The host must have the newest level's component 3, whatever its module's numbers are."""
    levels = [level((1, 1), 1, 2, UP), level((1, 1), 1, 1, OUT), level((1, 1), 1, 0, OUT)]
    one, two = (statements(levels, each, {1: UP}) for each in ({5: OUT}, {3: UP}))
    other = replace(two.info.tdx_module_identities[0], id="TDX_02")
    by = replace(one, info=replace(one.info, tdx_module_identities=(*one.info.tdx_module_identities, other)))
    platform = td((5, 1), (3, 2, 0))
    verdict = judged(platform, by)
    assert verdict is not None
    assert [
        (each.status, [(gap.part, gap.need) for gap in each.raises]) for each in improvements(platform, verdict, by)
    ] == [(RELAUNCH, [("TDX component 3", 2)])]


def test_the_module_is_raised_with_the_component() -> None:
    by, platform = published({1: OUT, 3: UP}, {3: UP}), td((1, 1), (2, 1, 0))
    verdict = judged(platform, by)
    assert verdict is not None
    best = best_of(improvements(platform, verdict, by))
    assert best is not None
    assert (best.status, [(gap.part, gap.have, gap.need) for gap in best.raises]) == (
        UP,
        [("TDX component 3", 0, 2), ("TDX module", 1, 3)],
    )


def test_components_1_and_2_are_compared_for_modules_without_version_only() -> None:
    wanted = level((1, 1), 1, 0, UP)._replace(tdx_components=(7, 8, 0, *(0,) * 13))
    with_version, without = td((1, 1), (1, 1, 0)), td((1, 0), (1, 0, 0))
    assert platform_gaps(with_version, wanted, {}) == ()
    assert [(gap.part, gap.have, gap.need) for gap in platform_gaps(without, wanted, {})] == [
        ("TDX component 1", 1, 7),
        ("TDX component 2", 0, 8),
    ]


def test_a_td_whose_module_nobody_describes_gains_nothing_and_breaks_nothing() -> None:
    """Forecasts ask this of statements that no quote of the platform has met."""
    by = published({1: OUT, 3: UP}, {3: UP})
    known = judged(td((1, 1), (3, 1, 0)), by)
    assert known is not None
    unknown = td((1, 7), (1, 7, 0))
    assert judged(unknown, by) is None
    assert improvements(unknown, known, by) == ()
    assert {each.of for each in higher_levels(unknown, known, by)} == {"platform"}


def test_levels_at_or_below_the_platforms_own_are_not_higher() -> None:
    by = statements(
        [level((1, 1), 1, 0, UP)], {1: OUT, 2: OUT, 3: OUT, 4: UP}, {1: OUT, 2: OUT, 3: REVOKED, 4: UP, 5: UP}
    )
    platform = at(1, 1, 1, 0, 2, 2)
    verdict = judged(platform, by)
    assert verdict is not None
    assert [(each.of, each.gaps[0].need) for each in higher_levels(platform, verdict, by)] == [
        ("tdx-module", 4),
        ("tdx-module", 3),
        ("quoting-enclave", 5),
        ("quoting-enclave", 4),
        ("quoting-enclave", 3),
    ]
    (found,) = improvements(platform, verdict, by)
    assert [(gap.part, gap.need) for gap in found.raises] == [("TDX module", 4), ("quoting enclave", 4)]


def sgx(statuses: dict[int, TcbStatus], enclaves: dict[int, TcbStatus]) -> VerifiedCollateral:
    """Genuine statements with other levels: of SGX components that are all alike, and of the quoting enclave."""
    platform = SimulatedPlatform.create(at=AT, random=stream("raises"))
    proven = verify_collateral(platform.collateral(at=AT), at=AT, anchor=TrustAnchor.from_pem(platform.root_pem))
    levels = tuple(level((svn,) * 16, 0, 0, statuses[svn]) for svn in sorted(statuses)[::-1])
    return replace(
        proven,
        tcb_info=replace(proven.tcb_info, levels=levels),
        qe_identity=replace(
            proven.qe_identity,
            levels=tuple(QeLevel(svn, enclaves[svn], AT, ()) for svn in sorted(enclaves)[::-1]),
        ),
    )


@pytest.mark.parametrize(
    ("levels", "enclaves", "raised"),
    [
        # Of two levels with the best status the nearer one counts.
        ({0: REVOKED, 3: UP, 9: UP}, {1: UP}, {f"SGX component {number}" for number in range(1, 17)}),
        # The level that is covered may do, with what is beside it raised.
        ({0: UP, 3: UP, 9: UP}, {1: REVOKED, 2: UP}, {"quoting enclave"}),
    ],
)
def test_what_brings_a_refused_platform_back_is_the_least(
    levels: dict[int, TcbStatus], enclaves: dict[int, TcbStatus], raised: set[str]
) -> None:
    by, platform = sgx(levels, enclaves), PlatformTcb(components=(2,) * 16, pce_svn=0, qe_isv_svn=1)
    seen = forecast(platform, by, by)
    assert seen.early.status is None
    assert {gap.part for gap in seen.behind} == raised
    assert {gap.behind for gap in seen.behind} == {1}
