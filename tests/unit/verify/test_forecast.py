"""The status that a kind of platform will have under another set of statements."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_collateral, verify_quote
from ambergate.core.verify.forecast import Change, PlatformKind, forecast
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.simulator.documents import EARLY, STANDARD, Edition
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN
from ambergate.simulator.platform import COMPONENTS, PCE_SVN, SimulatedPlatform
from ambergate.simulator.quoting import QUOTING_ENCLAVE

if TYPE_CHECKING:
    from ambergate.core.verify import VerifiedCollateral

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("forecast"))
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
SGX = PlatformTcb(components=COMPONENTS, pce_svn=PCE_SVN, qe_isv_svn=QUOTING_ENCLAVE.isv_svn)
UP, SW, OUT, OUT_CONF = (
    TcbStatus.UP_TO_DATE,
    TcbStatus.SW_HARDENING_NEEDED,
    TcbStatus.OUT_OF_DATE,
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
)


def kind(tee: str, *, ca: str = "platform") -> PlatformKind:
    platform = PLATFORM if ca == "platform" else SimulatedPlatform.create(at=AT, ca=ca)
    sgx = tee == "SGX"
    raw = platform.quote(SPECIMEN, bytes(64)) if sgx else platform.td_quote(TD_SPECIMEN, bytes(64))
    collateral = platform.collateral(at=AT) if sgx else platform.td_collateral(at=AT)
    return PlatformKind.of(
        verify_quote(parse_quote(raw), collateral, at=AT, anchor=TrustAnchor.from_pem(platform.root_pem))
    )


def said(status: TcbStatus, edition: Edition = STANDARD, *, tee: str = "SGX") -> VerifiedCollateral:
    """What one set says."""
    publish = PLATFORM.collateral if tee == "SGX" else PLATFORM.td_collateral
    return verify_collateral(publish(at=AT, status=status, edition=edition), at=AT, anchor=ANCHOR)


def test_a_kind_of_platform_names_no_machine() -> None:
    found = kind("SGX")
    assert (found.tee, found.fmspc, found.ca, found.tcb) == ("SGX", PLATFORM.fmspc, "platform", SGX)
    hardware = PLATFORM.state.hardware
    assert hardware.platform_instance_id is not None
    assert not {hardware.ppid.hex(), hardware.platform_instance_id.hex()} & {
        part.lower() for part in repr(found).replace("'", " ").split()
    }
    assert kind("SGX", ca="processor").ca == "processor"
    assert kind("TDX").tcb.tee_tcb_svn is not None


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
@pytest.mark.parametrize(
    ("now", "then", "change"),
    [(UP, UP, Change.SAME), (UP, OUT, Change.WORSE), (OUT_CONF, SW, Change.BETTER), (SW, OUT, Change.WORSE)],
)
def test_both_words_and_how_they_compare(tee: str, now: TcbStatus, then: TcbStatus, change: Change) -> None:
    seen = forecast(kind(tee).tcb, said(now, tee=tee), said(then, EARLY, tee=tee))
    assert (seen.standard.status, seen.early.status, seen.change) == (now, then, change)
    assert (seen.standard.evaluation_data_number, seen.early.evaluation_data_number) == (17, 18)
    assert set(seen.advisories_gained) == set(seen.early.advisory_ids) - set(seen.standard.advisory_ids)


def test_what_is_behind_by_how_much_and_what_raises_it() -> None:
    (gap,) = forecast(SGX, said(UP), said(OUT, EARLY)).behind
    assert (gap.part, gap.have + 1, gap.behind) == ("SGX component 1", gap.need, 1)
    assert gap.remedy
    assert forecast(SGX, said(OUT), said(UP, EARLY)).behind == ()


def test_every_part_of_the_platform_can_be_behind() -> None:
    components = (*COMPONENTS[:2], 1, *COMPONENTS[3:])
    older = replace(SGX, pce_svn=PCE_SVN - 2, qe_isv_svn=SGX.qe_isv_svn - 1, components=components)
    behind = forecast(older, said(UP), said(UP, EARLY)).behind
    assert [(gap.part, gap.have, gap.need) for gap in behind] == [
        ("SGX component 3", 1, 3),
        ("PCE", PCE_SVN - 2, PCE_SVN),
        ("quoting enclave", SGX.qe_isv_svn - 1, SGX.qe_isv_svn),
    ]


def test_an_old_tdx_module_and_an_old_component_of_a_td() -> None:
    tcb = kind("TDX").tcb
    assert tcb.tee_tcb_svn is not None
    svn = tcb.tee_tcb_svn
    older = replace(tcb, tee_tcb_svn=bytes([svn[0] - 1, svn[1], svn[2] - 1, *svn[3:]]))
    behind = forecast(older, said(UP, tee="TDX"), said(UP, EARLY, tee="TDX")).behind
    assert {(gap.part, gap.behind) for gap in behind} == {("TDX module", 1), ("TDX component 3", 1)}


def test_what_would_bring_a_refused_platform_back() -> None:
    ancient = replace(SGX, components=(0,) * 16, qe_isv_svn=0)
    behind = forecast(ancient, said(UP), said(UP, EARLY)).behind
    assert {gap.part: gap.need for gap in behind} == {
        **{f"SGX component {number}": need for number, need in enumerate(COMPONENTS, start=1) if need},
        "quoting enclave": SGX.qe_isv_svn,
    }


def test_a_platform_that_will_be_refused() -> None:
    seen = forecast(SGX, said(OUT), said(TcbStatus.REVOKED, EARLY))
    assert (seen.early.status, seen.early.refused_at, seen.change) == (None, "9.4.tcb_not_revoked", Change.WORSE)
    assert "revoked" in str(seen.early.reason)
    ancient = replace(SGX, components=(0,) * 16)
    uncovered = forecast(ancient, said(UP), said(UP, EARLY))
    assert uncovered.standard.refused_at == uncovered.early.refused_at == "9.4.tcb_not_revoked"
    assert uncovered.change is Change.SAME


def test_more_advisories_under_the_same_status_are_worse() -> None:
    early = said(SW, EARLY)
    level = early.tcb_info.levels[0]
    more = level._replace(advisory_ids=(*level.advisory_ids, "INTEL-SA-99999"))
    early = replace(early, tcb_info=replace(early.tcb_info, levels=(more, *early.tcb_info.levels[1:])))
    seen = forecast(SGX, said(SW), early)
    assert (seen.advisories_gained, seen.change) == (("INTEL-SA-99999",), Change.WORSE)


def test_statements_of_another_family_or_tee_are_a_mistake_of_the_caller() -> None:
    other = SimulatedPlatform.create(at=AT)
    elsewhere = verify_collateral(other.collateral(at=AT), at=AT, anchor=TrustAnchor.from_pem(other.root_pem))
    for pair in ((said(UP), elsewhere), (said(UP), said(UP, tee="TDX")), (said(UP, tee="TDX"),) * 2):
        with pytest.raises(ValueError, match="one family of SGX is needed"):
            forecast(SGX, *pair)
