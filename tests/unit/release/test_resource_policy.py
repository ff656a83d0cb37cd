"""Release policies load strictly: nothing absent is taken as permission."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.collateral.tcb_info import DOCUMENTED
from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import MrEnclave, MrSigner
from ambergate.core.release.resource_policy import (
    MAX_ALTERNATIVES,
    MAX_POLICY_SIZE,
    TCB_STATUSES,
    ResourcePolicy,
    problems_of,
)
from ambergate.core.release.terms import MAX_DEPTH, MAX_TABLES, MEMBERS, Terms
from ambergate.core.release.values import MAX_VALUES

A, B = "0a" * 32, "0b" * 32
SIGNER = {"mr_signer": A, "isv_prod_id": 1, "minimum_isv_svn": 0}


def test_the_least_policy_is_strict() -> None:
    policy = ResourcePolicy.from_toml(f'mr_enclave = "{A}"').terms
    assert policy.mr_enclave == (MrEnclave.from_hex(A),)
    assert policy.tcb_statuses == ("UpToDate",)
    assert policy.dangerously_allow_debug is False
    assert policy.insecure_accept_simulated is False


def test_a_full_policy_round_trips() -> None:
    text = f"""
    mr_enclave = ["{B}", "{A}", "{A}"]
    mr_signer = ["{A}"]
    isv_prod_id = [7, 1]
    minimum_isv_svn = 3
    tcb_statuses = ["SWHardeningNeeded", "UpToDate"]
    dangerously_allow_debug = true
    insecure_accept_simulated = true
    """
    policy = ResourcePolicy.from_toml(text)
    assert policy.terms == Terms(
        mr_enclave=(MrEnclave.from_hex(A), MrEnclave.from_hex(B)),
        mr_signer=(MrSigner.from_hex(A),),
        isv_prod_id=(1, 7),
        minimum_isv_svn=3,
        tcb_statuses=("UpToDate", "SWHardeningNeeded"),
        dangerously_allow_debug=True,
        insecure_accept_simulated=True,
    )
    assert ResourcePolicy.from_json(policy.to_json()) == policy
    assert ResourcePolicy.from_mapping(policy.to_mapping()) == policy


def test_equal_policies_have_equal_json() -> None:
    """The store binds the JSON to the secret; it must not depend on how the file was written."""
    one = ResourcePolicy.from_toml(f'mr_enclave = ["{A}", "{B}"]\ntcb_statuses = ["UpToDate", "OutOfDate"]')
    two = ResourcePolicy.from_toml(f'tcb_statuses = ["OutOfDate", "UpToDate"]\nmr_enclave = ["{B}", "{A}"]')
    assert one.to_json() == two.to_json()


def test_the_statuses_are_those_of_the_verifier_without_revoked() -> None:
    assert set(TCB_STATUSES) == set(DOCUMENTED) - {"Revoked"}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="empty"),
        pytest.param({"tcb_statuses": ["UpToDate"]}, id="no identity"),
        pytest.param({"minimum_isv_svn": 1}, id="only a version"),
        pytest.param({"isv_prod_id": 1}, id="only a product"),
        pytest.param({"mr_enclave": A, "isv_prod_id": 1}, id="a product without its signer"),
        pytest.param({"mr_signer": A}, id="only a signer"),
        pytest.param({"mr_signer": A, "isv_prod_id": 1}, id="a signer without minimum version"),
        pytest.param({"mr_signer": A, "minimum_isv_svn": 1}, id="a signer without product"),
        pytest.param({"mr_enclave": A, "mr_signer": A}, id="half a signer beside mr_enclave"),
    ],
)
def test_a_policy_without_a_whole_identity_does_not_load(members: dict[str, object]) -> None:
    with pytest.raises(MalformedPolicy):
        ResourcePolicy.from_mapping(members)


@pytest.mark.parametrize("members", [{"mr_enclave": A}, SIGNER, {**SIGNER, "mr_enclave": A}])
def test_a_policy_with_a_whole_identity_loads(members: dict[str, object]) -> None:
    assert ResourcePolicy.from_mapping(members).to_mapping()["tcb_statuses"] == ["UpToDate"]


@pytest.mark.parametrize("name", ["mr_enclave", "mr_signer", "isv_prod_id", "tcb_statuses"])
def test_an_empty_list_is_not_everything(name: str) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        ResourcePolicy.from_mapping({**SIGNER, "mr_enclave": B, name: []})
    assert "allows nothing" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mr_enclave", A[:-1]),
        ("mr_enclave", A + "0"),
        ("mr_enclave", "zz" * 32),
        ("mr_enclave", " " + A[1:]),
        ("mr_enclave", 5),
        ("mr_enclave", [A, None]),
        ("mr_enclave", {"value": A}),
        ("mr_signer", "0x" + A[2:]),
        ("mr_signer", ["٣" * 64]),
        ("isv_prod_id", -1),
        ("isv_prod_id", 65536),
        ("isv_prod_id", "1"),
        ("isv_prod_id", True),
        ("isv_prod_id", 1.0),
        ("minimum_isv_svn", -1),
        ("minimum_isv_svn", 65536),
        ("minimum_isv_svn", [1]),
        ("minimum_isv_svn", False),
        ("minimum_isv_svn", None),
        ("tcb_statuses", "OK"),
        ("tcb_statuses", "Revoked"),
        ("tcb_statuses", "uptodate"),
        ("tcb_statuses", ["UpToDate", 1]),
        ("tcb_statuses", [["UpToDate"]]),
        ("dangerously_allow_debug", "true"),
        ("dangerously_allow_debug", 1),
        ("insecure_accept_simulated", "yes"),
        ("insecure_accept_simulated", None),
        ("mr_enclave", [A] * (MAX_VALUES + 1)),
    ],
)
def test_values_of_another_type_or_range_do_not_load(name: str, value: object) -> None:
    with pytest.raises(MalformedPolicy):
        ResourcePolicy.from_mapping({**SIGNER, "mr_enclave": B, name: value})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("mrenclave", "mr_enclave"),
        ("mr_signers", "mr_signer"),
        ("isvprodid", "isv_prod_id"),
        ("min_isv_svn", "minimum_isv_svn"),
        ("tcb_status", "tcb_statuses"),
        ("allow_debug", "dangerously_allow_debug"),
        ("accept_simulated", "insecure_accept_simulated"),
    ],
)
def test_an_unknown_member_names_the_nearest_known_one(wrong: str, right: str) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        ResourcePolicy.from_mapping({"mr_enclave": A, wrong: 1})
    assert caught.value.hint == f"did you mean {right}?"


@pytest.mark.parametrize("text", ["", "=", "mr_enclave", "[" * 5000, f'mr_enclave="{A}"\nmr_enclave="{B}"', "a = 1"])
def test_text_that_is_no_policy(text: str) -> None:
    with pytest.raises(MalformedPolicy):
        ResourcePolicy.from_toml(text)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "1", "{", "[" * 100_000, f'{{"mr_enclave":"{A}","mr_enclave":"{B}"}}', json.dumps({"x": A})],
)
def test_json_that_is_no_policy(text: str) -> None:
    with pytest.raises(MalformedPolicy):
        ResourcePolicy.from_json(text)


def test_a_policy_has_a_size_limit() -> None:
    with pytest.raises(MalformedPolicy, match="too long"):
        ResourcePolicy.from_toml(f'mr_enclave = "{A}"\n#' + "x" * MAX_POLICY_SIZE)


@given(text=st.text(max_size=200))
def test_any_text_gives_malformed_policy_and_nothing_else(text: str) -> None:
    for load in (ResourcePolicy.from_toml, ResourcePolicy.from_json):
        with pytest.raises(MalformedPolicy):
            load(text)


def test_constructing_one_directly_is_no_way_around() -> None:
    with pytest.raises(MalformedPolicy):
        ResourcePolicy(terms=Terms())
    with pytest.raises(MalformedPolicy):
        ResourcePolicy(terms=Terms(any=(Terms(mr_enclave=(MrEnclave.from_hex(A),)), Terms())))


@pytest.mark.parametrize(
    "text",
    [
        (
            f'{{"dangerously_allow_debug":false,"insecure_accept_simulated":false,"mr_enclave":["{A}"],'
            '"tcb_statuses":["UpToDate"]}'
        ),
        (
            f'{{"dangerously_allow_debug":true,"insecure_accept_simulated":true,"isv_prod_id":[1,7],"minimum_isv_svn":0,'
            f'"mr_enclave":["{A}","{B}"],"mr_signer":["{A}"],"tcb_statuses":["UpToDate","OutOfDate"]}}'
        ),
    ],
)
def test_what_earlier_releases_stored_is_still_the_stored_form(text: str) -> None:
    """Secrets are bound to this text: one character else, and none of them opens."""
    assert ResourcePolicy.from_json(text).to_json() == text


TWO = {"any": [{"mr_enclave": A}, {"mr_td": "0c" * 48}]}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({**TWO, "mr_enclave": A}, id="an enclave and a TD in one alternative"),
        pytest.param({"mr_enclave": A, "mr_td": "0c" * 48}, id="an enclave and a TD"),
        pytest.param({"mr_enclave": A, "tee": "TDX"}, id="an enclave that is a TD"),
        pytest.param({"rtmr0": "0c" * 48}, id="a TD by a register"),
        pytest.param({"mr_seam": "0c" * 48, "mr_signer_seam": "00" * 48, "minimum_seam_svn": 3}, id="only the module"),
        pytest.param({"policy_ids_matched": "0b5e2f5e-59a9-4b57-8d9b-2f3f8a3f4a11"}, id="a policy of no kind"),
        pytest.param({"tee": "SGX"}, id="any enclave"),
        pytest.param({"any": [{"mr_enclave": A}, {"tcb_statuses": "UpToDate"}]}, id="an alternative without identity"),
        pytest.param({"any": [{"mr_enclave": A}, {}]}, id="an empty alternative"),
        pytest.param({"any": []}, id="no alternative"),
        pytest.param({"mr_enclave": A, "any": []}, id="alternatives, none of them"),
        pytest.param({"any": {"mr_enclave": A}}, id="an alternative that is no list"),
        pytest.param({"any": [A]}, id="an alternative that is no table"),
        pytest.param({"any": [{"mr_enclave": A, "max_releases": 1}]}, id="a count inside"),
        pytest.param({"mr_enclave": A, "max_releases": 0}, id="no release"),
        pytest.param({"mr_enclave": A, "max_releases": True}, id="true releases"),
        pytest.param({"all": [{"mr_signer": A}, {"isv_prod_id": 1}]}, id="half a signer in parts"),
        pytest.param({"mr_enclave": A, "nonce": "maybe"}, id="another word"),
        pytest.param({"mr_enclave": A, "issuers": ""}, id="nameless issuer"),
        pytest.param({"mr_enclave": A, "issuers": ["a\nb"]}, id="issuer in two lines"),
        pytest.param({"mr_enclave": A, "policy_ids_matched": "0b5e2f5e59a94b578d9b2f3f8a3f4a11"}, id="id of one word"),
        pytest.param({"mr_enclave": A, "max_token_age_seconds": 0}, id="no age"),
        pytest.param({"mr_enclave": A, "not_after": "2026-01-01"}, id="a day"),
        pytest.param({"mr_enclave": A, "not_after": "2026-01-01T00:00:00"}, id="an instant of no zone"),
        pytest.param({"mr_enclave": A, "runtime_data": {}}, id="no data"),
        pytest.param({"mr_enclave": A, "runtime_data": {"x": float("nan")}}, id="no number"),
        pytest.param({"mr_enclave": A, "runtime_data": {"x": b""}}, id="octets"),
        pytest.param({"mr_enclave": A, "runtime_data": {"x": "y" * 9000}}, id="long data"),
        pytest.param({"mr_enclave": A, "weekly": [{"from": "09:00", "to": "09:00"}]}, id="an empty window"),
        pytest.param({"mr_enclave": A, "weekly": [{"from": "22:00", "to": "06:00"}]}, id="a night"),
        pytest.param({"mr_enclave": A, "weekly": [{"from": "9:00", "to": "10:00"}]}, id="an hour of one digit"),
        pytest.param({"mr_enclave": A, "weekly": [{"days": [], "from": "09:00", "to": "10:00"}]}, id="on no day"),
        pytest.param({"mr_enclave": A, "weekly": [{"days": "Monday", "from": "09:00", "to": "10:00"}]}, id="Monday"),
        pytest.param({"mr_enclave": A, "weekly": [{"from": "00:00", "to": "24:30"}]}, id="beyond midnight"),
        pytest.param({"mr_enclave": A, "tcb_grace": [{"status": "OutOfDate"}]}, id="a grace without end"),
        pytest.param(
            {
                "mr_enclave": A,
                "tcb_grace": [{"status": "OutOfDate", "until": "2027-01-01T00:00:00Z", "days_after_tcb_date": 3}],
            },
            id="a grace with two ends",
        ),
        pytest.param({"mr_enclave": A, "tcb_grace": [{"status": "Revoked", "days_after_tcb_date": 3}]}, id="revoked"),
        pytest.param({"mr_enclave": A, "tcb_grace": [{"days_after_tcb_date": 3}]}, id="a grace of nothing"),
        pytest.param({"mr_enclave": A, "advisory": [{"reason": "because"}]}, id="an advisory without id"),
        pytest.param({"mr_enclave": A, "advisory": [{"id": "X", "untill": 1}]}, id="an unknown member inside"),
        pytest.param({"mr_enclave": A, "advisory": ["X"]}, id="an advisory that is no table"),
    ],
)
def test_more_that_does_not_load(members: dict[str, object]) -> None:
    with pytest.raises(MalformedPolicy):
        ResourcePolicy.from_mapping(members)


def nested(depth: int) -> dict[str, object]:
    return {"mr_enclave": A} if depth == 0 else {"any": [nested(depth - 1)]}


def test_depth_and_size_are_bounded() -> None:
    assert ResourcePolicy.from_mapping(nested(MAX_DEPTH)).tees == ("SGX",)
    with pytest.raises(MalformedPolicy, match="too deeply"):
        ResourcePolicy.from_mapping(nested(MAX_DEPTH + 1))
    each = [{"minimum_isv_svn": number} for number in range(2)]
    doubled = [{"any": each} for _ in range(MAX_ALTERNATIVES.bit_length())]
    with pytest.raises(MalformedPolicy, match="says too much"):
        ResourcePolicy.from_mapping({"mr_enclave": A, "all": doubled})
    assert len(ResourcePolicy.from_mapping({"mr_enclave": A, "all": doubled[1:]}).alternatives) == MAX_ALTERNATIVES
    for count in (MAX_TABLES + 1, 100_000):
        with pytest.raises(MalformedPolicy):
            ResourcePolicy.from_mapping({"any": [{"mr_enclave": A}] * count})


def test_what_a_policy_is_about() -> None:
    both = ResourcePolicy.from_mapping({**TWO, "max_releases": 3})
    assert (both.tees, both.max_releases) == (("SGX", "TDX"), 3)
    ids = ["0b5e2f5e-59a9-4b57-8d9b-2f3f8a3f4a11", "0b5e2f5e-59a9-4b57-8d9b-2f3f8a3f4a10"]
    inside = {"mr_enclave": A, "policy_ids_matched": ids[0], "any": [{"policy_ids_matched": ids[1]}]}
    assert ResourcePolicy.from_mapping(inside).policy_ids == tuple(sorted(ids))
    assert ResourcePolicy.from_json(both.to_json()) == both


def test_every_problem_is_found_and_says_where() -> None:
    text = f"""
    mrenclave = "{A}"
    max_releases = 0
    [[any]]
    mr_enclave = "short"
    tcb_statuses = "OK"
    [[any]]
    [[any.weekly]]
    days = "Someday"
    """
    assert [each.where for each in problems_of(text)] == [
        "max_releases",
        "mrenclave",
        "any[0].mr_enclave",
        "any[0].tcb_statuses",
        "any[1].weekly",
    ]
    (nobody,) = problems_of(f'[[any]]\nmr_enclave = "{A}"\n[[any]]\nnonce = "required"')
    assert (nobody.where, nobody.error.message) == ("any[1]", "the policy names no enclave (any[1])")
    (no_toml,) = problems_of("=")
    assert no_toml.where == ""
    assert problems_of(f'{{"mr_enclave": "{A}"}}') == ()


@given(
    members=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*MEMBERS, "max_releases", "days", "from", "status", "id", "x"]), inner)
        ),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict))
)
def test_any_mapping_gives_a_policy_or_malformed_policy(members: dict[str, object]) -> None:
    with contextlib.suppress(MalformedPolicy):
        made = ResourcePolicy.from_mapping(members)
        assert ResourcePolicy.from_json(made.to_json()) == made
