"""Policies of keys that have owners, changed over HTTP: users propose and hand in; only owners' signatures count."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.keybroker.forge import AT, MR_ENCLAVE, Forge
from tests.integration.keybroker.scene import SECRET, Broker, Person
from tests.integration.keybroker.test_management import JSON
from tests.integration.keybroker.test_remote_commands import Remote
from tests.unit.release.test_owners import KEYS, OWNERS, STRANGER

from ambergate.cli.main import main
from ambergate.core.release.owners import MAX_APPROVAL, MAX_APPROVALS, PolicyChange, approve, digest
from ambergate.core.release.resource_policy import ResourcePolicy

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

CHANGES: Final = "/broker/v1/policy-changes"
OWNED: Final = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "owners": OWNERS.to_mapping()})
OTHER: Final = {"mr_enclave": ["11" * 32]}


@pytest.fixture
def key(broker: Broker) -> UUID:
    """A key two of whose three owners must approve."""
    key = uuid4()
    broker.store.add(key, SECRET, OWNED, at=AT)
    return key


@pytest.fixture(scope="module")
def clerk(broker: Broker) -> Person:
    return Person(broker, "keys:update", "keys:search")


def proposed(clerk: Person, key: UUID, policy: object = OTHER, **more: object) -> dict[str, Any]:
    body = {"key_id": str(key), "policy": {"release_policy": policy}, **more}
    answer = clerk("POST", CHANGES, json=body, headers=JSON)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def signed(told: dict[str, Any], owner: Any) -> str:  # noqa: ANN401
    """As an owner signs: what is in the answer, and nothing that the broker computed of it."""
    before, after = (ResourcePolicy.from_mapping(told[name]).to_json() for name in ("before", "after"))
    expires_at = datetime.fromisoformat(told["expires_at"])
    change = PolicyChange(
        id=told["id"], key_id=told["key_id"], before=digest(before), after=after, expires_at=expires_at
    )
    return approve(change, owner)


def handed_in(clerk: Person, change: str, approval: str) -> httpx.Response:
    return clerk("POST", f"{CHANGES}/{change}/approvals", json={"approval": approval}, headers=JSON)


def policy_of(broker: Broker, key: UUID) -> dict[str, object]:
    found = broker.store.find(key)
    assert found is not None
    return found.policy.to_mapping()


def test_two_owners_approve_and_the_change_is_in_force(broker: Broker, clerk: Person, key: UUID, forge: Forge) -> None:
    told = proposed(clerk, key, days=3)
    assert (told["key_id"], told["approved_by"], told["needed"], told["in_force"]) == (str(key), [], 2, False)
    assert (told["before"], told["after"]["mr_enclave"]) == (OWNED.to_mapping(), OTHER["mr_enclave"])
    assert datetime.fromisoformat(told["expires_at"]) == (AT + timedelta(days=3)).replace(microsecond=0)
    assert told["proposed_by"] == clerk.name
    assert clerk("GET", f"{CHANGES}/{told['id']}").json() == told
    first = handed_in(clerk, told["id"], signed(told, KEYS[0])).json()
    assert (len(first["approved_by"]), first["in_force"]) == (1, False)
    assert broker.transfer(forge.token(), key).status_code == 200, "the old policy holds until then"
    second = handed_in(clerk, told["id"], signed(told, KEYS[1])).json()
    assert (len(second["approved_by"]), second["needed"], second["in_force"]) == (2, 2, True)
    assert policy_of(broker, key)["mr_enclave"] == OTHER["mr_enclave"]
    assert broker.transfer(forge.token(), key).status_code == 401
    assert clerk("GET", f"{CHANGES}/{told['id']}").status_code == 404
    told_of = [each["event"] for each in broker.decisions if each.get("subject") == str(key)]
    assert told_of == [name for name in ("change.propose", *["change.approve"] * 2, "key.set-policy") for _ in (1, 2)]


@pytest.mark.parametrize("kind", ["stranger", "other change", "words", "long"])
def test_what_no_owner_signed_is_a_bad_request(broker: Broker, clerk: Person, key: UUID, kind: str) -> None:
    """It is no question of who sends it: no 401, which would have a client log in again."""
    told = proposed(clerk, key)
    approval = {
        "stranger": signed(told, STRANGER),
        "other change": signed(proposed(clerk, key), KEYS[0]),
        "words": "a.b.c",
        "long": "a" * (MAX_APPROVAL + 1),
    }[kind]
    for _ in range(2):
        assert handed_in(clerk, told["id"], approval).status_code == 400
    assert clerk("GET", f"{CHANGES}/{told['id']}").json()["approved_by"] == []
    assert policy_of(broker, key) == OWNED.to_mapping()


def test_one_owner_twice_is_one(broker: Broker, clerk: Person, key: UUID) -> None:
    told = proposed(clerk, key)
    for _ in range(3):
        assert len(handed_in(clerk, told["id"], signed(told, KEYS[2])).json()["approved_by"]) == 1
    assert policy_of(broker, key) == OWNED.to_mapping()


def test_one_owner_cannot_take_the_room_of_the_others(broker: Broker, clerk: Person, key: UUID) -> None:
    told = proposed(clerk, key)
    signatures = {signed(told, KEYS[0]) for _ in range(MAX_APPROVALS + 1)}
    assert len(signatures) == MAX_APPROVALS + 1
    assert {handed_in(clerk, told["id"], each).status_code for each in signatures} == {200}
    assert handed_in(clerk, told["id"], signed(told, KEYS[1])).json()["in_force"]
    assert policy_of(broker, key)["mr_enclave"] == OTHER["mr_enclave"]


def test_a_change_lapses(broker: Broker, clerk: Person, key: UUID) -> None:
    told = proposed(clerk, key, days=1)
    assert handed_in(clerk, told["id"], signed(told, KEYS[0])).status_code == 200
    broker.clock.instant = AT + timedelta(days=1)
    try:
        late = Person(broker, "keys:update")
        answer = handed_in(late, told["id"], signed(told, KEYS[1]))
    finally:
        broker.clock.instant = AT
    assert (answer.status_code, answer.json()["code"]) == (401, "approval-needed")
    assert policy_of(broker, key) == OWNED.to_mapping()


def test_a_key_that_moved_away_from_a_change(broker: Broker, clerk: Person, key: UUID) -> None:
    """What was approved from one policy is not made from another."""
    older, newer = (
        proposed(clerk, key),
        proposed(clerk, key, {"mr_enclave": ["22" * 32], "owners": OWNERS.to_mapping()}),
    )
    assert handed_in(clerk, older["id"], signed(older, KEYS[0])).status_code == 200
    for owner in KEYS[:2]:
        assert handed_in(clerk, newer["id"], signed(newer, owner)).status_code == 200
    for answer in (
        handed_in(clerk, older["id"], signed(older, KEYS[1])),
        clerk("GET", f"{CHANGES}/{older['id']}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "other-change")
    assert policy_of(broker, key)["mr_enclave"] == ["22" * 32]


def test_last_approvals_of_one_moment_are_all_good(broker: Broker, clerk: Person, key: UUID) -> None:
    told = proposed(clerk, key)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda owner: handed_in(clerk, told["id"], signed(told, owner)), KEYS))
    assert {each.status_code for each in answers} <= {200, 400, 404}, [each.text for each in answers]
    assert any(each.status_code == 200 and each.json()["in_force"] for each in answers)
    assert policy_of(broker, key)["mr_enclave"] == OTHER["mr_enclave"]


def test_changes_are_listed_in_pages_and_withdrawn(clerk: Person, key: UUID) -> None:
    made = {proposed(clerk, key)["id"] for _ in range(3)}
    every = clerk("GET", CHANGES).json()
    assert made <= {each["id"] for each in every}
    assert {each["from"] for each in every if each["id"] in made} == {digest(OWNED.to_json())}
    first = clerk("GET", f"{CHANGES}?limit=1").json()
    rest = clerk("GET", f"{CHANGES}?after={first[0]['id']}").json()
    assert first + rest == every
    for change in made:
        assert clerk("DELETE", f"{CHANGES}/{change}").status_code == 204
        assert clerk("DELETE", f"{CHANGES}/{change}").status_code == 404


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"key_id": "no id"}, "malformed-key-id"),
        ({"key_id": str(UUID(int=77))}, "unknown-key"),
        ({"policy": {}}, "malformed-policy"),
        ({"policy": {"release_policy": {"mr_enclave": ["11"]}}}, "malformed-policy"),
        ({"days": 0}, "malformed-request"),
        ({"days": 31}, "malformed-request"),
        ({"more": 1}, "malformed-request"),
    ],
)
def test_what_cannot_be_proposed(clerk: Person, key: UUID, change: dict[str, object], code: str) -> None:
    body = {"key_id": str(key), "policy": {"release_policy": OTHER}, **change}
    answer = clerk("POST", CHANGES, json=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_key_without_owners_asks_nobody(broker: Broker, clerk: Person) -> None:
    free = uuid4()
    broker.store.add(free, SECRET, ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE}), at=AT)
    body = {"key_id": str(free), "policy": {"release_policy": OTHER}}
    answer = clerk("POST", CHANGES, json=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "no-owners")


def test_by_command_from_another_machine(broker: Broker, ca: Path, tmp_path: Path, key: UUID) -> None:
    """Proposed and handed in over HTTPS; signed offline, of what `show` prints."""
    remote = Remote(broker, ca, tmp_path, "keys:update", "keys:search")
    (tmp_path / "other.toml").write_text(f'mr_enclave = "{OTHER["mr_enclave"][0]}"\n')
    made = remote.run("change", "propose", "--id", str(key), "--policy", str(tmp_path / "other.toml"))
    assert made.exit_code == 0, made.output
    change = json.loads(made.stdout)["id"]
    (tmp_path / "change.json").write_text(remote.run("change", "show", change).stdout)
    for number, owner in enumerate(KEYS[:2]):
        pem = owner.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "owner.pem").write_bytes(pem)
        command = ["keybroker", "change", "sign", str(tmp_path / "change.json"), "--key", str(tmp_path / "owner.pem")]
        done = CliRunner().invoke(main, [*command, "--yes"], catch_exceptions=False)
        (tmp_path / "approval.jws").write_text(done.stdout)
        told = remote.told("change", "approve", change, "--approval", str(tmp_path / "approval.jws"))
        assert told["in_force"] is (number == 1)
        waiting = {each["id"]: each for each in remote.told("change", "list")}
        assert (change in waiting) is (number == 0)
    assert policy_of(broker, key)["mr_enclave"] == OTHER["mr_enclave"]
    assert remote.run("change", "withdraw", change).exit_code == 1
