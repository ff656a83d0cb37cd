"""What `any` and `all` mean, on policies and tokens that nobody thought of."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, MR_SIGNER, Forge
from tests.unit.release.told import NONCE, POLICY_ID, enclave, td

from ambergate.core.errors import ReleaseRefused
from ambergate.core.release.decision import MAX_ALTERNATIVES_TOLD, decide, judge
from ambergate.core.release.resource_policy import TCB_STATUSES, ResourcePolicy
from ambergate.core.release.rules import Circumstances

if TYPE_CHECKING:
    from ambergate.core.token.claims import AttestationClaims

OTHER = "11" * 32
FORGE = Forge()
CLAIMS = st.builds(
    lambda **changes: enclave(FORGE, **changes),
    sgx_mrenclave=st.sampled_from([MR_ENCLAVE, OTHER]),
    sgx_mrsigner=st.sampled_from([MR_SIGNER, OTHER]),
    sgx_isvsvn=st.integers(2, 4),
    sgx_is_debuggable=st.sampled_from([False, False, True]),
    tee_simulated=st.sampled_from([False, False, True]),
    attester_tcb_status=st.sampled_from(TCB_STATUSES[:2]),
    attester_advisory_ids=st.sampled_from([[], ["A"], ["A", "B"]]),
    policy_ids_matched=st.sampled_from([[], [POLICY_ID]]),
    verifier_nonce=st.sampled_from([None, NONCE]),
    attester_runtime_data=st.sampled_from([None, {"x": 1}, {"x": 2}]),
)
# What can only take away.
REQUIREMENTS: dict[str, st.SearchStrategy[Any]] = {
    "mr_enclave": st.sampled_from([[MR_ENCLAVE], [OTHER], [MR_ENCLAVE, OTHER]]),
    "minimum_isv_svn": st.integers(2, 5),
    "advisory": st.sampled_from([[{"id": "A"}], [{"id": "A"}, {"id": "B"}]]),
    "policy_ids_matched": st.just([POLICY_ID]),
    "issuers": st.sampled_from([[ISSUER], ["https://b"]]),
    "max_token_age_seconds": st.sampled_from([9, 10]),
    "nonce": st.sampled_from(["required", "bound"]),
    "runtime_data": st.sampled_from([{"x": 1}, {"x": 2}]),
    "not_before": st.sampled_from([AT, AT + timedelta(1)]),
    "not_after": st.sampled_from([AT, AT + timedelta(1)]),
    "weekly": st.sampled_from(
        [[{"days": ["Sun"], "from": "00:00", "to": "24:00"}], [{"from": "13:00", "to": "14:00"}]]
    ),
}
PARTS = st.fixed_dictionaries({}, optional=REQUIREMENTS).filter(bool)
# Policies that are whole in themselves: an identity, and every default spoken of.
WHOLE = st.builds(
    lambda identity, statuses, debug, simulated, part: {
        **part,
        "mr_enclave": identity,
        "tcb_statuses": statuses,
        "dangerously_allow_debug": debug,
        "dangerously_allow_sept_ve": False,
        "insecure_accept_simulated": simulated,
    },
    REQUIREMENTS["mr_enclave"],
    st.sampled_from([["UpToDate"], ["UpToDate", "SWHardeningNeeded"]]),
    st.booleans(),
    st.booleans(),
    st.fixed_dictionaries({}, optional=REQUIREMENTS),
)
NESTED = st.builds(
    lambda whole, some, every: {**whole, **({"any": some} if some else {}), **({"all": every} if every else {})},
    WHOLE,
    st.lists(PARTS, max_size=2),
    st.lists(PARTS, max_size=2),
)
NONCES = st.sampled_from([None, NONCE])


def released(members: dict[str, Any], claims: AttestationClaims, nonce: dict[str, str] | None = None) -> bool:
    try:
        decide(claims, ResourcePolicy.from_mapping(members), AT, nonce=nonce)
    except ReleaseRefused:
        return False
    return True


@given(NESTED, CLAIMS, NONCES, st.data())
def test_a_requirement_more_never_releases_more(
    members: dict[str, Any], claims: AttestationClaims, nonce: dict[str, str] | None, data: st.DataObject
) -> None:
    """Where it was not there, in a part of its own, or as one value less of a list."""
    more = data.draw(PARTS)
    added = {**members, **{name: value for name, value in more.items() if name not in members}}
    conjoined = {**members, "all": [*members.get("all", []), more]}
    narrowed = {**members, "mr_enclave": members["mr_enclave"][:1], "tcb_statuses": members["tcb_statuses"][:1]}
    for stricter in (added, conjoined, narrowed):
        assert released(members, claims, nonce) or not released(stricter, claims, nonce)


@given(NESTED, CLAIMS)
def test_an_alternative_more_never_releases_less(members: dict[str, Any], claims: AttestationClaims) -> None:
    assert not released({"any": [members]}, claims) or released({"any": [{"mr_enclave": OTHER}, members]}, claims)


@given(NESTED, CLAIMS, NONCES)
def test_any_of_one_and_all_of_one_are_itself(
    members: dict[str, Any], claims: AttestationClaims, nonce: dict[str, str] | None
) -> None:
    wanted = released(members, claims, nonce)
    assert released({"any": [members]}, claims, nonce) is wanted
    assert released({"all": [members]}, claims, nonce) is wanted
    assert released({"any": [{"all": [{"any": [members]}]}]}, claims, nonce) is wanted


@given(WHOLE, WHOLE, CLAIMS, NONCES)
def test_any_is_or_and_all_is_and(
    one: dict[str, Any], two: dict[str, Any], claims: AttestationClaims, nonce: dict[str, str] | None
) -> None:
    each = released(one, claims, nonce), released(two, claims, nonce)
    assert released({"any": [one, two]}, claims, nonce) is any(each)
    assert released({"all": [one, two]}, claims, nonce) is all(each)


@given(NESTED, CLAIMS)
def test_order_does_not_matter(members: dict[str, Any], claims: AttestationClaims) -> None:
    turned = deepcopy(dict(reversed(members.items())))
    for value in turned.values():
        if isinstance(value, list):
            value.reverse()
    assert released(turned, claims) is released(members, claims)


@given(NESTED, CLAIMS)
def test_a_refusal_names_what_refuses_and_a_release_nothing(members: dict[str, Any], claims: AttestationClaims) -> None:
    judgement = judge(claims, ResourcePolicy.from_mapping(members), Circumstances(AT))
    met = any(all(each.holds for each in found) for _, found in judgement.alternatives)
    assert bool(judgement.mismatches) is not (met and all(each.holds for each in judgement.general))


def mismatches(members: dict[str, Any], claims: AttestationClaims) -> list[str]:
    with pytest.raises(ReleaseRefused) as caught:
        decide(claims, ResourcePolicy.from_mapping(members), AT)
    return [each["rule"] for each in caught.value.mismatches]


def test_the_alternatives_that_came_nearest_are_told(forge: Forge) -> None:
    """With the table that each rule stands in; what is shared is told once."""
    far = {"mr_enclave": OTHER, "minimum_isv_svn": 9, "nonce": "bound"}
    members = {"issuers": "https://b", "any": [far, {"mr_enclave": OTHER}, *[far] * MAX_ALTERNATIVES_TOLD]}
    told = mismatches(members, enclave(forge))
    assert told[:2] == ["issuer", "any[1].mr_enclave"]
    assert not any(rule.startswith(f"any[{MAX_ALTERNATIVES_TOLD}]") for rule in told)


def test_defaults_hold_where_no_table_of_an_alternative_speaks(forge: Forge) -> None:
    """What the policy's own table says holds for its alternatives; what one alternative says, for it alone."""
    hardening = enclave(forge, attester_tcb_status="SWHardeningNeeded")
    allowing = {"tcb_statuses": ["UpToDate", "SWHardeningNeeded"]}
    two = [{"mr_enclave": MR_ENCLAVE}, {"mr_enclave": OTHER}]
    assert mismatches({"any": two[:1]}, hardening) == ["tcb_status"]
    assert released({**allowing, "any": two}, hardening)
    assert released({"any": [{**two[0], **allowing}, two[1]]}, hardening)
    assert mismatches({"any": [two[0], {**two[1], **allowing}]}, hardening) == ["tcb_status", "any[1].mr_enclave"]
    strict = {"tcb_statuses": ["UpToDate"], "any": [{**two[0], **allowing}]}
    assert mismatches(strict, hardening) == ["tcb_status"]


@pytest.mark.parametrize(
    ("claims", "switch", "rule"),
    [
        ({"sgx_is_debuggable": True}, "dangerously_allow_debug", "debug"),
        ({"tee_simulated": True}, "insecure_accept_simulated", "simulated"),
    ],
)
def test_danger_in_one_table_is_danger_in_that_alternative_alone(
    forge: Forge, claims: dict[str, Any], switch: str, rule: str
) -> None:
    token = enclave(forge, **claims)
    mine, other = {"mr_enclave": MR_ENCLAVE}, {"mr_enclave": OTHER, switch: True}
    assert mismatches({"any": [mine, other]}, token) == [rule, "any[1].mr_enclave"]
    assert released({"any": [{**mine, switch: True}, other]}, token)
    assert mismatches({switch: False, "any": [{**mine, switch: True}]}, token) == [rule]


def test_an_enclave_or_a_td(forge: Forge) -> None:
    both = {"any": [{"mr_enclave": MR_ENCLAVE}, {"mr_td": "01" * 48}]}
    assert released(both, enclave(forge))
    assert released(both, td(forge))
    assert not released(both, td(forge, tdx_mrtd="02" * 48))
