"""Each rule refuses what it is for, alone, and all of them are heard."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.token.judged import ALL, ENCLAVE, Laboratory

from ambergate.core.appraise import rules
from ambergate.core.appraise.appraisal import appraise
from ambergate.core.appraise.policy import ACCEPTED, AppraisalPolicy
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import NotWelcome
from ambergate.core.measurements import MrEnclave, MrSigner

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


@pytest.mark.parametrize("status", list(TcbStatus))
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


@pytest.mark.parametrize("status", [status for status in TcbStatus if status is not TcbStatus.REVOKED])
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
    older = replace(quote_of_65535, quote=replace(quote_of_65535.quote, body=replace(quote_of_65535.report, isv_svn=4)))
    assert refusals(older, AppraisalPolicy(minimum_isv_svn=5)) == {"isv_svn": ("4", ">= 5")}
    appraise(older, AppraisalPolicy(minimum_isv_svn=4))


def test_every_mismatch_is_told(laboratory: Laboratory) -> None:
    verified = laboratory.appraisal(status=TcbStatus.OUT_OF_DATE, debug=True).verified
    verified = replace(verified, quote=replace(verified.quote, body=replace(verified.report, isv_svn=1)))
    policy = AppraisalPolicy(
        mr_enclave=frozenset({OTHER[0]}),
        mr_signer=frozenset({OTHER[1]}),
        isv_prod_id=frozenset({1, 2}),
        minimum_isv_svn=2,
    )
    told = refusals(verified, policy)
    assert set(told) == {rule.__name__ for rule in rules.RULES}  # type: ignore[attr-defined]
    assert told["mr_enclave"] == (ENCLAVE.mr_enclave.hex(), "00" * 32)
    assert told["isv_prod_id"] == ("513", "1 or 2")


def test_every_rule_of_the_module_runs() -> None:
    written = [value for name, value in vars(rules).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert written == list(rules.RULES)


def test_the_laboratorys_policy_takes_everything_that_can_be_taken() -> None:
    assert ALL.tcb_statuses == frozenset(TcbStatus) - {TcbStatus.REVOKED}
