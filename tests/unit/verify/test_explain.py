"""An explanation says what was proven by whom, what limits the status, what would better it, and nothing more."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.measurements import ReportData
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.verify import Explanation, Refusal, TrustAnchor, VerifiedQuote, Verifier, explain, verify_quote
from ambergate.core.verify.path import HOLDER, THE_PLATFORM, YOURS
from ambergate.core.verify.steps import BY_ID, STEPS
from ambergate.simulator.faults import FAULTS, SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.td import TDX_MODULE, module_svn

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify.gaps import Gap

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("explain"))
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
RAW = PLATFORM.quote(SPECIMEN, bytes(64))
REFUSED = [fault for fault in FAULTS.values() if fault.expected_step not in (None, "1.1.quote_format")]
REPORTED = [fault for fault in FAULTS.values() if fault.expected_status is not None]
UP, OUT = TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE


def verdict(raw: bytes, collateral: Collateral) -> VerifiedQuote:
    return verify_quote(parse_quote(raw), collateral, at=AT, anchor=ANCHOR)


def of_fault(name: str) -> Explanation:
    return explain(verdict(*FAULTS[name].apply(PLATFORM, AT)))


def refused(name: str) -> Refusal:
    with pytest.raises(NotGenuine) as caught:
        verdict(*FAULTS[name].apply(PLATFORM, AT))
    return explain(caught.value)


def steps_of(gaps: tuple[Gap, ...]) -> list[tuple[str, int, int, int]]:
    return [(gap.part, gap.have, gap.need, gap.behind) for gap in gaps]


GENUINE = verdict(RAW, PLATFORM.collateral(at=AT))
TD = verdict(PLATFORM.td_quote(TD_SPECIMEN, bytes(64)), PLATFORM.td_collateral(at=AT))


@pytest.mark.parametrize("proven", [GENUINE, TD], ids=["SGX", "TDX"])
def test_the_path_leads_from_the_anchor_to_the_report(proven: VerifiedQuote) -> None:
    path = explain(proven).path
    assert [link.word_of for link in path] == [YOURS] + 7 * [HOLDER] + 3 * [THE_PLATFORM]
    assert [link.of for link in path if link.serial is None][1:3] == ["TCB info", "QE identity"]
    assert path[1].of == path[2].by
    assert path[2].of == path[3].by
    steps = {link.of: link.steps for link in path}
    assert steps["TCB info"] == ("3.5.tcb_info_signature",)
    assert steps["QE identity"] == ("4.5.qe_identity_signature",)
    said = path[-1].says
    assert str(proven.report.mr_enclave if proven is GENUINE else proven.report.mr_td) in said  # type: ignore[union-attr]


def test_certificates_stand_there_with_serial_and_dates() -> None:
    told = {
        (link.of, link.serial, link.window and link.window.not_after) for link in explain(GENUINE).path if link.serial
    }
    chains = (GENUINE.quote.certification.data, GENUINE.collateral.tcb_info_issuer_chain.encode())
    certificates = [each for chain in chains for each in read_pem_chain(chain)]
    assert told == {(each.common_name, f"{each.serial:x}", each.not_after) for each in certificates}


@pytest.mark.parametrize("proven", [GENUINE, TD], ids=["SGX", "TDX"])
def test_nothing_is_claimed_but_what_a_step_has_proven(proven: VerifiedQuote) -> None:
    held = {record.id for record in proven.checks if record.ok}
    claimed = [step for link in explain(proven).path for step in link.steps]
    assert set(claimed) <= held
    assert all(link.steps for link in explain(proven).path[1:])


def test_what_ends_first() -> None:
    explanation = explain(GENUINE)
    assert explanation.ends_first == GENUINE.earliest_expiry
    assert explanation.dates[0].window.not_after == explanation.window.not_after == GENUINE.window.not_after
    assert sorted(explanation.dates, key=lambda each: each.window.not_after) == list(explanation.dates)
    assert set(explanation.dates) == set(GENUINE.dates)


@pytest.mark.parametrize("fault", REPORTED, ids=lambda fault: fault.name)
def test_the_rules_lead_to_the_status(fault: object) -> None:
    tcb = of_fault(fault.name).tcb  # type: ignore[attr-defined]
    assert tcb.merges[-1].gives is tcb.status is fault.expected_status  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("debug", ()),
        ("sw-hardening-needed", ("platform",)),
        ("tcb-out-of-date", ("platform",)),
        ("qe-out-of-date", ("quoting-enclave",)),
        ("qe-out-of-date-configuration", ("platform", "quoting-enclave")),
        ("tdx-module-out-of-date", ("tdx-module",)),
        ("tdx-module-out-of-date-configuration", ("platform", "tdx-module")),
        ("tdx-components-out-of-date", ("platform",)),
    ],
)
def test_what_limits_the_status(name: str, limits: tuple[str, ...]) -> None:
    assert of_fault(name).tcb.limited_by == limits


@pytest.mark.parametrize(
    ("name", "gap", "words", "after"),
    [
        ("tcb-out-of-date", ("SGX component 1", 14, 15, 1), "update the BIOS", UP),
        ("qe-out-of-date", ("quoting enclave", 7, 8, 1), "update the quoting enclave", UP),
        ("tdx-module-out-of-date", ("TDX module", 4, 5, 1), "update the TDX module", UP),
        ("tdx-components-out-of-date", ("TDX component 3", 0, 6, 6), "microcode", UP),
        ("qe-out-of-date-configuration", ("quoting enclave", 7, 8, 1), "SGX PSW", TcbStatus.CONFIGURATION_NEEDED),
    ],
)
def test_what_is_behind_by_how_much_and_what_raises_it(
    name: str, gap: tuple[str, int, int, int], words: str, after: TcbStatus
) -> None:
    tcb = of_fault(name).tcb
    assert tcb.next_better is not None
    assert tcb.next_better == tcb.best
    assert steps_of(tcb.next_better.raises) == [gap]
    assert words in tcb.next_better.raises[0].remedy
    assert tcb.next_better.status is after
    assert gap in [step for level in tcb.not_covered for step in steps_of(level.gaps)]
    assert ("needs a PCK certificate" in " ".join(of_fault(name).text().split())) is gap[0].startswith("SGX")


def test_components_have_the_names_that_the_tcb_info_gives_them() -> None:
    gap = of_fault("tcb-out-of-date").tcb.not_covered[0].gaps[0]
    assert (gap.category, gap.type) == ("BIOS", "Early Microcode Update")
    gap = of_fault("tdx-components-out-of-date").tcb.not_covered[0].gaps[0]
    assert (gap.category, gap.type) == ("OS/VMM", "TDX Late Microcode Update")


def test_tcb_info_of_version_2_names_no_components() -> None:
    published = PLATFORM.publication(at=AT, status=OUT)
    collateral = replace(published, tcb_info=replace(published.tcb_info, version=2)).collateral()
    (level,) = explain(verdict(RAW, collateral)).tcb.not_covered
    assert [(gap.part, gap.category, gap.type) for gap in level.gaps] == [("SGX component 1", "", "")]
    assert "Intel names no part" in level.gaps[0].remedy


@pytest.mark.parametrize("name", ["debug", "sw-hardening-needed", "configuration-needed"])
def test_where_nothing_published_is_better_nothing_is_promised(name: str) -> None:
    tcb = of_fault(name).tcb
    assert (tcb.next_better, tcb.best, tcb.not_covered) == (None, None, ())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("debug", []),
        ("tcb-out-of-date", []),
        ("sw-hardening-needed", ["own code must be hardened"]),
        ("configuration-needed", ["SMT is on"]),
        ("configuration-and-sw-hardening-needed", ["SMT is on", "own code must be hardened"]),
        ("tcb-out-of-date-configuration-needed", ["SMT is on"]),
    ],
)
def test_what_a_status_asks_for_besides_updates(name: str, words: list[str]) -> None:
    explanation = of_fault(name)
    needs = explanation.tcb.needs
    assert len(needs) == len(words)
    assert all(word in need for word, need in zip(words, needs, strict=True))
    assert all(advisory in need for need in needs for advisory in explanation.tcb.advisory_ids)


def test_the_least_and_the_best_are_told_apart() -> None:
    published = PLATFORM.publication(at=AT, status=OUT)
    newest, own, *older = published.tcb_info.levels
    between = replace(newest, status=TcbStatus.CONFIGURATION_NEEDED)
    newest = replace(newest, components=(newest.components[0] + 1, newest.components[1] + 3, *newest.components[2:]))
    levels = (newest, between, own, *older)
    collateral = replace(published, tcb_info=replace(published.tcb_info, levels=levels)).collateral()
    explanation = explain(verdict(RAW, collateral))
    least, best = explanation.tcb.next_better, explanation.tcb.best
    assert least is not None
    assert best is not None
    assert (least.status, steps_of(least.raises)) == (between.status, [("SGX component 1", 14, 15, 1)])
    assert (best.status, steps_of(best.raises)) == (
        UP,
        [("SGX component 1", 14, 16, 2), ("SGX component 2", 14, 17, 3)],
    )
    assert "the least that gives a better status: ConfigurationNeeded" in explanation.text()
    assert "the best within reach: UpToDate" in explanation.text()


def test_the_rules_are_told_one_by_one() -> None:
    rows = [" ".join(row.split()) for row in of_fault("qe-out-of-date-configuration").text().splitlines()]
    assert "platform level ConfigurationNeeded → ConfigurationNeeded" in rows
    assert "quoting enclave OutOfDate → becomes OutOfDateConfigurationNeeded" in rows
    rows = [" ".join(row.split()) for row in of_fault("tcb-out-of-date").text().splitlines()]
    assert "quoting enclave UpToDate → stays OutOfDate" in rows


def test_settings_are_those_of_the_platforms_own_advisories() -> None:
    (need,) = of_fault("qe-out-of-date-configuration").tcb.needs
    assert "SIM-SA-00161" in need
    assert "SIM-SA-10477" not in need, "the quoting enclave's asks for an update"


def relaunched(today: int) -> Explanation:
    """A TD launched under an old module, on a host that runs the module of this ISVSVN today."""
    module = replace(TDX_MODULE, tee_tcb_svn=module_svn(4), running=module_svn(today))
    report = module.tdreport(TD_SPECIMEN, ReportData(bytes(64)), extended=True)
    raw = encode_quote(PLATFORM.td_quoting_enclave.quote(report, version=5))
    return explain(verdict(raw, PLATFORM.td_collateral(at=AT)))


def test_a_relaunch_is_enough_where_the_host_has_the_module_already() -> None:
    tcb = relaunched(5).tcb
    assert [(merge.rule, merge.gives) for merge in tcb.merges][-2:] == [
        ("relaunch", TcbStatus.TD_RELAUNCH_ADVISED),
        ("quoting-enclave", TcbStatus.TD_RELAUNCH_ADVISED),
    ]
    assert tcb.limited_by == ("tdx-module",)
    assert tcb.best is not None
    assert tcb.best.raises[0].remedy.startswith("launch the TD again")
    assert "launch the TD again" in tcb.needs[0]


def test_where_the_host_is_old_too_its_module_has_to_be_updated() -> None:
    tcb = relaunched(4).tcb
    assert tcb.status is OUT
    assert tcb.best is not None
    assert tcb.best.raises[0].remedy.startswith("update the TDX module")
    assert tcb.needs == ()


def test_what_is_not_proven_is_said() -> None:
    plain = explain(GENUINE).not_proven
    assert any("not Intel's root" in each for each in plain)
    assert any("REPORTDATA" in each for each in plain)
    assert not any("debug" in each or "behind the signature" in each for each in plain)
    assert any("debug" in each for each in of_fault("debug").not_proven)
    padded = explain(verdict(RAW + bytes(7), PLATFORM.collateral(at=AT))).not_proven
    assert any("7 bytes behind the signature data" in each for each in padded)
    assert explain(GENUINE).genuine_hardware is False


def test_a_verdict_from_memory_is_explained_alike() -> None:
    verifier = Verifier(anchor=ANCHOR)
    first, second = (verifier.verify(RAW, PLATFORM.collateral(at=AT), at=AT) for _ in range(2))
    assert explain(first) == explain(second)


@pytest.mark.parametrize("fault", REPORTED, ids=lambda fault: fault.name)
def test_machines_get_it_as_json(fault: object) -> None:
    explanation = of_fault(fault.name)  # type: ignore[attr-defined]
    told = json.loads(json.dumps(explanation.as_dict()))
    assert set(told) == {field.name for field in fields(Explanation)}
    assert told["tcb"]["status"] == explanation.tcb.status.value
    assert told["at"] == AT.isoformat()
    ends = explanation.ends_first
    window = {name: getattr(ends.window, name).isoformat() for name in ("not_before", "not_after")}
    assert told["ends_first"] == {"step": ends.step, "what": ends.what, "window": window}
    assert [link["of"] for link in told["path"]] == [link.of for link in explanation.path]


@pytest.mark.parametrize("fault", REPORTED, ids=lambda fault: fault.name)
def test_people_get_it_as_text(fault: object) -> None:
    explanation = of_fault(fault.name)  # type: ignore[attr-defined]
    text = explanation.text()
    flat = " ".join(text.split())
    assert explanation.tcb.status.value in flat
    assert explanation.ends_first.step in flat
    assert all(need in flat for need in (*explanation.tcb.needs, *explanation.not_proven))
    best = explanation.tcb.best
    assert all(gap.remedy in flat for gap in (best.raises if best else ()))
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: fault.name)
def test_a_refusal_names_its_step_and_what_to_do(fault: object) -> None:
    refusal = refused(fault.name)  # type: ignore[attr-defined]
    step = BY_ID[fault.expected_step]  # type: ignore[attr-defined]
    assert (refusal.step, refusal.code, refusal.would_prove) == (step.id, step.code, step.proves)
    assert refusal.remedy
    assert step.id not in refusal.held + refusal.not_looked_at
    order = [each.id for each in STEPS]
    assert all(order.index(each) > order.index(step.id) for each in refusal.not_looked_at)
    flat = " ".join(refusal.text().split())
    assert all(part in flat for part in (step.id, step.code, step.proves, refusal.remedy))
    assert set(json.loads(json.dumps(refusal.as_dict()))) == {field.name for field in fields(Refusal)}


def test_what_was_seen_and_wanted_is_in_a_refusal() -> None:
    refusal = refused("tcb-info-wrong-fmspc")
    assert refusal.wanted == PLATFORM.fmspc.hex()
    assert f"wanted: {refusal.wanted}" in " ".join(refusal.text().split())
    assert f"seen: {refusal.seen}" in " ".join(refusal.text().split())


def test_bytes_that_are_no_quote_fail_the_first_step() -> None:
    with pytest.raises(MalformedEvidence) as caught:
        parse_quote(b"no quote")
    refusal = explain(caught.value)
    assert (refusal.step, refusal.held) == ("1.1.quote_format", ())
    assert len(refusal.not_looked_at) == len(STEPS) - 1


def test_a_step_of_the_service_has_no_entry_here() -> None:
    refusal = explain(NotGenuine("REPORTDATA binds nothing", step="10.2.report_data", code="x", hint="quote again"))
    assert (refusal.would_prove, refusal.not_looked_at, refusal.remedy) == (None, (), "quote again")
    assert "would prove" not in refusal.text()


def test_nothing_that_was_seen_controls_the_terminal() -> None:
    refusal = explain(NotGenuine("another root", step="2.2.pck_chain_anchor", seen="CN=\x1b[2J\x07evil"))
    assert "\x1b" not in refusal.text()
    assert "\x07" not in refusal.text()
    assert "evil" in refusal.text()
