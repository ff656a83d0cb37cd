"""Every member of a policy is checked: what it allows is released, what it does not is refused by its rule alone."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, MR_SIGNER, Forge
from tests.unit.release.told import NONCE, POLICY_ID, SGX_IDENTITY, TDX_IDENTITY, enclave, td

from ambergate.core.errors import ReleaseRefused, TokenRejected
from ambergate.core.release import decision
from ambergate.core.release.decision import Grant, decide
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.core.release.rules import RULES
from ambergate.core.release.terms import MEMBERS, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.core.token.claims import AttestationClaims

OTHER_ID = "0b5e2f5e-59a9-4b57-8d9b-2f3f8a3f4a12"
LATER, EARLIER = AT + timedelta(seconds=1), AT - timedelta(seconds=1)
SIGNER = {"mr_signer": MR_SIGNER, "isv_prod_id": 7, "minimum_isv_svn": 3}
WORKING = {"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "from": "00:00", "to": "24:00"}


class Case(NamedTuple):
    """A member with a value that the good claims meet, one that they do not, and the rule that says so."""

    allows: Mapping[str, Any]
    refuses: Mapping[str, Any]
    rule: str
    of_td: bool = False
    claims: Mapping[str, Any] = {}


def measured(name: str, digits: str) -> Case:
    return Case({name: [digits * 48, "ff" * 48]}, {name: "ff" * 48}, name, of_td=True)


CASES: dict[str, Case] = {
    "mr_enclave": Case({"mr_enclave": [MR_ENCLAVE, "00" * 32]}, {"mr_enclave": "00" * 32}, "mr_enclave"),
    "mr_signer": Case(SIGNER, {**SIGNER, "mr_signer": "00" * 32}, "mr_signer"),
    "isv_prod_id": Case({**SIGNER, "isv_prod_id": [1, 7]}, {**SIGNER, "isv_prod_id": 8}, "isv_prod_id"),
    "minimum_isv_svn": Case({**SIGNER, "minimum_isv_svn": 2}, {**SIGNER, "minimum_isv_svn": 4}, "isv_svn"),
    "mr_td": measured("mr_td", "01"),
    **{f"rtmr{index}": measured(f"rtmr{index}", f"1{index}") for index in range(4)},
    "mr_seam": measured("mr_seam", "02"),
    "mr_signer_seam": measured("mr_signer_seam", "00"),
    "mr_config_id": measured("mr_config_id", "03"),
    "mr_owner": measured("mr_owner", "04"),
    "mr_owner_config": measured("mr_owner_config", "05"),
    "minimum_seam_svn": Case({"minimum_seam_svn": 257}, {"minimum_seam_svn": 258}, "seam_svn", of_td=True),
    "tcb_statuses": Case(
        {"tcb_statuses": ["OutOfDate", "UpToDate"]}, {"tcb_statuses": "SWHardeningNeeded"}, "tcb_status"
    ),
    "tcb_grace": Case(
        {"tcb_grace": [{"status": "OutOfDate", "until": LATER}]},
        {"tcb_grace": [{"status": "OutOfDate", "until": AT}]},
        "tcb_status",
        claims={"attester_tcb_status": "OutOfDate"},
    ),
    "advisory": Case(
        {"advisory": [{"id": "INTEL-SA-00615", "reason": "mitigated"}]}, {"advisory": [{"id": "X"}]}, "advisory"
    ),
    "dangerously_allow_debug": Case(
        {"dangerously_allow_debug": True},
        {"dangerously_allow_debug": False},
        "debug",
        claims={"sgx_is_debuggable": True},
    ),
    "dangerously_allow_sept_ve": Case(
        {"dangerously_allow_sept_ve": True},
        {"dangerously_allow_sept_ve": False},
        "sept_ve_disable",
        of_td=True,
        claims={"tdx_td_attributes": "00" * 8},
    ),
    "insecure_accept_simulated": Case(
        {"insecure_accept_simulated": True},
        {"insecure_accept_simulated": False},
        "simulated",
        claims={"tee_simulated": True},
    ),
    "policy_ids_matched": Case(
        {"policy_ids_matched": [OTHER_ID, POLICY_ID.upper()]}, {"policy_ids_matched": OTHER_ID}, "policy_ids_matched"
    ),
    "issuers": Case({"issuers": [ISSUER, "https://b"]}, {"issuers": f"{ISSUER}/"}, "issuer"),
    "max_token_age_seconds": Case({"max_token_age_seconds": 10}, {"max_token_age_seconds": 9}, "token_age"),
    "nonce": Case({"nonce": "required"}, {"nonce": "bound"}, "nonce"),
    "runtime_data": Case(
        {"runtime_data": {"user": "alice", "deep": {"list": [1, True]}}},
        {"runtime_data": {"user": "bob"}},
        "runtime_data.user",
    ),
    "not_before": Case({"not_before": AT}, {"not_before": LATER}, "not_before"),
    "not_after": Case({"not_after": LATER}, {"not_after": AT}, "not_after"),
    "weekly": Case(
        {"weekly": [WORKING, {"days": "Sun", "from": "11:30", "to": "12:01"}]}, {"weekly": [WORKING]}, "weekly"
    ),
}


def told(case: Case, forge: Forge) -> AttestationClaims:
    return (td if case.of_td else enclave)(forge, **case.claims)


def policy(case: Case, members: Mapping[str, Any]) -> ResourcePolicy:
    identity = TDX_IDENTITY if case.of_td else SGX_IDENTITY
    return ResourcePolicy.from_mapping({**identity, **members})


def refusing(claims: AttestationClaims, policy: ResourcePolicy, **more: Any) -> list[str]:  # noqa: ANN401
    with pytest.raises(ReleaseRefused) as caught:
        decide(claims, policy, AT, **more)
    assert all(each["seen"] != each["wanted"] and each["wanted"] for each in caught.value.mismatches)
    return [each["rule"] for each in caught.value.mismatches]


def test_every_member_has_a_case_and_one_rule() -> None:
    """`tee`, `any` and `all` are looked at where alternatives are made; tests of their own hold them."""
    looked_at = [name for names, _ in RULES for name in names]
    assert sorted(looked_at) == sorted(CASES) == sorted(MEMBERS.keys() - {"tee", "any", "all"})
    assert [field.name for field in fields(Terms)] == list(MEMBERS)


@pytest.mark.parametrize("name", CASES)
def test_what_a_member_allows_is_released(forge: Forge, name: str) -> None:
    case = CASES[name]
    assert isinstance(decide(told(case, forge), policy(case, case.allows), AT), Grant)


@pytest.mark.parametrize("name", CASES)
def test_what_a_member_does_not_allow_is_refused_by_its_rule_alone(forge: Forge, name: str) -> None:
    case = CASES[name]
    assert refusing(told(case, forge), policy(case, case.refuses)) == [case.rule]


@pytest.mark.parametrize("name", CASES)
def test_without_its_rule_it_would_be_released(forge: Forge, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule is needed: what it refuses, nothing else refuses."""
    case = CASES[name]
    monkeypatch.setattr(decision, "RULES", tuple(each for each in RULES if name not in each[0]))
    assert isinstance(decide(told(case, forge), policy(case, case.refuses), AT), Grant)


