"""Who may ask what: every user, permission and route. A route that is not in this table fails it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import pytest
from tests.integration.keybroker.forge import AT
from tests.integration.keybroker.scene import KEY_ID, Broker

from ambergate.services.keybroker.access import GuardedRoute
from ambergate.services.keybroker.bearer import BearerTokens
from ambergate.services.keybroker.permissions import PERMISSIONS
from ambergate.stores.users import User

if TYPE_CHECKING:
    import httpx

# What each route of the management surface asks for; None: any user may.
GUARDED: Final[dict[tuple[str, str], str | None]] = {
    ("POST", "/kbs/v1/users"): "users:create",
    ("GET", "/kbs/v1/users"): "users:search",
    ("GET", "/kbs/v1/users/{id}"): "users:search",
    ("PUT", "/kbs/v1/users/{id}"): "users:update",
    ("DELETE", "/kbs/v1/users/{id}"): "users:delete",
    ("POST", "/kbs/v1/key-transfer-policies"): "key-transfer-policies:create",
    ("GET", "/kbs/v1/key-transfer-policies"): "key-transfer-policies:search",
    ("GET", "/kbs/v1/key-transfer-policies/{id}"): "key-transfer-policies:search",
    ("DELETE", "/kbs/v1/key-transfer-policies/{id}"): "key-transfer-policies:delete",
    ("POST", "/kbs/v1/keys"): "keys:create",
    ("GET", "/kbs/v1/keys"): "keys:search",
    ("GET", "/kbs/v1/keys/{id}"): "keys:search",
    ("PUT", "/kbs/v1/keys/{id}"): "keys:update",
    ("DELETE", "/kbs/v1/keys/{id}"): "keys:delete",
    ("POST", "/kbs/v1/keys/{id}"): "keys:transfer",
    ("POST", "/broker/v1/keys"): "keys:create",
    ("GET", "/broker/v1/keys"): "keys:search",
    ("GET", "/broker/v1/keys/{id}"): "keys:search",
    ("POST", "/broker/v1/keys/{id}/versions"): "keys:update",
    ("PUT", "/broker/v1/keys/{id}/state"): "keys:update",
    ("DELETE", "/broker/v1/keys/{id}/versions/{number}"): "keys:delete",
    ("POST", "/broker/v1/policy-changes"): "keys:update",
    ("GET", "/broker/v1/policy-changes"): "keys:search",
    ("GET", "/broker/v1/policy-changes/{id}"): "keys:search",
    ("DELETE", "/broker/v1/policy-changes/{id}"): "keys:update",
    ("POST", "/broker/v1/policy-changes/{id}/approvals"): "keys:update",
    ("PUT", "/broker/v1/password"): None,
    ("DELETE", "/broker/v1/tokens"): None,
}
# Open to everybody: each says by itself what it asks for.
OPEN: Final = {
    ("POST", "/kbs/v1/keys/{id}/transfer"),  # an attestation token
    ("POST", "/kbs/v1/token"),  # name and password
    ("GET", "/kbs/v1/version"),
    ("GET", "/healthz"),
    ("GET", "/openapi.json"),
    ("GET", "/readyz"),
}
REFUSALS: Final = {"no-bearer-token", "bad-bearer-token", "not-permitted"}
TOKENS: Final = BearerTokens(b"b" * 32)


@pytest.fixture(scope="module")
def people(broker: Broker) -> dict[str, User]:
    """One for each permission, one for each but one, one with all of them."""
    held = {
        "all": PERMISSIONS,
        **{f"only {each}": (each,) for each in PERMISSIONS},
        **{f"not {each}": tuple(other for other in PERMISSIONS if other != each) for each in PERMISSIONS},
    }
    made = {}
    for name, permissions in held.items():
        identity = uuid4()
        user = User(
            id=identity,
            username=f"access-{identity}",  # tests run in any order, and this again when another module's came between
            password="none",
            permissions=frozenset(permissions),
            generation=1,
            created_at=AT,
            updated_at=AT,
        )
        broker.state.users.add(user)
        made[name] = user
    return made


def asked(broker: Broker, method: str, path: str, authorization: str | None) -> str | None:
    """The code of the answer; None for one that was let pass."""
    headers = {} if authorization is None else {"authorization": authorization}
    response = broker.client.request(method, path.replace("{id}", str(uuid4())), headers=headers)
    if response.status_code != 401:
        return None
    return str(response.json()["code"])


def test_every_route_stands_in_the_table(broker: Broker) -> None:
    guarded, others = {}, set()
    for route in broker.app.routes:
        for method in route.methods - {"HEAD"}:  # type: ignore[attr-defined]
            if isinstance(route, GuardedRoute):
                guarded[method, route.path] = route.permission
            else:
                others.add((method, route.path))  # type: ignore[attr-defined]
    assert guarded == GUARDED
    assert others == OPEN


def test_every_permission_opens_something() -> None:
    assert set(PERMISSIONS) == {each for each in GUARDED.values() if each is not None}


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_user_may_what_they_have_the_permission_for(
    broker: Broker, people: dict[str, User], method: str, path: str
) -> None:
    """100 % of users x permissions x routes."""
    needed = GUARDED[method, path]
    for name, kept in people.items():
        user = broker.state.users.get(kept.id)  # of today's generation: some of these routes end tokens
        code = asked(broker, method, path, f"Bearer {TOKENS.issue(user, at=AT)}")
        allowed = needed is None or needed in user.permissions
        assert (code not in REFUSALS) == allowed, (name, code)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_who_has_no_good_token_may_nothing(broker: Broker, people: dict[str, User], method: str, path: str) -> None:
    user = broker.state.users.get(people["all"].id)
    good = TOKENS.issue(user, at=AT)
    gone = User(**{name: getattr(user, name) for name in User.__slots__} | {"id": UUID(int=0)})
    older = User(**{name: getattr(user, name) for name in User.__slots__} | {"generation": user.generation - 1})
    worthless = {
        "none": None,
        "empty": "",
        "no scheme": good,
        "basic": f"Basic {good}",
        "no token": "Bearer",
        "words": "Bearer a.b.c",
        "changed": f"Bearer {good[:-4]}AAAA",
        "another key": f"Bearer {BearerTokens(b'c' * 32).issue(user, at=AT)}",
        "expired": f"Bearer {TOKENS.issue(user, at=AT - timedelta(minutes=5))}",
        "of the future": f"Bearer {TOKENS.issue(user, at=AT + timedelta(seconds=1))}",
        "nobody's": f"Bearer {TOKENS.issue(gone, at=AT)}",
        "ended": f"Bearer {TOKENS.issue(older, at=AT)}",
    }
    for name, authorization in worthless.items():
        assert asked(broker, method, path, authorization) in {"no-bearer-token", "bad-bearer-token"}, name


def test_a_refusal_comes_before_anything_is_read(broker: Broker) -> None:
    """Neither media types nor bodies nor ids are looked at for strangers."""
    headers = {"accept": "text/html", "content-type": "text/html"}
    response: httpx.Response = broker.client.post("/kbs/v1/users", content=b"{" * 1000, headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "no-bearer-token")


def test_no_bearer_token_opens_a_transfer(broker: Broker, people: dict[str, User]) -> None:
    """It is no attestation token, whatever its user may do."""
    token = TOKENS.issue(broker.state.users.get(people["all"].id), at=AT)
    assert broker.transfer(token, KEY_ID).status_code == 401
