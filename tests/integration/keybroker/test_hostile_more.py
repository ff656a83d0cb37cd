"""The other hostile tokens: with those of `test_transfer`, more than 300, and none of them gets a key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from tests.integration.keybroker.forge import AT, Forge
from tests.integration.keybroker.hostile import UNWELCOME, WORTHLESS
from tests.integration.keybroker.hostile_more import MORE_WORTHLESS, REPLAYED
from tests.integration.keybroker.scene import KEY_ID, LOOSE_KEY_ID, SECRET, Broker
from tests.unit.release.test_rules import CASES
from tests.unit.release.told import NONCE, POLICY_ID, SGX_IDENTITY, TD, TDX_IDENTITY, td_held

from ambergate.core.release.resource_policy import ResourcePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import httpx

# `debug` and `simulated` need a broker that was told to take such tokens at all: `test_transfer` has them.
FIELDS = {name: case for name, case in CASES.items() if name != "insecure_accept_simulated"}


def test_there_are_enough_of_them() -> None:
    names = [*WORTHLESS, *UNWELCOME, *MORE_WORTHLESS, *(f"by {name}" for name in FIELDS), *REPLAYED]
    assert len(set(names)) == len(names) >= 300


@pytest.mark.parametrize("name", MORE_WORTHLESS)
def test_a_worthless_token_gets_nothing(broker: Broker, forge: Forge, name: str) -> None:
    token = MORE_WORTHLESS[name](forge)
    for key_id in (KEY_ID, LOOSE_KEY_ID):
        response = broker.transfer(token, key_id)
        refused(broker, response)
        assert response.json()["code"] not in {"release-refused", "unknown-key"}


def kept(broker: Broker, name: str, identity: Mapping[str, Any], members: Mapping[str, Any]) -> UUID:
    """A key of this name under a policy of its own."""
    key_id = uuid5(NAMESPACE_URL, f"{name} {sorted(members.items())}")
    if broker.store.find(key_id) is None:
        broker.store.add(key_id, SECRET, ResourcePolicy.from_mapping({**identity, **members}), at=AT)
    return key_id


@pytest.mark.parametrize("name", FIELDS)
def test_one_field_that_differs_is_enough(broker: Broker, forge: Forge, name: str) -> None:
    """The same token under a policy that wants it gets the key, and under one that differs by this field nothing."""
    case = FIELDS[name]
    told: dict[str, Any] = {
        "policy_ids_matched": [{"id": POLICY_ID}],
        "verifier_nonce": NONCE,
        "attester_advisory_ids": ["INTEL-SA-00615"],
        "attester_runtime_data": {"user": "alice", "deep": {"list": [1, True]}},
    }
    if case.of_td:
        told = {"attester_type": "TDX", "attester_held_data": td_held(forge), **TD}
    token = forge.token(claims=forge.claims(**{**told, **case.claims}))
    identity = TDX_IDENTITY if case.of_td else SGX_IDENTITY
    assert broker.transfer(token, kept(broker, name, identity, case.allows)).status_code == 200
    response = broker.transfer(token, kept(broker, name, identity, case.refuses))
    refused(broker, response)
    assert [mismatch["rule"] for mismatch in response.json()["mismatches"]] == [case.rule]


@pytest.mark.parametrize("name", REPLAYED)
def test_a_token_replayed_outside_its_window_gets_nothing(broker: Broker, forge: Forge, name: str) -> None:
    members, seconds, rule = REPLAYED[name]
    token = forge.token(claims=forge.claims(verifier_nonce=NONCE))
    try:
        broker.clock.instant = AT + timedelta(seconds=seconds)
        response = broker.transfer(token, kept(broker, name, SGX_IDENTITY, members))
    finally:
        broker.clock.instant = AT
    refused(broker, response)
    assert [mismatch["rule"] for mismatch in response.json()["mismatches"]] == [rule]


def refused(broker: Broker, response: httpx.Response) -> None:
    assert response.status_code == 401, response.text
    assert "wrapped" not in response.text
    assert SECRET.decode() not in response.text
    assert broker.decisions[-1]["verdict"] == "refused"
