"""Tokens and users over real TLS: the requests that Intel's Key Broker Service documents, and what they get."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from tests.integration.keybroker.forge import AT
from tests.integration.keybroker.scene import PASSWORD, Person, login

from ambergate.services.keybroker.login import USER_FREE
from ambergate.services.keybroker.permissions import PERMISSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.keybroker.scene import Broker

JSON = {"accept": "application/json", "content-type": "application/json"}


@pytest.fixture
def admin(broker: Broker) -> Person:
    return Person(broker)


@pytest.fixture(autouse=True)
def fresh_address(broker: Broker) -> Iterator[None]:
    """All tests come from one address: its failures are forgotten between them."""
    yield
    broker.clock.instant = AT
    broker.state.failures.forget("address 127.0.0.1")


def test_a_token_is_bare_text(broker: Broker, admin: Person) -> None:
    response = login(broker, admin.name)
    assert response.status_code == 200
    assert response.text.count(".") == 2
    assert response.headers["content-type"] == "application/jwt"
    assert response.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{}", 400),
        (b'{"username":"a"}', 400),
        (b'{"username":"a","password":""}', 400),
        (b'{"username":"a","password":"b","more":1}', 400),
        (b'{"username":"nobody","password":"testUserPassword"}', 401),
    ],
)
def test_what_gets_no_token(broker: Broker, body: bytes, status: int) -> None:
    headers = {"accept": "application/jwt", "content-type": "application/json"}
    response = broker.client.post("/kbs/v1/token", content=body, headers=headers)
    assert response.status_code == status
    assert response.json()["error"]


def test_a_token_is_asked_for_by_its_media_type(broker: Broker, admin: Person) -> None:
    assert login(broker, admin.name, accept="application/json").status_code == 415
    assert login(broker, admin.name, **{"content-type": "text/plain"}).status_code == 415


def test_who_fails_too_often_waits(broker: Broker, admin: Person) -> None:
    for _ in range(USER_FREE):
        assert login(broker, admin.name, "wrong").status_code == 401
    refused = login(broker, admin.name)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert refused.json()["message"]
    broker.clock.instant = AT + timedelta(seconds=30)
    assert login(broker, admin.name).status_code == 200


def test_users_as_documented(admin: Person) -> None:
    """Create, retrieve, search, update and delete, with the bodies of Intel's documentation."""
    name = f"test-{uuid4()}"
    body = {"username": name, "password": PASSWORD, "permissions": ["users:create", "keys:create"]}
    created = admin("POST", "/kbs/v1/users", json=body, headers=JSON)
    assert created.status_code == 201
    user = created.json()
    assert set(user) == {"id", "created_at", "updated_at", "username", "permissions"}
    assert (user["username"], user["permissions"]) == (name, ["keys:create", "users:create"])
    assert UUID(user["id"]).version == 4
    assert user["created_at"] == AT.isoformat().replace("+00:00", "Z")
    accept = {"accept": "application/json"}
    assert admin("GET", f"/kbs/v1/users/{user['id']}", headers=accept).json() == user
    assert admin("GET", f"/kbs/v1/users?username={name}", headers=accept).json() == [user]
    assert user in admin("GET", "/kbs/v1/users", headers=accept).json()
    changed = {"username": f"{name}2", "password": "testUserPassword2", "permissions": ["keys:search"]}
    updated = admin("PUT", f"/kbs/v1/users/{user['id']}", json=changed, headers=JSON)
    assert (updated.status_code, updated.json()["permissions"]) == (201, ["keys:search"])
    assert login(admin.broker, f"{name}2", "testUserPassword2").status_code == 200
    assert admin("DELETE", f"/kbs/v1/users/{user['id']}").status_code == 204
    assert admin("GET", f"/kbs/v1/users/{user['id']}", headers=accept).status_code == 404
    assert login(admin.broker, f"{name}2", "testUserPassword2").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "x", "password": PASSWORD},
        {"username": "x", "password": PASSWORD, "permissions": []},
        {"username": "x", "password": PASSWORD, "permissions": ["keys:fly"]},
        {"username": "x y", "password": PASSWORD, "permissions": ["keys:create"]},
        {"username": "x", "password": "short", "permissions": ["keys:create"]},
        {"username": "x", "password": PASSWORD, "permissions": ["keys:create"], "admin": True},
        {"username": "x", "password": PASSWORD, "permissions": "keys:create"},
    ],
)
def test_what_makes_no_user(admin: Person, body: dict[str, object]) -> None:
    response = admin("POST", "/kbs/v1/users", json=body)
    assert response.status_code == 400
    assert PASSWORD not in response.text


