"""What raises would gain is true, and no smaller set of raises gains anything: by trying all of them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vectors.conftest import ABSENT, vectors

from ambergate.core.collateral.qe_identity import QeIdentity, QeLevel, read_qe_identity
from ambergate.core.collateral.tcb_info import TcbInfo, TcbLevel, TcbStatus, TdxModule, TdxModuleLevel, read_tcb_info
from ambergate.core.errors import NotGenuine
from ambergate.core.measurements import Fmspc, MrSigner, MrSignerSeam, PceId
from ambergate.core.quote import parse_quote
from ambergate.core.verify import explain, verify_quote
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.gaps import (
    BETTER_FIRST,
    MAX_LABEL,
    MAX_LEVELS,
    Label,
    Statements,
    best_of,
    higher_levels,
    improvements,
    read_labels,
)
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.core.verify.gaps import Improvement
    from ambergate.core.verify.verdict import TcbVerdict

AT = datetime(2026, 5, 1, tzinfo=UTC)
UP, SW, CONF, CONF_SW, OUT, OUT_CONF, REVOKED, *_ = TcbStatus
TOP = 2  # the highest SVN of anything here


def level(components: tuple[int, ...], pce: int, tdx: int, status: TcbStatus) -> TcbLevel:
    return TcbLevel(
        components=components + (0,) * (16 - len(components)),
        pce_svn=pce,
        status=status,
        date=AT,
        advisory_ids=(),
        tdx_components=(0, 0, tdx) + (0,) * 13,
    )


def statements(levels: list[TcbLevel], modules: dict[int, TcbStatus], enclaves: dict[int, TcbStatus]) -> Statements:
    ranked = {each.rank: each for each in levels}
    module = TdxModule(
        id="TDX_01",
        mr_signer=MrSignerSeam(bytes(48)),
        attributes=bytes(8),
        levels=tuple(
            TdxModuleLevel(isv_svn=svn, status=modules[svn], date=AT, advisory_ids=()) for svn in sorted(modules)[::-1]
        ),
    )
    info = TcbInfo(
        tee="TDX", version=3, issue_date=AT, next_update=AT, fmspc=Fmspc(bytes(6)), pce_id=PceId(bytes(2)),
        evaluation_data_number=1, levels=tuple(ranked[rank] for rank in sorted(ranked, reverse=True)),
        tdx_module_identities=(module,),
    )  # fmt: skip
    identity = QeIdentity(
        kind="TD_QE", issue_date=AT, next_update=AT, evaluation_data_number=1, misc_select=0, misc_select_mask=0,
        attributes=bytes(16), attributes_mask=bytes(16), mr_signer=MrSigner(bytes(32)), isv_prod_id=2,
        levels=tuple(
            QeLevel(isv_svn=svn, status=enclaves[svn], date=AT, advisory_ids=()) for svn in sorted(enclaves)[::-1]
        ),
    )  # fmt: skip
    return Statements(info=info, identity=identity, labels={})


def judged(platform: PlatformTcb, by: Statements) -> TcbVerdict | None:
    try:
        return evaluate_tcb(Trail(), platform, by.info, by.identity)
    except NotGenuine:
        return None


def at(first: int, second: int, pce: int, tdx: int, module: int, qe: int) -> PlatformTcb:
    """A TD's platform at these SVNs: two SGX components, PCE, one TDX component, TDX module, quoting enclave."""
    return PlatformTcb(
        components=(first, second) + (0,) * 14,
        pce_svn=pce,
        qe_isv_svn=qe,
        tee_tcb_svn=bytes((module, 1, tdx)) + bytes(13),
    )


def raised(platform: PlatformTcb, by: Improvement) -> PlatformTcb:
    """The platform after the raises, as their words say."""
    components, svn = list(platform.components), bytearray(platform.tee_tcb_svn or bytes(16))
    pce, qe = platform.pce_svn, platform.qe_isv_svn
    for gap in by.raises:
        family, number = gap.part.split()[0], gap.part.split()[-1]
        if gap.part == "PCE":
            pce = gap.need
        elif gap.part == "quoting enclave":
            qe = gap.need
        elif gap.part == "TDX module":
            svn[0] = gap.need
        elif family == "SGX":
            components[int(number) - 1] = gap.need
        else:
            svn[int(number) - 1] = gap.need
    now = platform.tee_tcb_svn2
    return replace(
        platform,
        components=tuple(components),
        pce_svn=pce,
        qe_isv_svn=qe,
        tee_tcb_svn=bytes(svn) if platform.tee_tcb_svn else None,
        tee_tcb_svn2=None if now is None else bytes(map(max, now, svn)),
    )


