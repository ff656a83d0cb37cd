"""Each rule refuses what it is for, alone, and all of them are heard."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.token.judged import ALL, ENCLAVE, WHEN, Laboratory

from ambergate.core.appraise import rules
from ambergate.core.appraise.appraisal import appraise
from ambergate.core.appraise.policy import ACCEPTED, AppraisalPolicy
from ambergate.core.collateral.tcb_info import DOCUMENTED, TcbStatus
from ambergate.core.errors import NotWelcome
from ambergate.core.measurements import (
    Measurement384,
    MrEnclave,
    MrSeam,
    MrSigner,
    MrSignerSeam,
    MrTd,
    ReportData,
    Rtmr,
    TdAttributes,
    TeeTcbSvn,
)
from ambergate.core.quote import TdReport
from ambergate.core.verify import TrustAnchor, Verifier

if TYPE_CHECKING:
    from ambergate.core.verify.verdict import VerifiedQuote

OTHER = MrEnclave(bytes(32)), MrSigner(bytes(32))
EXACT: dict[str, Any] = {
    "mr_enclave": frozenset({ENCLAVE.mr_enclave}),
    "mr_signer": frozenset({ENCLAVE.mr_signer}),
    "isv_prod_id": frozenset({ENCLAVE.isv_prod_id}),
    "minimum_isv_svn": ENCLAVE.isv_svn,
}


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory.open()


@pytest.fixture(scope="module")
def verified(laboratory: Laboratory) -> VerifiedQuote:
    return laboratory.appraisal().verified


def refusals(verified: VerifiedQuote, policy: AppraisalPolicy) -> dict[str, tuple[str, str]]:
    """Rule -> what it saw and wanted."""
    with pytest.raises(NotWelcome) as caught:
        appraise(verified, policy)
    for mismatch in caught.value.mismatches:
        assert mismatch["rule"] in str(caught.value)
    return {m["rule"]: (m["seen"], m["wanted"]) for m in caught.value.mismatches}


def test_the_default_policy_takes_any_program_on_a_good_platform(verified: VerifiedQuote) -> None:
    appraisal = appraise(verified, AppraisalPolicy())
    assert appraisal.verified is verified
    assert appraisal.policy == AppraisalPolicy()


def test_a_policy_that_names_this_very_program(verified: VerifiedQuote) -> None:
    appraise(verified, AppraisalPolicy(**EXACT))
    more = {name: value | {other} for (name, value), other in zip(list(EXACT.items())[:3], (*OTHER, 9), strict=True)}
    appraise(verified, AppraisalPolicy(**{**EXACT, **more}))


@pytest.mark.parametrize("status", list(DOCUMENTED.values()))
def test_the_default_policy_refuses_what_an_update_would_mend(laboratory: Laboratory, status: TcbStatus) -> None:
    if status is TcbStatus.REVOKED:
        assert status not in ACCEPTED
        return
    verified = laboratory.appraisal(status=status).verified
    if status in (TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED):
        seen, wanted = refusals(verified, AppraisalPolicy())["tcb_status"]
        assert seen == status.value
        assert wanted.split(" or ") == sorted(accepted.value for accepted in ACCEPTED)
    else:
        appraise(verified, AppraisalPolicy())


@pytest.mark.parametrize("status", [each for each in DOCUMENTED.values() if each is not TcbStatus.REVOKED])
def test_a_policy_takes_the_statuses_that_it_lists_and_no_other(laboratory: Laboratory, status: TcbStatus) -> None:
    verified = laboratory.appraisal(status=status).verified
    appraise(verified, AppraisalPolicy(tcb_statuses=frozenset({status})))
    others = AppraisalPolicy(tcb_statuses=frozenset(TcbStatus) - {status})
    assert set(refusals(verified, others)) == {"tcb_status"}


def test_debug_is_refused_unless_the_policy_says_so(laboratory: Laboratory) -> None:
    verified = laboratory.appraisal(debug=True).verified
    assert refusals(verified, AppraisalPolicy()) == {"debug": ("True", "False")}
    appraise(verified, AppraisalPolicy(dangerously_allow_debug=True))


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("mr_enclave", {"mr_enclave": frozenset({OTHER[0]})}),
        ("mr_signer", {"mr_signer": frozenset({OTHER[1]})}),
        ("isv_prod_id", {"isv_prod_id": frozenset({512, 514})}),
        ("mr_enclave", {"mr_enclave": frozenset()}),
    ],
)
def test_another_program_is_refused_for_that_alone(verified: VerifiedQuote, rule: str, change: dict[str, Any]) -> None:
    assert set(refusals(verified, AppraisalPolicy(**{**EXACT, **change}))) == {rule}


def test_types_of_measurements_are_not_mixed_up(verified: VerifiedQuote) -> None:
    """A signer's hash in the list of programs does not welcome the signer's programs."""
    as_program = MrEnclave(ENCLAVE.mr_signer.value)
    assert set(refusals(verified, AppraisalPolicy(mr_enclave=frozenset({as_program})))) == {"mr_enclave"}


def test_an_older_version_is_refused(laboratory: Laboratory) -> None:
    quote_of_65535 = laboratory.appraisal().verified
    appraise(quote_of_65535, AppraisalPolicy(minimum_isv_svn=0))
    older = replace(
        quote_of_65535, quote=replace(quote_of_65535.quote, body=replace(quote_of_65535.enclave, isv_svn=4))
    )
    assert refusals(older, AppraisalPolicy(minimum_isv_svn=5)) == {"isv_svn": ("4", ">= 5")}
    appraise(older, AppraisalPolicy(minimum_isv_svn=4))


@pytest.mark.parametrize(("of_info", "of_qe", "lowest"), [(17, 17, 17), (19, 17, 17), (17, 19, 17), (19, 18, 18)])
def test_neither_statement_may_be_of_an_earlier_tcb_recovery(
    laboratory: Laboratory, of_info: int, of_qe: int, lowest: int
) -> None:
    published = laboratory.platform.publication(at=WHEN)
    collateral = replace(
        published,
        tcb_info=replace(published.tcb_info, evaluation_data_number=of_info),
        qe_identity=replace(published.qe_identity, evaluation_data_number=of_qe),
    ).collateral()
    anchor = TrustAnchor.from_pem(laboratory.platform.root_pem)
    verified = Verifier(anchor=anchor).verify(laboratory.platform.quote(ENCLAVE, bytes(64)), collateral, at=WHEN)
    appraise(verified, AppraisalPolicy(minimum_tcb_evaluation_data_number=lowest))
    told = refusals(verified, AppraisalPolicy(minimum_tcb_evaluation_data_number=lowest + 1))
    seen = f"TCB info {of_info}, QE identity {of_qe}"
    assert told == {"tcb_evaluation_data_number": (seen, f">= {lowest + 1}")}


def test_every_mismatch_is_told(laboratory: Laboratory) -> None:
    verified = laboratory.appraisal(status=TcbStatus.OUT_OF_DATE, debug=True).verified
    verified = replace(verified, quote=replace(verified.quote, body=replace(verified.enclave, isv_svn=1)))
    policy = AppraisalPolicy(
        mr_enclave=frozenset({OTHER[0]}),
        mr_signer=frozenset({OTHER[1]}),
        isv_prod_id=frozenset({1, 2}),
        minimum_isv_svn=2,
        minimum_tcb_evaluation_data_number=18,
    )
    told = refusals(verified, policy)
    of_tdx = {"sept_ve_disable", "mr_service_td"}
    assert set(told) == {rule.__name__ for rule in rules.RULES} - of_tdx  # type: ignore[attr-defined]
    assert told["mr_enclave"] == (ENCLAVE.mr_enclave.hex(), "00" * 32)
    assert told["isv_prod_id"] == ("513", "1 or 2")


def test_every_rule_of_the_module_runs() -> None:
    written = [value for name, value in vars(rules).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert written == list(rules.RULES)


def test_the_laboratorys_policy_takes_everything_that_can_be_taken() -> None:
    assert ALL.tcb_statuses == frozenset(TcbStatus) - {TcbStatus.REVOKED}


TD = TdReport(
    tee_tcb_svn=TeeTcbSvn(bytes(16)),
    mr_seam=MrSeam(bytes(48)),
    mr_signer_seam=MrSignerSeam(bytes(48)),
    seam_attributes=bytes(8),
    td_attributes=TdAttributes(bytes((0, 0, 0, 0x10, 0, 0, 0, 0))),  # SEPT_VE_DISABLE
    xfam=bytes(8),
    mr_td=MrTd(bytes(48)),
    mr_config_id=Measurement384(bytes(48)),
    mr_owner=Measurement384(bytes(48)),
    mr_owner_config=Measurement384(bytes(48)),
    rtmrs=(Rtmr(bytes(48)),) * 4,
    report_data=ReportData(bytes(64)),
    tee_tcb_svn2=TeeTcbSvn(bytes(16)),
    mr_service_td=Measurement384(bytes(48)),
)


def of_td(laboratory: Laboratory, report: TdReport) -> VerifiedQuote:
    """A verdict about a TD; the software platform makes none, and the rules look at nothing but the report."""
    verified = laboratory.appraisal().verified
    return replace(verified, quote=replace(verified.quote, body=report))


def test_a_td_is_welcome(laboratory: Laboratory) -> None:
    verified = of_td(laboratory, TD)
    assert appraise(verified, AppraisalPolicy()).verified is verified


@pytest.mark.parametrize(
    ("change", "rule", "allowing"),
    [
        ({"td_attributes": TdAttributes(bytes(8))}, "sept_ve_disable", {"dangerously_allow_sept_ve": True}),
        ({"mr_service_td": Measurement384(b"\1" * 48)}, "mr_service_td", {"dangerously_allow_service_td": True}),
        (
            {"td_attributes": TdAttributes(bytes((1, 0, 0, 0x10, 0, 0, 0, 0)))},
            "debug",
            {"dangerously_allow_debug": True},
        ),
        *(
            (
                {"td_attributes": TdAttributes(bytes((1 << bit, 0, 0, 0x10, 0, 0, 0, 0)))},
                "debug",
                {"dangerously_allow_debug": True},
            )
            for bit in range(1, 8)
        ),
    ],
)
def test_what_a_td_is_refused_for_unless_the_policy_allows_it(
    laboratory: Laboratory, change: dict[str, Any], rule: str, allowing: dict[str, Any]
) -> None:
    verified = of_td(laboratory, replace(TD, **change))
    assert set(refusals(verified, AppraisalPolicy())) == {rule}
    assert appraise(verified, AppraisalPolicy(**allowing)).verified is verified


@pytest.mark.parametrize(
    "policy",
    [
        AppraisalPolicy(mr_enclave=frozenset({OTHER[0]})),
        AppraisalPolicy(mr_signer=frozenset({OTHER[1]})),
        AppraisalPolicy(isv_prod_id=frozenset({0})),
        AppraisalPolicy(minimum_isv_svn=0),
    ],
)
def test_a_policy_that_names_enclaves_takes_no_td(laboratory: Laboratory, policy: AppraisalPolicy) -> None:
    assert refusals(of_td(laboratory, TD), policy)
