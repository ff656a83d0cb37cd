"""Release policies load strictly: nothing absent is taken as permission."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.collateral.tcb_info import DOCUMENTED
from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import MrEnclave, MrSigner
from ambergate.core.release.resource_policy import MAX_POLICY_SIZE, MAX_VALUES, TCB_STATUSES, ResourcePolicy

A, B = "0a" * 32, "0b" * 32
SIGNER = {"mr_signer": A, "isv_prod_id": 1, "minimum_isv_svn": 0}


def test_the_least_policy_is_strict() -> None:
    policy = ResourcePolicy.from_toml(f'mr_enclave = "{A}"')
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
    assert policy == ResourcePolicy(
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
        ResourcePolicy()
    with pytest.raises(MalformedPolicy):
        ResourcePolicy(mr_enclave=(MrEnclave.from_hex(A),), tcb_statuses=())
