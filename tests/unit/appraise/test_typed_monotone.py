"""What a policy takes more of, or evidence has more of, never turns a match into a refusal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.appraise.told import AT, SGX, TDX

from ambergate.core.appraise.facts import Facts
from ambergate.core.appraise.typed import TypedPolicy
from ambergate.core.collateral.tcb_info import TcbStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUSES = sorted(status.value for status in TcbStatus if status is not TcbStatus.REVOKED)
ADVISORIES = [f"INTEL-SA-{n:05}" for n in range(4)]
SIGNERS = [f"{n:064x}" for n in range(2)]

SIGNED = st.fixed_dictionaries(
    {
        "mr_signer": st.lists(st.sampled_from(SIGNERS), min_size=1, max_size=2),
        "isv_prod_id": st.lists(st.integers(0, 1), min_size=1, max_size=2),
        "minimum_isv_svn": st.integers(0, 3),
    }
)
GRACE = st.one_of(
    st.fixed_dictionaries({"status": st.sampled_from(STATUSES), "days_after_tcb_date": st.integers(0, 200)}),
    st.fixed_dictionaries(
        {"status": st.sampled_from(STATUSES), "until": st.integers(-50, 50).map(lambda d: AT + timedelta(days=d))}
    ),
)
POLICIES = st.fixed_dictionaries(
    {
        "sgx": st.lists(SIGNED, min_size=1, max_size=3),
        "tcb_statuses": st.lists(st.sampled_from(STATUSES), min_size=4, max_size=8),
        "dangerously_allow_debug": st.booleans(),
    },
    optional={
        "tcb_grace": st.lists(GRACE, min_size=1, max_size=3),
        "advisory": st.lists(st.sampled_from(ADVISORIES).map(lambda name: {"id": name}), min_size=1, max_size=4),
    },
)
CLAIMS = st.builds(
    lambda **change: SGX | change,
    sgx_mrsigner=st.sampled_from(SIGNERS),
    sgx_isvprodid=st.integers(0, 1),
    sgx_isvsvn=st.integers(2, 4),
    sgx_is_debuggable=st.sampled_from([False, False, True]),
    attester_tcb_status=st.sampled_from(STATUSES),
    attester_advisory_ids=st.lists(st.sampled_from(ADVISORIES), max_size=1),
)
INSTANTS = st.integers(-60, 60).map(lambda days: AT + timedelta(days=days))


def refusals(table: Mapping[str, object], claims: Mapping[str, object], at: datetime) -> int:
    return len(TypedPolicy.from_mapping(table).mismatches(Facts.of_claims(claims), at))


def matches(table: Mapping[str, object], claims: Mapping[str, object], at: datetime) -> bool:
    return refusals(table, claims, at) == 0


@settings(deadline=None)
@given(POLICIES, CLAIMS, INSTANTS, SIGNED, st.sampled_from(STATUSES), GRACE)
def test_a_wider_policy_takes_no_less(
    policy: dict[str, list[object]],
    claims: dict[str, object],
    at: datetime,
    another: dict[str, object],
    status: str,
    grace: dict[str, object],
) -> None:
    assume(matches(policy, claims, at))
    assert matches({**policy, "sgx": [another, *policy["sgx"]]}, claims, at)
    assert matches({**policy, "tcb_statuses": [*policy["tcb_statuses"], status]}, claims, at)
    assert matches({**policy, "tcb_grace": [*policy.get("tcb_grace", []), grace]}, claims, at)
    assert matches({**policy, "dangerously_allow_debug": True}, claims, at)
    assert matches({name: value for name, value in policy.items() if name != "advisory"}, claims, at)
    assert matches({**policy, "tdx": [{"mr_td": [TDX["tdx_mrtd"]]}]}, claims, at)


@settings(deadline=None)
@given(POLICIES, CLAIMS, INSTANTS, st.integers(0, 60))
def test_better_evidence_and_earlier_instants_match_no_less(
    policy: dict[str, object], claims: dict[str, object], at: datetime, days: int
) -> None:
    assume(matches(policy, claims, at))
    svn = claims["sgx_isvsvn"]
    assert isinstance(svn, int)
    assert matches(policy, claims | {"sgx_isvsvn": svn + 1}, at)
    assert matches(policy, claims | {"sgx_is_debuggable": False}, at)
    assert matches(policy, claims | {"attester_advisory_ids": []}, at)
    assert matches(policy, claims, at - timedelta(days=days)), "a grace only ends"


@settings(deadline=None)
@given(POLICIES, CLAIMS, INSTANTS)
def test_the_same_facts_have_the_same_verdict(
    policy: dict[str, object], claims: dict[str, object], at: datetime
) -> None:
    assert refusals(policy, claims, at) == refusals(dict(reversed(policy.items())), dict(claims), at)