@pytest.mark.parametrize("name", CASES)
def test_a_policy_with_it_survives_being_stored(name: str) -> None:
    case = CASES[name]
    for members in (case.allows, case.refuses):
        made = policy(case, members)
        assert ResourcePolicy.from_json(made.to_json()) == made
        assert ResourcePolicy.from_mapping(made.to_mapping()) == made


# Claims that are absent, or in a form that nobody expects, are no better than wrong ones.
SILENT: dict[str, dict[str, Any]] = {
    "mr_td": {"tdx_mrtd": None},
    "rtmr2": {"tdx_rtmr2": None},
    "mr_seam": {"tdx_mrseam": "zz"},
    "minimum_seam_svn": {"tdx_seamsvn": None},
    "policy_ids_matched": {"policy_ids_matched": None},
    "nonce": {"verifier_nonce": None},
    "runtime_data": {"attester_runtime_data": None},
    "tcb_grace": {"attester_tcb_status": "Revoked"},
}


@pytest.mark.parametrize("name", SILENT)
def test_silence_is_no_consent(forge: Forge, name: str) -> None:
    case = CASES[name]
    silent = case._replace(claims=SILENT[name])
    rules = refusing(told(silent, forge), policy(case, case.allows))
    assert {rule.partition(".")[0] for rule in rules} == {case.rule.partition(".")[0]}


def test_the_kind_of_environment_is_looked_at(forge: Forge) -> None:
    """The same digits from another kind of environment mean something else."""
    claims = td(forge, sgx_mrenclave=MR_ENCLAVE)
    assert refusing(claims, ResourcePolicy.from_mapping(SGX_IDENTITY)) == ["attester_type"]
    assert refusing(enclave(forge, tdx_mrtd="01" * 48), ResourcePolicy.from_mapping(TDX_IDENTITY)) == [
        "attester_type",
        "mr_td",
    ]
    by_policy = {"policy_ids_matched": POLICY_ID, "tee": "TDX"}
    assert refusing(enclave(forge), ResourcePolicy.from_mapping(by_policy)) == ["attester_type"]


def test_a_td_is_released_to_by_its_measurements_or_by_a_policy(forge: Forge) -> None:
    grant = decide(td(forge), ResourcePolicy.from_mapping(TDX_IDENTITY), AT)
    assert grant.workload_key.public_numbers() == forge.workload_key.public_key().public_numbers()
    by_policy = ResourcePolicy.from_mapping({"policy_ids_matched": POLICY_ID, "tee": "TDX"})
    assert isinstance(decide(td(forge, policy_ids_matched=[{"id": POLICY_ID}]), by_policy, AT), Grant)


