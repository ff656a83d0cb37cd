"""Typed policies: what they name matches, all else is refused by name, and no grace outlives its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.appraise.told import AT, MR_ENCLAVE, MR_SIGNER, SGX, TDX, typed

from ambergate.core.appraise.facts import Facts
from ambergate.core.appraise.named import PolicyKind, PolicyOutcome
from ambergate.core.appraise.typed import TypedEngine
from ambergate.core.errors import MalformedPolicy

EXACT = f'[[sgx]]\nmr_enclave = ["{MR_ENCLAVE}"]\n'
SIGNED = f'[[sgx]]\nmr_signer = ["{MR_SIGNER}"]\nisv_prod_id = [7]\nminimum_isv_svn = 3\n'
TD = f'[[tdx]]\nmr_td = ["{"0d" * 48}"]\n'
ENGINE = TypedEngine()


def judge(text: str, claims: dict[str, object], *, after: timedelta = timedelta(0)) -> PolicyOutcome:
    return ENGINE.evaluate(typed(text), claims, at=AT + after)


def refused(text: str, claims: dict[str, object], *, after: timedelta = timedelta(0)) -> dict[str, tuple[str, str]]:
    """Rule -> what it saw and wanted."""
    outcome = judge(text, claims, after=after)
    assert not outcome.matched
    assert not outcome.exports
    return {each["rule"]: (each["seen"], each["wanted"]) for each in outcome.mismatches}


@pytest.mark.parametrize("text", [EXACT, SIGNED, EXACT + SIGNED, "dangerously_allow_any_enclave = true"])
def test_an_enclave_that_is_named(text: str) -> None:
    assert judge(text, SGX).matched


@pytest.mark.parametrize("text", [TD, EXACT + TD, "dangerously_allow_any_td = true"])
def test_a_td_that_is_named(text: str) -> None:
    assert judge(text, TDX).matched


@pytest.mark.parametrize(
    ("text", "change", "rule"),
    [
        (EXACT, {"sgx_mrenclave": "0f" * 32}, "mr_enclave"),
        (SIGNED, {"sgx_mrsigner": "0f" * 32}, "mr_signer"),
        (SIGNED, {"sgx_isvprodid": 8}, "isv_prod_id"),
        (SIGNED, {"sgx_isvsvn": 2}, "isv_svn"),
        (EXACT, {"sgx_is_debuggable": True}, "debug"),
        (EXACT, {"attester_tcb_status": "OutOfDate"}, "tcb_status"),
    ],
)
def test_an_enclave_is_refused_for_one_thing(text: str, change: dict[str, object], rule: str) -> None:
    assert set(refused(text, SGX | change)) == {rule}


FULL_TD = (
    TD
    + "".join(f'rtmr{index} = ["{f"{index:02x}" * 48}"]\n' for index in range(4))
    + f'mr_seam = ["{"5e" * 48}"]\nmr_signer_seam = ["{"00" * 48}"]\nminimum_seam_svn = 260\n'
)


def test_a_td_named_in_full() -> None:
    assert judge(FULL_TD, TDX).matched


@pytest.mark.parametrize(
    ("claim", "value", "rule"),
    [
        *((f"tdx_{claim}", "ff" * 48, rule) for claim, rule in (("mrtd", "mr_td"), ("mrseam", "mr_seam"))),
        *((f"tdx_rtmr{index}", "ff" * 48, f"rtmr{index}") for index in range(4)),
        ("tdx_mrsignerseam", "ff" * 48, "mr_signer_seam"),
        ("tdx_seamsvn", 259, "seam_svn"),
        ("tdx_is_debuggable", True, "debug"),
        ("tdx_td_attributes", "8000001000000000", "debug"),
        ("tdx_td_attributes_septve_disable", False, "sept_ve_disable"),
    ],
)
def test_a_td_is_refused_for_one_thing(claim: str, value: object, rule: str) -> None:
    assert set(refused(FULL_TD, TDX | {claim: value})) == {rule}


def test_what_is_not_named_is_refused() -> None:
    """A policy for enclaves takes no TD, and the other way round."""
    assert refused(EXACT, TDX) == {"tdx": ("evidence of TDX", "what the policy names: no [[tdx]]")}
    assert refused(TD, SGX) == {"sgx": ("evidence of SGX", "what the policy names: no [[sgx]]")}
    assert set(refused("dangerously_allow_any_td = true", SGX)) == {"sgx"}
    assert set(refused("dangerously_allow_any_enclave = true", TDX)) == {"tdx"}


def test_danger_is_spelled_out() -> None:
    assert judge("dangerously_allow_debug = true\n" + EXACT, SGX | {"sgx_is_debuggable": True}).matched
    bare = TDX | {"tdx_td_attributes_septve_disable": False}
    assert judge("dangerously_allow_sept_ve = true\n" + TD, bare).matched


def test_several_are_told_by_those_that_came_nearest() -> None:
    others = "".join(
        f'[[sgx]]\nmr_signer = ["{n:064x}"]\nisv_prod_id = [{n}]\nminimum_isv_svn = 9\n' for n in range(1, 9)
    )
    told = refused(others + SIGNED, SGX | {"sgx_isvsvn": 2})
    assert told["sgx[8].isv_svn"] == ("2", ">= 3")
    assert next(iter(told)) == "sgx[8].isv_svn", "the nearest first"
    assert {rule.partition(".")[0] for rule in told} == {"sgx[8]", "sgx[6]", "sgx[0]", "sgx[1]"}


UNTIL = '[[tcb_grace]]\nstatus = "OutOfDate"\nuntil = 2026-03-02T12:00:00Z\n'
DAYS = '[[tcb_grace]]\nstatus = "OutOfDate"\ndays_after_tcb_date = 110\n'  # 2025-11-12 and 110 days: 2026-03-02
LATE = SGX | {"attester_tcb_status": "OutOfDate"}


@pytest.mark.parametrize(("grace", "holds"), [(UNTIL, timedelta(days=1)), (DAYS, timedelta(hours=12))])
def test_a_grace_ends_by_itself(grace: str, holds: timedelta) -> None:
    moment = timedelta(microseconds=1)
    assert judge(grace + EXACT, LATE).matched
    assert judge(grace + EXACT, LATE, after=holds - moment).matched
    seen, wanted = refused(grace + EXACT, LATE, after=holds)["tcb_status"]
    assert seen == "OutOfDate"
    assert wanted.endswith(f"(OutOfDate was accepted until {(AT + holds).isoformat()})")


def test_a_grace_is_for_its_status_alone() -> None:
    other = SGX | {"attester_tcb_status": "OutOfDateConfigurationNeeded"}
    assert "accepted until" not in refused(UNTIL + EXACT, other)["tcb_status"][1]


def test_advisories_are_looked_at_where_one_is_named() -> None:
    noted = SGX | {"attester_advisory_ids": ["INTEL-SA-00615", "INTEL-SA-00828"]}
    one = '[[advisory]]\nid = "INTEL-SA-00615"\nreason = "mitigated"\n'
    two = '[[advisory]]\nid = "INTEL-SA-00828"\nuntil = "2026-03-01T13:00:00+00:00"\n'
    assert judge(EXACT, noted).matched
    assert judge(one + EXACT, SGX).matched
    assert judge(one + two + EXACT, noted).matched
    assert refused(one + EXACT, noted)["advisory"] == ("INTEL-SA-00828", "only INTEL-SA-00615")
    seen, wanted = refused(one + two + EXACT, noted, after=timedelta(hours=1))["advisory"]
    assert seen == "INTEL-SA-00828"
    assert wanted.endswith("(it was accepted until 2026-03-01T13:00:00+00:00)")


def test_every_mismatch_is_told() -> None:
    wrong = LATE | {"sgx_is_debuggable": True, "sgx_isvsvn": 0, "attester_advisory_ids": ["INTEL-SA-00001"]}
    advisory = '[[advisory]]\nid = "INTEL-SA-00615"\n'
    assert set(refused(advisory + SIGNED, wrong)) == {"debug", "tcb_status", "advisory", "isv_svn"}


@pytest.mark.parametrize(
    "change",
    [
        {"attester_type": "SEV"},
        {"attester_tcb_status": "Fine"},
        {"attester_tcb_date": "yesterday"},
        {"attester_tcb_date": 5},
        {"attester_advisory_ids": "INTEL-SA-00001"},
        {"attester_advisory_ids": [1]},
        {"attester_advisory_ids": ["x"] * 5000},
        {"sgx_mrenclave": "0e" * 31},
        {"sgx_isvsvn": "3"},
        {"sgx_isvsvn": True},
        {"sgx_is_debuggable": 0},
        {"sgx_is_debuggable": None},
    ],
)
def test_claims_that_are_none_match_nothing(change: dict[str, object]) -> None:
    assert set(refused("dangerously_allow_any_enclave = true", SGX | change)) == {"policy"}


@pytest.mark.parametrize("name", sorted({"attester_type", *SGX} - {"sgx_report_data", "sgx_collateral"}))
def test_a_claim_that_is_missing_matches_nothing(name: str) -> None:
    claims = {each: value for each, value in SGX.items() if each != name}
    assert set(refused("dangerously_allow_any_enclave = true", claims)) == {"policy"}


def test_typed_policies_are_for_appraisal() -> None:
    outcome = ENGINE.evaluate(typed(EXACT, PolicyKind.TOKEN_CUSTOMIZATION), SGX, at=AT)
    assert not outcome.matched
    assert "appraisal" in outcome.mismatches[0]["seen"]


def test_facts_that_were_read_before_are_those_of_the_same_claims_and_types() -> None:
    """True is 1 for whoever only compares."""
    assert Facts.of_claims(SGX) is Facts.of_claims({**SGX, "sgx_report_data": "11" * 64})
    one = {**SGX, "sgx_isvsvn": 1}
    assert Facts.of_claims(one) != Facts.of_claims(SGX)
    for changed in ({**one, "sgx_isvsvn": True}, {**one, "sgx_isvsvn": 1.0}, {**one, "sgx_is_debuggable": 0}):
        with pytest.raises(MalformedPolicy, match="no claims"):
            Facts.of_claims(changed)
