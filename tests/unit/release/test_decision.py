"""The decision: each rule refuses alone and by name, all of them together, and none can be left out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, MR_SIGNER, Forge

from ambergate.core.errors import ReleaseRefused
from ambergate.core.release.decision import Grant, decide
from ambergate.core.release.envelope import encode_held_key
from ambergate.core.release.resource_policy import TCB_STATUSES, ResourcePolicy
from ambergate.core.token.check import KeySet, check_token

if TYPE_CHECKING:
    from ambergate.core.token.claims import AttestationClaims

BY_ENCLAVE = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE})
BY_SIGNER = ResourcePolicy.from_mapping({"mr_signer": MR_SIGNER, "isv_prod_id": 7, "minimum_isv_svn": 3})
BOTH = ResourcePolicy.from_mapping({**BY_SIGNER.to_mapping(), "mr_enclave": [MR_ENCLAVE, "00" * 32]})


@pytest.fixture(scope="module")
def good(forge: Forge) -> AttestationClaims:
    """What a token that both policies approve says."""
    keys = KeySet.from_json(json.dumps(forge.key_set()))
    return check_token(forge.token(), keys, issuer=ISSUER, at=AT)


def refused(claims: AttestationClaims, policy: ResourcePolicy, at: datetime = AT) -> list[str]:
    """The rules that refuse."""
    with pytest.raises(ReleaseRefused) as caught:
        decide(claims, policy, at)
    assert all(set(mismatch) == {"rule", "seen", "wanted"} for mismatch in caught.value.mismatches)
    return [mismatch["rule"] for mismatch in caught.value.mismatches]


@pytest.mark.parametrize("policy", [BY_ENCLAVE, BY_SIGNER, BOTH])
def test_an_approved_enclave_is_granted(good: AttestationClaims, policy: ResourcePolicy, forge: Forge) -> None:
    grant = decide(good, policy, AT)
    assert (grant.claims, grant.policy, grant.at) == (good, policy, AT)
    assert grant.workload_key.public_numbers() == forge.workload_key.public_key().public_numbers()


# One deviation each: the changed claim, and the rule that must refuse it, alone.
DEVIATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"expires_at": AT}, "lifetime"),
    "from the future": ({"issued_at": AT + timedelta(seconds=1)}, "lifetime"),
    "another enclave": ({"mr_enclave": "01" * 32}, "mr_enclave"),
    "no enclave": ({"mr_enclave": None}, "mr_enclave"),
    "enclave cut": ({"mr_enclave": MR_ENCLAVE[:-2]}, "mr_enclave"),
    "enclave with a prefix": ({"mr_enclave": "0x" + MR_ENCLAVE}, "mr_enclave"),
    "another signer": ({"mr_signer": "01" * 32}, "mr_signer"),
    "no signer": ({"mr_signer": None}, "mr_signer"),
    "another product": ({"isv_prod_id": 8}, "isv_prod_id"),
    "no product": ({"isv_prod_id": None}, "isv_prod_id"),
    "older": ({"isv_svn": 2}, "isv_svn"),
    "no version": ({"isv_svn": None}, "isv_svn"),
    "debug": ({"debug": True}, "debug"),
    "debug unknown": ({"debug": None}, "debug"),
    "simulated": ({"simulated": True}, "simulated"),
    "simulation unknown": ({"simulated": None}, "simulated"),
    "status unknown": ({"tcb_status": None}, "tcb_status"),
    "status of old": ({"tcb_status": "OK"}, "tcb_status"),
    "revoked": ({"tcb_status": "Revoked"}, "tcb_status"),
    **{status: ({"tcb_status": status}, "tcb_status") for status in TCB_STATUSES if status != "UpToDate"},
    "no key": ({"held_data": None}, "workload_key"),
    "empty key": ({"held_data": b""}, "workload_key"),
    "weak key": ({"held_data": bytes.fromhex("01000100") + bytes(384)}, "workload_key"),
    "key in runtime data": ({"held_data": None, "runtime_data": {"key": "AQAB"}}, "workload_key"),
}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_one_deviation_is_refused_by_its_rule_alone(good: AttestationClaims, name: str) -> None:
    changes, rule = DEVIATIONS[name]
    assert refused(replace(good, **changes), BOTH) == [rule]


def test_all_reasons_are_told(good: AttestationClaims) -> None:
    claims = replace(good, mr_enclave="01" * 32, mr_signer=None, isv_svn=0, debug=True, tcb_status="OutOfDate")
    assert refused(claims, BOTH) == ["mr_enclave", "mr_signer", "isv_svn", "tcb_status", "debug"]


def test_the_last_instant_of_a_token(good: AttestationClaims) -> None:
    """Its expiry is the first instant at which it is worth nothing (RFC 7519 section 4.1.4)."""
    assert isinstance(decide(good, BOTH, good.expires_at - timedelta(microseconds=1)), Grant)
    assert refused(good, BOTH, good.expires_at) == ["lifetime"]
    assert isinstance(decide(good, BOTH, good.issued_at), Grant)


def test_what_the_policy_does_not_name_may_differ(good: AttestationClaims) -> None:
    """A policy by MRENCLAVE holds whoever signed; one by signer holds for every program of that product."""
    assert isinstance(decide(replace(good, mr_signer="01" * 32, isv_prod_id=9, isv_svn=0), BY_ENCLAVE, AT), Grant)
    assert isinstance(decide(replace(good, mr_enclave="01" * 32, isv_svn=9), BY_SIGNER, AT), Grant)


def test_danger_is_accepted_only_when_spelled_out(good: AttestationClaims) -> None:
    debug = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "dangerously_allow_debug": True})
    simulated = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "insecure_accept_simulated": True})
    assert isinstance(decide(replace(good, debug=True), debug, AT), Grant)
    assert isinstance(decide(replace(good, simulated=True), simulated, AT), Grant)
    assert refused(replace(good, debug=True, simulated=True), debug) == ["simulated"]
    assert refused(replace(good, debug=True, simulated=True), simulated) == ["debug"]


@pytest.mark.parametrize("status", TCB_STATUSES)
def test_a_status_is_accepted_when_it_is_listed(good: AttestationClaims, status: str) -> None:
    policy = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "tcb_statuses": [status]})
    assert isinstance(decide(replace(good, tcb_status=status), policy, AT), Grant)
    if status != "UpToDate":
        assert refused(good, policy) == ["tcb_status"]


def test_a_measurement_in_upper_case_is_the_same_measurement(good: AttestationClaims) -> None:
    assert isinstance(decide(replace(good, mr_enclave=MR_ENCLAVE.upper()), BY_ENCLAVE, AT), Grant)


def test_a_refusal_never_shows_the_held_data(good: AttestationClaims, forge: Forge) -> None:
    held = encode_held_key(forge.workload_key.public_key())[:200]  # below 2048 bits
    with pytest.raises(ReleaseRefused) as caught:
        decide(replace(good, held_data=held), BOTH, AT)
    assert held.hex()[8:40] not in str(caught.value.as_dict())
