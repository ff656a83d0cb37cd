"""Where verifiers differ about Intel's signed statements: which way ours goes (ADR 0007, 0011, 0019)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import NotGenuine
from ambergate.core.measurements import CpuSvn
from ambergate.core.quote.codec import parse_quote
from ambergate.core.verify import TrustAnchor, VerifiedQuote, verify_quote
from ambergate.simulator.faults import FAULTS, SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.keys import sign_raw
from ambergate.simulator.pki import pck_template
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.simulator.documents import TcbInfo

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("choices of statements"))
PUBLISHED = PLATFORM.publication(at=AT)
FOR_TDS = PLATFORM.td_publication(at=AT)
UP, OUT = TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE


def prove(collateral: Collateral, platform: SimulatedPlatform = PLATFORM) -> VerifiedQuote:
    quote = parse_quote(platform.quote(SPECIMEN, bytes(64)))
    return verify_quote(quote, collateral, at=AT, anchor=TrustAnchor.from_pem(platform.root_pem))


def prove_td(info: TcbInfo) -> VerifiedQuote:
    quote = parse_quote(PLATFORM.td_quote(TD_SPECIMEN, bytes(64)))
    collateral = replace(FOR_TDS, tcb_info=info).collateral()
    return verify_quote(quote, collateral, at=AT, anchor=TrustAnchor.from_pem(PLATFORM.root_pem))


def signed(tcb_info: str) -> Collateral:
    """Collateral whose TCB info is this text, signed by whom may."""
    signature = sign_raw(PUBLISHED.tcb_signing.key, tcb_info.encode()).hex()
    return replace(PUBLISHED.collateral(), tcb_info=tcb_info, tcb_info_signature=signature)


def test_a_td_is_compared_in_components_3_to_16_and_its_module_by_its_identity() -> None:
    """ADR 0011. If its module has a version; Intel's web documentation, and verifiers after it, compare all sixteen."""
    newest, *older = FOR_TDS.tcb_info.levels

    def asking(index: int) -> TcbInfo:
        components = tuple(255 if i == index else svn for i, svn in enumerate(newest.tdx_components))
        return replace(FOR_TDS.tcb_info, levels=(replace(newest, tdx_components=components), *older))

    assert [prove_td(asking(index)).tcb_status for index in range(16)] == 2 * [UP] + 14 * [OUT]


def test_tcb_info_of_version_2_is_read() -> None:
    """dcap-qvl reads version 3 alone."""
    of_version_2 = replace(PUBLISHED.tcb_info, version=2)
    assert prove(replace(PUBLISHED, tcb_info=of_version_2).collateral()).tcb_status is UP


@pytest.mark.parametrize(("of_info", "of_qe"), [(17, 3), (3, 17)])
def test_evaluation_numbers_need_not_match(of_info: int, of_qe: int) -> None:
    """A minimum of both is a policy's: appraise/test_rules.py."""
    collateral = replace(
        PUBLISHED,
        tcb_info=replace(PUBLISHED.tcb_info, evaluation_data_number=of_info),
        qe_identity=replace(PUBLISHED.qe_identity, evaluation_data_number=of_qe),
    ).collateral()
    assert prove(collateral).tcb_evaluation_data_number == of_info


def test_a_signed_text_counts_to_the_byte() -> None:
    """ADR 0007. Intel's library signs a compact form of what it parsed, so that a reformatted text verifies too."""
    text = PUBLISHED.tcb_info.text()
    assert prove(signed(text)).tcb_status is UP
    with pytest.raises(NotGenuine) as caught:
        prove(replace(signed(text), tcb_info=json.dumps(json.loads(text), indent=1)))
    assert caught.value.step == "3.5.tcb_info_signature"


def test_of_a_repeated_member_the_last_counts() -> None:
    """Only the signer can write one."""
    text = PUBLISHED.tcb_info.text()
    number = '"tcbEvaluationDataNumber":17'
    assert text.count(number) == 1
    assert (
        prove(signed(text.replace(number, f'{number},"tcbEvaluationDataNumber":18'))).tcb_evaluation_data_number == 18
    )


def test_members_that_nobody_asked_for_are_ignored() -> None:
    assert prove(signed(PUBLISHED.tcb_info.text()[:-1] + ',"more":[{"of":"it"}]}')).tcb_status is UP


def test_components_come_from_the_certificates_components_not_from_its_cpusvn() -> None:
    """dcap-qvl goes by the CPUSVN octets."""
    hardware = PLATFORM.state.hardware
    older = replace(hardware, cpu_svn=CpuSvn(bytes((hardware.components[0] - 1, *hardware.components[1:]))))
    pki = PLATFORM.state.pki
    pck = pki.pck_ca.issue(pck_template(older, AT, stream("cpusvn")), pki.pck.key)
    odd = replace(PLATFORM, state=replace(PLATFORM.state, pki=replace(pki, pck=pck)))
    assert prove(PUBLISHED.collateral(), odd).tcb_status is UP


def test_tcb_levels_are_ranked_whatever_their_order_and_qe_levels_count_in_theirs() -> None:
    levels, of_qe = PUBLISHED.tcb_info.levels, PUBLISHED.qe_identity.levels
    shuffled = replace(PUBLISHED, tcb_info=replace(PUBLISHED.tcb_info, levels=levels[::-1]))
    assert prove(shuffled.collateral()).tcb_status is UP
    newest, older, *_ = of_qe
    swapped = replace(PUBLISHED, qe_identity=replace(PUBLISHED.qe_identity, levels=(older, newest)))
    assert prove(swapped.collateral()).tcb_status is OUT


def test_advisories_of_platform_module_and_quoting_enclave_are_united() -> None:
    """Intel's library tells those of the matched level alone."""
    raw, collateral = FAULTS["qe-out-of-date-configuration"].apply(PLATFORM, AT)
    verified = verify_quote(parse_quote(raw), collateral, at=AT, anchor=TrustAnchor.from_pem(PLATFORM.root_pem))
    assert verified.advisory_ids == (*verified.tcb.level.advisory_ids, *verified.tcb.qe_level.advisory_ids)
    assert len(set(verified.advisory_ids)) == 2


@pytest.mark.parametrize(
    "name", ["tcb-unsupported", "tcb-revoked", "qe-revoked", "qe-unsupported", "tdx-module-revoked"]
)
def test_what_no_policy_could_accept_is_refused_by_verify(name: str) -> None:
    """ADR 0016. Every other status is reported."""
    raw, collateral = FAULTS[name].apply(PLATFORM, AT)
    with pytest.raises(NotGenuine) as caught:
        verify_quote(parse_quote(raw), collateral, at=AT, anchor=TrustAnchor.from_pem(PLATFORM.root_pem))
    assert caught.value.step == FAULTS[name].expected_step