svns = st.integers(0, TOP)
documented = st.sampled_from([UP, SW, CONF, CONF_SW, OUT, OUT_CONF, REVOKED])
by_svn = st.dictionaries(svns, st.sampled_from([UP, OUT, REVOKED]), min_size=1)
published = st.builds(
    statements,
    st.lists(st.builds(level, st.tuples(svns, svns), svns, svns, documented), min_size=1, max_size=5),
    by_svn,
    by_svn,
)


def _above(values: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(value, TOP + 1) for value in values))


@settings(deadline=None, max_examples=150)  # each tries up to 729 platforms
@given(st.tuples(*[svns] * 6), published)
def test_promises_are_true_and_nothing_smaller_gains_anything(now: tuple[int, ...], by: Statements) -> None:
    platform = at(*now)
    verdict = judged(platform, by)
    if verdict is None:
        return
    found = improvements(platform, verdict, by)
    for each in found:
        after = judged(raised(platform, each), by)
        assert after is not None
        assert (after.status, after.advisory_ids) == (each.status, each.advisory_ids)
    rank = BETTER_FIRST.index
    reached = [
        (sum(a < b for a, b in zip(now, then, strict=True)), sum(then) - sum(now), rank(after.status))
        for then in _above(now)
        if (after := judged(at(*then), by)) and rank(after.status) < rank(verdict.status)
    ]
    assert bool(found) is bool(reached)
    if reached:
        best = best_of(found)
        assert best is not None
        assert _size(found[0]) == min(reached)[:2]
        assert (rank(best.status), *_size(best)) == min((status, number, by) for number, by, status in reached)


def _size(each: Improvement) -> tuple[int, int]:
    return len(each.raises), sum(gap.behind for gap in each.raises)


@given(st.tuples(*[svns] * 6), published)
def test_higher_levels_are_all_that_stand_above_and_their_gaps_are_what_lacks(
    now: tuple[int, ...], by: Statements
) -> None:
    platform = at(*now)
    verdict = judged(platform, by)
    if verdict is None:
        return
    found = higher_levels(platform, verdict, by)
    assert [each.status for each in found if each.of == "platform"] == [
        each.status for each in by.info.levels if each.rank > verdict.level.rank
    ]
    assert len([each for each in found if each.of == "quoting-enclave"]) == sum(
        each.isv_svn > platform.qe_isv_svn for each in by.identity.levels
    )
    assert all(gap.behind == gap.need - gap.have > 0 for each in found for gap in each.gaps)
    assert all(each.gaps for each in found)


def test_module_and_quoting_enclave_are_raised_no_higher_than_needed() -> None:
    by = statements([level((), 0, 0, UP)], {0: OUT, 1: UP, 2: UP}, {0: OUT, 1: UP, 2: UP})
    platform = at(0, 0, 0, 0, 0, 0)
    verdict = judged(platform, by)
    assert verdict is not None
    (only,) = improvements(platform, verdict, by)
    assert [(gap.part, gap.need) for gap in only.raises] == [("TDX module", 1), ("quoting enclave", 1)]


def test_a_raise_to_what_is_revoked_is_no_advice() -> None:
    by = statements([level((), 0, 0, OUT), level((1,), 0, 0, UP), level((2,), 0, 0, REVOKED)], {1: UP}, {1: UP})
    platform = at(0, 0, 0, 0, 1, 1)
    verdict = judged(platform, by)
    assert verdict is not None
    assert [(each.status, each.raises[0].need) for each in improvements(platform, verdict, by)] == [(UP, 1)]


def launched(before: tuple[int, ...], today: tuple[int, ...] | None) -> PlatformTcb:
    """A TD's platform, by TEE_TCB_SVN at launch and today."""
    svn, now = (None if each is None else bytes(each).ljust(16, b"\0") for each in (before, today))
    return PlatformTcb(components=(0,) * 16, pce_svn=0, qe_isv_svn=1, tee_tcb_svn=svn, tee_tcb_svn2=now)


def raises(platform: PlatformTcb, by: Statements) -> dict[tuple[TcbStatus, tuple[str, ...]], tuple[str, ...]]:
    verdict = judged(platform, by)
    assert verdict is not None
    return {
        (each.status, tuple(gap.part for gap in each.raises)): tuple(gap.remedy for gap in each.raises)
        for each in improvements(platform, verdict, by)
    }


OF_TDS = statements([level((), 0, 6, UP), level((), 0, 3, OUT)], {6: UP, 4: OUT}, {1: UP})


