"""Keys below /broker/v1: versions, states, labels, and opaque secrets."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.integration.keybroker.forge import MR_ENCLAVE, Forge
from tests.integration.keybroker.scene import Broker, Person

from ambergate.core.release.envelope import open_sealed

if TYPE_CHECKING:
    import httpx

PATH = "/broker/v1/keys"


@pytest.fixture
def admin(broker: Broker) -> Person:
    return Person(broker)


def policy(person: Person) -> str:
    body = {"release_policy": {"mr_enclave": [MR_ENCLAVE]}}
    return str(person("POST", "/kbs/v1/key-transfer-policies", json=body).json()["id"])


def made(person: Person, material: bytes | None = None, **more: object) -> dict[str, Any]:
    given = {} if material is None else {"material": b64encode(material).decode()}
    response = person("POST", PATH, json={"policy_id": policy(person), **given, **more})
    assert response.status_code == 201, response.text
    found = response.json()
    assert isinstance(found, dict)
    return found


def released(person: Person, forge: Forge, key_id: str, query: str = "") -> bytes | int:
    response = person.broker.client.post(
        f"/kbs/v1/keys/{key_id}/transfer{query}", json={"attestation_token": forge.token()}
    )
    if response.status_code != 200:
        return response.status_code
    parts = (b64decode(response.json()[name]) for name in ("wrapped_key", "wrapped_swk"))
    return open_sealed(forge.workload_key, *parts)


def test_a_secret_over_its_life(admin: Person, forge: Forge) -> None:
    """Given, rotated, an older version disabled and destroyed, the key disabled and enabled."""
    key = made(admin, b"first", label="of the database")
    one = f"{PATH}/{key['id']}"
    assert (key["algorithm"], key["label"], key["version"], key["state"]) == ("OPAQUE", "of the database", 1, "enabled")
    assert released(admin, forge, key["id"]) == b"first"
    rotated = admin("POST", f"{one}/versions", json={"material": b64encode(b"second").decode()})
    assert (rotated.status_code, rotated.json()["version"]) == (201, 2)
    assert released(admin, forge, key["id"]) == b"second"
    assert released(admin, forge, key["id"], "?version=1") == b"first"
    assert admin("PUT", f"{one}/state", json={"state": "disabled", "version": 1}).status_code == 200
    assert released(admin, forge, key["id"], "?version=1") == 401
    assert admin("DELETE", f"{one}/versions/1").status_code == 204
    shown = admin("GET", one).json()
    assert shown["versions"] == [{"version": 1, "state": "destroyed"}, {"version": 2, "state": "enabled"}]
    assert shown["policy"]["mr_enclave"] == [MR_ENCLAVE]
    assert admin("PUT", f"{one}/state", json={"state": "disabled"}).json()["state"] == "disabled"
    assert released(admin, forge, key["id"]) == 401
    assert admin("PUT", f"{one}/state", json={"state": "enabled"}).json()["state"] == "enabled"
    assert released(admin, forge, key["id"]) == b"second"


def test_a_made_version(admin: Person, forge: Forge) -> None:
    key = made(admin, algorithm="AES", bits=128)
    before = released(admin, forge, key["id"])
    assert admin("POST", f"{PATH}/{key['id']}/versions", json={}).status_code == 201
    after = released(admin, forge, key["id"])
    assert isinstance(before, bytes)
    assert isinstance(after, bytes)
    assert before != after
    assert len(before) == len(after) == 16


def test_keys_are_listed_with_what_there_is_to_know(admin: Person) -> None:
    key = made(admin, b"secret-value")
    found = admin("GET", f"{PATH}?transferPolicyId={key['policy_id']}")
    assert found.json() == [key]
    assert "secret-value" not in found.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"policy_id": str(uuid4())},
        {"policy_id": "x"},
        {"algorithm": "DES"},
        {"label": "x" * 201},
        {"label": "a\nb"},
        {"manager": "nobody"},
        {"known_as": "a key that the built-in manager cannot have"},
        {"known_as": "x", "material": "AAAA"},
        {"known_as": ""},
        {"material": "!"},
        {"material": ""},
        {"more": 1},
    ],
)
def test_what_makes_no_key(admin: Person, body: dict[str, object]) -> None:
    whole = body if "policy_id" in body or not body else {"policy_id": policy(admin), **body}
    response: httpx.Response = admin("POST", PATH, json=whole)
    assert response.status_code == 400, response.text


def test_what_is_not_there_or_no_state(admin: Person) -> None:
    missing, key = f"{PATH}/{uuid4()}", made(admin, b"x")
    one = f"{PATH}/{key['id']}"
    assert admin("GET", missing).status_code == 404
    assert admin("POST", f"{missing}/versions", json={}).status_code == 404
    assert admin("PUT", f"{missing}/state", json={"state": "enabled"}).status_code == 404
    assert admin("DELETE", f"{missing}/versions/1").status_code == 404
    for number in ("2", "x", "1" * 20):
        assert admin("DELETE", f"{one}/versions/{number}").status_code == 404
    for state in (
        {"state": "destroyed"},
        {"state": "enabled", "version": 0},
        {"state": "enabled", "version": 10**30},
        {},
    ):
        assert admin("PUT", f"{one}/state", json=state).status_code == 400
