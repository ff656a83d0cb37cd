"""Every named fault against our verifier: refused at its step, or genuine with its status."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.quote.codec import encode_quote
from ambergate.core.quote.layout import TeeType
from ambergate.core.quote.td_report import TdReport
from ambergate.core.verify import TrustAnchor, Verifier, verify_collateral
from ambergate.core.verify.steps import BY_ID, STEPS
from ambergate.simulator import faults
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.faults import FAULTS, Fault
from ambergate.simulator.faults.scene import SPECIMEN, TD_SPECIMEN
from ambergate.simulator.td import TdIdentity

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify import VerifiedQuote
    from ambergate.simulator.platform import SimulatedPlatform

FORMAT_STEP = "1.1.quote_format"
REFUSED = [fault for fault in FAULTS.values() if fault.expected_step not in (None, FORMAT_STEP)]
# Steps that look at Intel's statements alone; 5.3 looks at the chain in the quote.
_BUNDLE_STEPS = ("2.6", "2.7", "2.8", "2.9", "2.10", "3.", "4.", "5.1", "5.2", "5.4", "5.5", "5.6", "5.7")
OF_THE_BUNDLE = [fault for fault in REFUSED if (fault.expected_step or "").startswith(_BUNDLE_STEPS)]
MALFORMED = [fault for fault in FAULTS.values() if fault.expected_step == FORMAT_STEP]
REPORTED = [fault for fault in FAULTS.values() if fault.expected_status is not None]


def _name(fault: Fault) -> str:
    return fault.name


def _verify(platform: SimulatedPlatform, raw: bytes, collateral: Collateral, at: datetime) -> VerifiedQuote:
    return Verifier(anchor=TrustAnchor.from_pem(platform.root_pem)).verify(raw, collateral, at=at)


@pytest.mark.parametrize("fault", REFUSED, ids=_name)
def test_a_lie_is_refused_at_its_step(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    raw, collateral = fault.apply(platform, at, random=stream(fault.name))
    with pytest.raises(NotGenuine) as caught:
        _verify(platform, raw, collateral, at)
    assert caught.value.step == fault.expected_step
    assert caught.value.code == BY_ID[caught.value.step].code


@pytest.mark.parametrize("fault", OF_THE_BUNDLE, ids=_name)
def test_what_is_wrong_with_a_bundle_is_seen_without_a_quote(
    platform: SimulatedPlatform, at: datetime, fault: Fault
) -> None:
    _, collateral = fault.apply(platform, at, random=stream(fault.name))
    with pytest.raises(NotGenuine) as caught:
        verify_collateral(collateral, at=at, anchor=TrustAnchor.from_pem(platform.root_pem))
    assert caught.value.step == fault.expected_step


@pytest.mark.parametrize("fault", MALFORMED, ids=_name)
def test_what_is_no_quote_is_malformed(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    raw, collateral = fault.apply(platform, at, random=stream(fault.name))
    with pytest.raises(MalformedEvidence):
        _verify(platform, raw, collateral, at)


@pytest.mark.parametrize("fault", REPORTED, ids=_name)
def test_a_status_is_reported_and_not_refused(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    raw, collateral = fault.apply(platform, at, random=stream(fault.name))
    verified = _verify(platform, raw, collateral, at)
    assert verified.tcb_status is fault.expected_status
    assert bool(verified.advisory_ids) is (fault.expected_status is not TcbStatus.UP_TO_DATE)
    assert verified.report.debug is (fault.name in ("debug", "td-debug"))
    assert verified.tee is fault.tee


@pytest.mark.parametrize("fault", FAULTS.values(), ids=_name)
def test_nothing_is_genuine_under_intels_root(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    raw, collateral = fault.apply(platform, at, random=stream(fault.name))
    with pytest.raises((NotGenuine, MalformedEvidence)):
        Verifier().verify(raw, collateral, at=at)


@pytest.mark.parametrize("fault", [fault for fault in REPORTED if fault.tee is TeeType.SGX], ids=_name)
def test_the_caller_chooses_enclave_and_report_data(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    enclave, report_data = EnclaveIdentity.of_program([b"another"], isv_svn=7), bytes(range(64))
    raw, collateral = fault.apply(platform, at, enclave=enclave, report_data=report_data)
    report = _verify(platform, raw, collateral, at).enclave
    assert (report.mr_enclave, report.isv_svn) == (enclave.mr_enclave, 7)
    assert report.report_data.value == report_data


@pytest.mark.parametrize("fault", [fault for fault in REPORTED if fault.tee is TeeType.TDX], ids=_name)
def test_the_caller_chooses_td_and_report_data(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    td, report_data = TdIdentity.of_image([b"another"]), bytes(range(64))
    raw, collateral = fault.apply(platform, at, td=td, report_data=report_data)
    report = _verify(platform, raw, collateral, at).report
    assert isinstance(report, TdReport)
    assert (report.mr_td, report.report_data.value) == (td.mr_td, report_data)


@pytest.mark.parametrize(("version", "extended"), [(4, False), (5, False), (5, True)])
def test_honest_evidence_of_a_td_is_genuine(
    platform: SimulatedPlatform, at: datetime, version: int, *, extended: bool
) -> None:
    raw = platform.td_quote(TD_SPECIMEN, bytes(64), version=version, extended=extended)
    verified = _verify(platform, raw, platform.td_collateral(at=at), at)
    assert (verified.tcb_status, verified.advisory_ids) == (TcbStatus.UP_TO_DATE, ())
    assert {check.id for check in verified.checks} == {step.id for step in STEPS}


def test_honest_evidence_is_genuine(platform: SimulatedPlatform, at: datetime) -> None:
    """Without this, a verifier that refuses everything would pass the tests above."""
    raw, collateral = platform.quote(SPECIMEN, bytes(64)), platform.collateral(at=at)
    verified = _verify(platform, raw, collateral, at)
    assert verified.tcb_status is TcbStatus.UP_TO_DATE
    assert verified.advisory_ids == ()
    assert verified.platform == platform.state.hardware
    assert not verified.anchor.is_intel


def test_a_fault_changes_nothing_about_its_platform(platform: SimulatedPlatform, at: datetime) -> None:
    for fault in FAULTS.values():
        fault.apply(platform, at)
    raw, collateral = platform.quote(SPECIMEN, bytes(64)), platform.collateral(at=at)
    assert _verify(platform, raw, collateral, at).tcb_status is TcbStatus.UP_TO_DATE


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_of_tcb_info_are_read(platform: SimulatedPlatform, at: datetime, version: int) -> None:
    published = platform.publication(at=at, status=TcbStatus.CONFIGURATION_NEEDED)
    collateral = replace(published, tcb_info=replace(published.tcb_info, version=version)).collateral()
    verified = _verify(platform, platform.quote(SPECIMEN, bytes(64)), collateral, at)
    assert verified.tcb_status is TcbStatus.CONFIGURATION_NEEDED


def test_the_order_of_tcb_levels_in_the_document_does_not_matter(platform: SimulatedPlatform, at: datetime) -> None:
    published = platform.publication(at=at)
    backwards = replace(published.tcb_info, levels=published.tcb_info.levels[::-1])
    collateral = replace(published, tcb_info=backwards).collateral()
    verified = _verify(platform, platform.quote(SPECIMEN, bytes(64)), collateral, at)
    assert verified.tcb_status is TcbStatus.UP_TO_DATE


def test_padding_after_the_quote_is_tolerated(platform: SimulatedPlatform, at: datetime) -> None:
    raw = platform.quote(SPECIMEN, bytes(64)) + bytes(100)
    assert _verify(platform, raw, platform.collateral(at=at), at).tcb_status is TcbStatus.UP_TO_DATE


def test_collateral_lives_as_long_as_it_says(platform: SimulatedPlatform, at: datetime) -> None:
    raw, collateral = platform.quote(SPECIMEN, bytes(64)), platform.collateral(at=at)
    for inside in (timedelta(hours=-1), timedelta(days=30)):
        assert _verify(platform, raw, collateral, at + inside).tcb_status is TcbStatus.UP_TO_DATE
    for outside in (timedelta(hours=-1, seconds=-1), timedelta(days=30, seconds=1)):
        with pytest.raises(NotGenuine):
            _verify(platform, raw, collateral, at + outside)


def test_every_step_that_can_fail_has_its_lie() -> None:
    assert {step.id for step in STEPS} == {fault.expected_step for fault in FAULTS.values() if fault.expected_step}


def test_the_steps_of_tdx_are_held_by_lies_of_tds() -> None:
    """A fault of SGX that aimed at one of them would pass by never reaching it."""
    only = {step.id for step in STEPS if step.tdx_only}
    assert {fault.tee for fault in FAULTS.values() if fault.expected_step in only} == {TeeType.TDX}


def test_every_fault_expects_exactly_one_outcome() -> None:
    for fault in FAULTS.values():
        assert (fault.expected_step is None) is not (fault.expected_status is None)
        assert fault.expected_status is not TcbStatus.REVOKED


def test_names_are_unique_and_fit_a_command_line() -> None:
    modules = [import_module(f"{faults.__name__}.{module.name}") for module in pkgutil.iter_modules(faults.__path__)]
    listed = [fault for module in modules for fault in getattr(module, "FAULTS", ())]
    assert len(listed) == len(FAULTS)
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert name.replace("-", "").isalnum()
        assert name == name.lower()
        assert fault.description.endswith(".")


def test_a_quote_of_the_specimen_is_what_the_faults_start_from(platform: SimulatedPlatform) -> None:
    quote = platform.quoting_enclave.quote(platform.report(SPECIMEN, bytes(64)))
    assert encode_quote(quote)[:432] == platform.quote(SPECIMEN, bytes(64))[:432]