def test_a_td_that_is_silent_about_sept_ve_is_refused_by_default(forge: Forge) -> None:
    strict = ResourcePolicy.from_mapping(TDX_IDENTITY)
    for changes in (
        {"tdx_td_attributes": None},
        {"tdx_td_attributes": "00" * 8},
        {"tdx_td_attributes_septve_disable": False},
        {"tdx_td_attributes": None, "tdx_td_attributes_septve_disable": False},
    ):
        assert refusing(td(forge, **changes), strict) == ["sept_ve_disable"]
    assert isinstance(
        decide(td(forge, tdx_td_attributes=None, tdx_td_attributes_septve_disable=True), strict, AT), Grant
    )


def test_a_grace_after_the_tcb_date(forge: Forge) -> None:
    """The TCB level's date is the first of January: 305 days later it is the second of November."""
    claims = enclave(forge, attester_tcb_status="OutOfDate")
    for days, released in ((305, True), (304, False)):
        grace = [{"status": "OutOfDate", "days_after_tcb_date": days}]
        found = ResourcePolicy.from_mapping({**SGX_IDENTITY, "tcb_grace": grace})
        if released:
            assert isinstance(decide(claims, found, AT), Grant)
        else:
            with pytest.raises(ReleaseRefused) as caught:
                decide(claims, found, AT)
            assert "accepted until 2026-11-01T00:00:00Z" in caught.value.mismatches[0]["wanted"]
    undated = enclave(forge, attester_tcb_status="OutOfDate", attester_tcb_date=None)
    grace = [{"status": "OutOfDate", "days_after_tcb_date": 3650}]
    assert refusing(undated, ResourcePolicy.from_mapping({**SGX_IDENTITY, "tcb_grace": grace})) == ["tcb_status"]


def test_a_grace_is_of_its_status_alone(forge: Forge) -> None:
    grace = [{"status": "OutOfDate", "until": LATER}]
    found = ResourcePolicy.from_mapping({**SGX_IDENTITY, "tcb_grace": grace})
    assert isinstance(decide(enclave(forge), found, AT), Grant)
    assert refusing(enclave(forge, attester_tcb_status="ConfigurationNeeded"), found) == ["tcb_status"]


def test_advisories_are_accepted_for_a_time(forge: Forge) -> None:
    until = ResourcePolicy.from_mapping({**SGX_IDENTITY, "advisory": [{"id": "INTEL-SA-00615", "until": AT}]})
    with pytest.raises(ReleaseRefused) as caught:
        decide(enclave(forge), until, AT)
    assert "it was accepted until" in caught.value.mismatches[0]["wanted"]
    assert isinstance(decide(enclave(forge), until, EARLIER), Grant)
    assert isinstance(decide(enclave(forge, attester_advisory_ids=[]), until, AT), Grant)


def test_a_bound_nonce_is_that_of_the_evidence_that_was_appraised(forge: Forge) -> None:
    bound = ResourcePolicy.from_mapping({**SGX_IDENTITY, "nonce": "bound"})
    assert isinstance(decide(enclave(forge), bound, AT, nonce=NONCE), Grant)
    for other in ({**NONCE, "val": "AAAB"}, {"val": "AAAA"}, {}):
        assert refusing(enclave(forge), bound, nonce=other) == ["nonce"]
    assert refusing(enclave(forge, verifier_nonce=None), bound, nonce=NONCE) == ["nonce"]


@pytest.mark.parametrize(
    ("wanted", "seen"), [(1, True), (1, 1.0), ("1", 1), ([1], [1, 1]), ({"a": 1}, {"a": 1, "b": 2}), (False, 0)]
)
def test_runtime_data_is_compared_as_json_is(forge: Forge, wanted: object, seen: object) -> None:
    found = ResourcePolicy.from_mapping({**SGX_IDENTITY, "runtime_data": {"x": wanted}})
    assert refusing(enclave(forge, attester_runtime_data={"x": seen}), found) == ["runtime_data.x"]
    assert isinstance(decide(enclave(forge, attester_runtime_data={"x": wanted, "more": 1}), found, AT), Grant)


def test_old_and_new_tokens_tell_of_policies(forge: Forge) -> None:
    """Objects, ids alone, and the name of 2022."""
    found = ResourcePolicy.from_mapping({**SGX_IDENTITY, "policy_ids_matched": POLICY_ID})
    assert isinstance(decide(enclave(forge, policy_ids_matched=[POLICY_ID.upper()]), found, AT), Grant)
    for wrong in ([5], [{"version": "v1"}], [None]):
        with pytest.raises(TokenRejected):
            enclave(forge, policy_ids_matched=wrong)


@pytest.mark.parametrize(
    ("claim", "value"), [("attester_tcb_date", "soon"), ("tdx_td_attributes", "zz"), ("tdx_mrtd", 5)]
)
def test_claims_of_another_form_are_refused_as_tokens(forge: Forge, claim: str, value: object) -> None:
    with pytest.raises(TokenRejected):
        td(forge, **{claim: value})