@pytest.mark.parametrize(
    ("today", "module", "component"),
    [
        ((6, 1, 6), "launch", "launch"),
        ((5, 1, 6), "update", "launch"),
        ((6, 1, 5), "launch", "update"),
        ((6, 2, 6), "update", "launch"),  # the ISVSVN of another version of the module says nothing
        (None, "update", "update"),
    ],
)
def test_what_the_host_has_already_takes_a_relaunch_alone(
    today: tuple[int, ...] | None, module: str, component: str
) -> None:
    second = replace(OF_TDS.info.tdx_module_identities[0], id="TDX_02")
    by = replace(OF_TDS, info=replace(OF_TDS.info, tdx_module_identities=(*OF_TDS.info.tdx_module_identities, second)))
    found = raises(launched((4, 1, 3), today), by)
    remedies = found[UP, ("TDX component 3", "TDX module")]
    assert [remedy.split()[0] for remedy in remedies] == [component, module]


def test_no_relaunch_is_promised_from_the_svn_of_another_module_version() -> None:
    module, by = OF_TDS.info.tdx_module_identities[0], OF_TDS
    second = replace(module, id="TDX_02", levels=(module.levels[0]._replace(isv_svn=3),))
    by = replace(by, info=replace(by.info, tdx_module_identities=(module, second)))
    assert {status for status, _ in raises(launched((4, 1, 3), (1, 2, 5)), by)} == {UP}


def test_of_a_module_without_a_version_all_components_count() -> None:
    plain = replace(OF_TDS.info.tdx_module_identities[0], id="", levels=())
    top = OF_TDS.info.levels[0]._replace(tdx_components=(5, 0, 6) + (0,) * 13)
    info = replace(OF_TDS.info, levels=(top, OF_TDS.info.levels[1]), tdx_module=plain)
    assert list(raises(launched((4, 0, 3), None), replace(OF_TDS, info=info))) == [
        (UP, ("TDX component 1", "TDX component 3"))
    ]


def test_the_first_level_that_names_a_component_counts_and_names_are_short() -> None:
    def row(*components: dict[str, object]) -> dict[str, object]:
        return {"tcb": {"sgxtcbcomponents": list(components), "pcesvn": 1}}

    labels = read_labels(
        json.dumps(
            {
                "tcbLevels": [
                    row({"svn": 1}, {"svn": 1, "category": "BIOS"}, {"svn": 1, "category": "x" * 1000, "type": 7}),
                    row({"svn": 1, "type": "TXT SINIT"}, {"svn": 1, "category": "OS/VMM"}),
                ]
            }
        )
    )
    assert labels == {
        ("SGX", 0): Label("", "TXT SINIT"),
        ("SGX", 1): Label("BIOS", ""),
        ("SGX", 2): Label("x" * MAX_LABEL, ""),
    }


def test_only_the_nearest_levels_are_looked_at() -> None:
    levels = [level((number % 256, number // 256), 0, 0, OUT) for number in range(3 * MAX_LEVELS)]
    by = statements([*levels, level((255, 255), 0, 0, UP)], {1: UP}, {1: UP})
    platform = at(0, 0, 0, 0, 1, 1)
    verdict = judged(platform, by)
    assert verdict is not None
    found = higher_levels(platform, verdict, by)
    assert [each.gaps[0].need for each in found] == list(range(MAX_LEVELS, 0, -1))
    assert improvements(platform, verdict, by) == ()


def test_an_unnamed_module_version_and_enclaves_have_no_module_gaps() -> None:
    by = statements([level((), 0, 0, OUT), level((1,), 0, 0, UP)], {1: UP}, {1: UP})
    enclave = replace(at(0, 0, 0, 0, 0, 1), tee_tcb_svn=None)
    verdict = judged(enclave, by)
    assert verdict is not None
    assert {each.of for each in higher_levels(enclave, verdict, by)} == {"platform"}
    assert [gap.part for each in improvements(enclave, verdict, by) for gap in each.raises] == ["SGX component 1"]


GENUINE = [vector for vector in vectors() if vector.ours["outcome"] == "genuine"]


def test_the_vectors_are_there() -> None:
    if not GENUINE:
        pytest.skip(ABSENT)


@pytest.mark.parametrize("vector", GENUINE, ids=lambda vector: vector.name)
def test_of_real_platforms_too_every_promise_is_true(vector: object) -> None:
    quote = parse_quote(vector.raw)  # type: ignore[attr-defined]
    verified = verify_quote(quote, vector.collateral, at=vector.at)  # type: ignore[attr-defined]
    tcb = explain(verified).tcb
    assert (tcb.best is None) is (tcb.next_better is None)
    assert (tcb.limited_by == ()) is (tcb.status is UP)
    platform = PlatformTcb.of(quote, verified.platform)
    by = Statements(
        info=read_tcb_info(verified.collateral.tcb_info),
        identity=read_qe_identity(verified.collateral.qe_identity),
        labels={},
    )
    for each in (tcb.next_better, tcb.best):
        if each is not None:
            after = judged(raised(platform, each), by)
            assert after is not None
            assert after.status is each.status
            assert BETTER_FIRST.index(each.status) < BETTER_FIRST.index(tcb.status)
