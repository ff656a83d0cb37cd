"""A policy that is not exactly understood does not load."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import pytest

from ambergate.core.appraise.policy import ACCEPTED, AppraisalPolicy
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import MrEnclave, MrSigner


def load(**table: object) -> AppraisalPolicy:
    return AppraisalPolicy.from_mapping(table)


def test_nothing_said_is_the_strict_default() -> None:
    policy = load()
    assert policy == AppraisalPolicy()
    assert (policy.tcb_statuses, policy.dangerously_allow_debug) == (ACCEPTED, False)
    assert policy.collateral_grace == timedelta(0), "nothing that has expired is taken"


def test_everything_said() -> None:
    policy = load(
        tcb_statuses=["UpToDate", "OutOfDate"],
        dangerously_allow_debug=True,
        mr_enclave=["0a" * 32, "0B" * 32],
        mr_signer=["0c" * 32],
        isv_prod_id=[0, 65535],
        minimum_isv_svn=7,
        minimum_tcb_evaluation_data_number=19,
        collateral_grace_hours=36,
    )
    assert policy == AppraisalPolicy(
        tcb_statuses=frozenset({TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE}),
        dangerously_allow_debug=True,
        mr_enclave=frozenset({MrEnclave(b"\x0a" * 32), MrEnclave(b"\x0b" * 32)}),
        mr_signer=frozenset({MrSigner(b"\x0c" * 32)}),
        isv_prod_id=frozenset({0, 65535}),
        minimum_isv_svn=7,
        minimum_tcb_evaluation_data_number=19,
        collateral_grace=timedelta(hours=36),
    )


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=30, microseconds=1), timedelta.max])
def test_grace_is_bounded_wherever_it_comes_from(grace: timedelta) -> None:
    with pytest.raises(MalformedPolicy, match="collateral_grace"):
        AppraisalPolicy(collateral_grace=grace)


def test_the_longest_grace() -> None:
    assert load(collateral_grace_hours=720) == AppraisalPolicy(collateral_grace=timedelta(days=30))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("collateral_grace", "collateral_grace_hours"),
        ("mrenclave", "mr_enclave"),
        ("tcb_status", "tcb_statuses"),
        ("allow_debug", "dangerously_allow_debug"),
    ],
)
def test_an_unknown_member_is_named_with_the_nearest_known_one(name: str, near: str) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        AppraisalPolicy.from_mapping({"isv_prod_id": [1], name: ["UpToDate"]})
    assert caught.value.seen == name
    assert caught.value.hint == f"did you mean {near}?"
    assert all(field.name in str(caught.value.wanted) for field in fields(AppraisalPolicy))


def test_a_member_that_is_like_nothing() -> None:
    with pytest.raises(MalformedPolicy) as caught:
        load(zzz=1)
    assert caught.value.hint is None


WRONG: dict[str, list[object]] = {
    "tcb_statuses": [[], "UpToDate", None, {"UpToDate": 1}, ["uptodate"], [""], [1], [["UpToDate"]], ["Revoked"]],
    "dangerously_allow_debug": [0, 1, "false", None, []],
    "dangerously_allow_sept_ve": [0, 1, "false", None, []],
    "dangerously_allow_service_td": [0, 1, "false", None, []],
    "mr_enclave": [[], "0a" * 32, [""], ["0a" * 31], ["0a" * 33], ["0g" * 32], [" a" * 32], [b"\x0a" * 32], [None]],
    "mr_signer": [[], "0a" * 32, ["0a" * 31], [10**63], {"a": 1}],
    "isv_prod_id": [[], 1, [-1], [65536], [True], ["1"], [1.0], [[1]]],
    "minimum_isv_svn": [-1, 65536, True, "1", 1.0, [1], None],
    "minimum_tcb_evaluation_data_number": [-1, 2**32, True, "1", 1.0, [1], None],
    "collateral_grace_hours": [-1, 721, True, "1", 1.5, [1], None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_value_that_says_nothing_clear(name: str, value: object) -> None:
    """An empty list above all: it must not come to mean that anything goes."""
    with pytest.raises(MalformedPolicy) as caught:
        AppraisalPolicy.from_mapping({name: value})
    assert name in str(caught.value) or "revoked" in str(caught.value)


def test_revoked_cannot_be_listed() -> None:
    with pytest.raises(MalformedPolicy, match="revoked"):
        load(tcb_statuses=["UpToDate", "Revoked"])
    with pytest.raises(MalformedPolicy) as caught:
        load(tcb_statuses=["Unknown"])
    assert "Revoked" not in str(caught.value.wanted)


def test_every_field_has_a_reader_that_can_refuse() -> None:
    members = {field.name for field in fields(AppraisalPolicy)} - {"collateral_grace"}
    assert set(WRONG) == members | {"collateral_grace_hours"}