def test_a_name_is_taken_once(admin: Person) -> None:
    body = {"username": admin.name, "password": PASSWORD, "permissions": ["keys:create"]}
    assert admin("POST", "/kbs/v1/users", json=body).status_code == 400


def test_an_unknown_user(admin: Person) -> None:
    """404 where that is documented; an update of nobody is 400."""
    path = f"/kbs/v1/users/{uuid4()}"
    statuses = [admin(method, path, json={} if method == "PUT" else None).status_code for method in ("GET", "DELETE")]
    assert statuses == [404, 404]
    assert admin("PUT", path, json={"password": PASSWORD}).status_code == 400
    assert admin("GET", "/kbs/v1/users/42").status_code == 404
    assert admin("GET", "/kbs/v1/users?username=nobody").json() == []


@pytest.mark.parametrize("query", ["name=x", "username=a&username=b", "username=a&more=1"])
def test_an_unknown_query_is_refused(admin: Person, query: str) -> None:
    assert admin("GET", f"/kbs/v1/users?{query}").status_code == 400


def test_a_change_ends_the_users_tokens(admin: Person) -> None:
    other = Person(admin.broker, "keys:search", "users:search")
    assert other("GET", "/kbs/v1/users").status_code == 200
    assert admin("PUT", f"/kbs/v1/users/{other.id}", json={"permissions": ["keys:search"]}).status_code == 201
    assert other("GET", "/kbs/v1/users").status_code == 401
    other.token = login(admin.broker, other.name).text
    assert other("GET", "/kbs/v1/users").json()["code"] == "not-permitted"


def test_nobody_makes_themselves_more(admin: Person) -> None:
    clerk = Person(admin.broker, "users:create", "users:update")
    body = {"username": f"eve-{uuid4()}", "password": PASSWORD, "permissions": ["keys:transfer"]}
    assert clerk("POST", "/kbs/v1/users", json=body).json()["code"] == "beyond-own-permissions"
    raised = clerk("PUT", f"/kbs/v1/users/{clerk.id}", json={"permissions": list(PERMISSIONS)})
    assert raised.status_code == 401
    assert clerk("PUT", f"/kbs/v1/users/{admin.id}", json={"password": "a new password"}).status_code == 401


def test_a_user_sets_their_own_password(broker: Broker) -> None:
    person = Person(broker, "keys:search")
    wrong = person("PUT", "/broker/v1/password", json={"old_password": "wrong wrong", "new_password": "a new password"})
    assert wrong.status_code == 401
    right = person("PUT", "/broker/v1/password", json={"old_password": PASSWORD, "new_password": "a new password"})
    assert right.status_code == 204
    assert person("DELETE", "/broker/v1/tokens").status_code == 401
    assert login(broker, person.name).status_code == 401
    assert login(broker, person.name, "a new password").status_code == 200


def test_a_user_ends_their_own_tokens(broker: Broker) -> None:
    person = Person(broker, "keys:search")
    assert person("DELETE", "/broker/v1/tokens").status_code == 204
    assert person("DELETE", "/broker/v1/tokens").status_code == 401


def test_all_of_it_is_written_down(admin: Person) -> None:
    before = len(admin.broker.decisions)
    name = f"test-{uuid4()}"
    body = {"username": name, "password": PASSWORD, "permissions": ["keys:create"]}
    admin("POST", "/kbs/v1/users", json=body, headers={"request-id": "spring"})
    login(admin.broker, name, "wrong wrong")
    records = admin.broker.decisions[before:]
    assert [(each["event"], each["verdict"]) for each in records] == [
        ("user.create", "begun"),
        ("user.create", "done"),
        ("login", "begun"),
        ("login", "failed"),
    ]
    assert (records[1]["user"], records[1]["request_id"]) == (admin.name, "spring")
    assert records[3]["details"] == {"address": "127.0.0.1"}
    assert PASSWORD not in str(records)
