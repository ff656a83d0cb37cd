"""Passwords, bearer tokens, permissions, and who has to wait after too many failures."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from ambergate.core.errors import Conflict, Malformed, NotAuthorised, NotPermitted, SettingsError, TooManyRequests
from ambergate.services.keybroker import passwords as passwords_module
from ambergate.services.keybroker.bearer import LIFETIME, BearerTokens
from ambergate.services.keybroker.login import (
    ADDRESS_FREE,
    FIRST_WAIT,
    LONGEST_WAIT,
    USER_FREE,
    Login,
    user_key,
    wait_after,
)
from ambergate.services.keybroker.passwords import PARAMETERS, Passwords
from ambergate.services.keybroker.permissions import PERMISSIONS, read_permissions
from ambergate.services.keybroker.users import OPERATOR, Actor, Users
from ambergate.stores.engine import open_database
from ambergate.stores.login_failures import LoginFailures
from ambergate.stores.users import User, UserStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ambergate.services.keybroker.ports import Change

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
CHEAP = Passwords(argon2.profiles.CHEAPEST)
PASSWORD = "correct horse battery"
TOKENS = BearerTokens(b"k" * 32)


@dataclass
class Notes:
    """A journal on paper."""

    changes: list[Change] = field(default_factory=list)

    @contextmanager
    def change(self, change: Change) -> Iterator[None]:
        self.changes.append(change)
        yield


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def users(tmp_path: Path, notes: Notes) -> Iterator[Users]:
    engine = open_database(tmp_path / "broker.sqlite")
    yield Users(store=UserStore(engine), passwords=CHEAP, journal=notes)
    engine.dispose()


@pytest.fixture
def login(users: Users, notes: Notes) -> Login:
    users.create("alice", PASSWORD, ["keys:create"], by=OPERATOR, at=AT)
    failures = LoginFailures(users.store._engine)
    return Login(users=users.store, failures=failures, passwords=CHEAP, tokens=TOKENS, journal=notes)


def test_the_parameters_are_those_of_the_rfc() -> None:
    """RFC 9106, section 4: the second recommended option."""
    assert PARAMETERS.type is argon2.Type.ID
    assert (PARAMETERS.time_cost, PARAMETERS.memory_cost, PARAMETERS.parallelism) == (3, 65536, 4)
    assert (PARAMETERS.salt_len, PARAMETERS.hash_len) == (16, 32)
    assert Passwords().hash(PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_password_is_known_by_its_hash_alone() -> None:
    kept = CHEAP.hash(PASSWORD)
    assert CHEAP.holds(PASSWORD, kept)
    assert not CHEAP.holds(PASSWORD + " ", kept)
    assert not CHEAP.holds("a password that nobody has", None)
    assert not CHEAP.holds("x" * 257, kept)
    assert kept != CHEAP.hash(PASSWORD)


@pytest.mark.parametrize("password", ["", "eight888", "x" * 257, "nine\nnine9", "nine\x00nine"])
def test_a_password_that_cannot_be_taken_is_not_repeated(password: str) -> None:
    with pytest.raises(Malformed) as caught:
        CHEAP.hash(password)
    assert caught.value.seen is None


def test_a_hash_that_is_none_is_ours_to_mend() -> None:
    with pytest.raises(SettingsError):
        CHEAP.holds(PASSWORD, "$argon2id$nonsense")


def test_only_so_many_hash_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords_module, "WAIT_SECONDS", 0.0)
    busy = Passwords(argon2.profiles.CHEAPEST)
    for _ in range(passwords_module.AT_ONCE):
        assert busy._turns.acquire(blocking=False)
    with pytest.raises(Exception, match="too many are logging in"):
        busy.hash(PASSWORD)
    busy._turns.release()
    assert busy.hash(PASSWORD)


@pytest.mark.parametrize("name", PERMISSIONS)
def test_permissions_are_kept_in_one_spelling(name: str) -> None:
    assert read_permissions([name, name.replace("key-transfer-policies", "key_transfer_policies")]) == {name}


@pytest.mark.parametrize("name", ["", "keys", "keys:*", "*:*", "Keys:create", "users:transfer", "keys:create "])
def test_what_is_no_permission(name: str) -> None:
    with pytest.raises(Malformed):
        read_permissions(["keys:create", name])
    with pytest.raises(Malformed):
        read_permissions([])


def user(**more: Any) -> User:  # noqa: ANN401  any of its members
    made: dict[str, Any] = {"permissions": frozenset({"keys:create"}), "generation": 3, **more}
    return User(id=uuid4(), username="alice", password="p", created_at=AT, updated_at=AT, **made)


def test_a_token_names_its_user_and_generation() -> None:
    alice = user()
    token = TOKENS.issue(alice, at=AT)
    assert TOKENS.read(token, at=AT) == (bearer := TOKENS.read(token, at=AT + LIFETIME - timedelta(seconds=1)))
    assert (bearer.user_id, bearer.generation) == (alice.id, 3)
    assert repr(TOKENS) == "BearerTokens(...)"


@pytest.mark.parametrize("after", [timedelta(seconds=-1), LIFETIME, timedelta(days=365)])
def test_a_token_has_its_time(after: timedelta) -> None:
    token = TOKENS.issue(user(), at=AT)
    with pytest.raises(NotAuthorised):
        TOKENS.read(token, at=AT + after)


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims(**more: object) -> dict[str, Any]:
    at = int(AT.timestamp())
    known = {"iss": "ambergate key broker", "ID": str(uuid4()), "gen": 1, "nbf": at, "exp": at + 60}
    return {**known, **more}


def signed(body: dict[str, Any], key: bytes = b"k" * 32, alg: str = "HS256", **header: object) -> str:
    return jwt.encode({"alg": alg, **header}, body, OctKey.import_key(key), algorithms=[alg])


FORGED = {
    "empty": "",
    "words": "not.a.token",
    "none": f"{b64({'alg': 'none'})}.{b64(claims())}.",
    "no signature": f"{b64({'alg': 'HS256'})}.{b64(claims())}.",
    "another key": signed(claims(), b"x" * 32),
    "another algorithm": signed(claims(), b"k" * 64, "HS512"),
    "another issuer": signed(claims(iss="https://attest.example")),
    "no user": signed({name: value for name, value in claims().items() if name != "ID"}),
    "no end": signed({name: value for name, value in claims().items() if name != "exp"}),
    "a user of another kind": signed(claims(ID=7)),
    "an end of another kind": signed(claims(exp="never")),
    "an end beyond all": signed(claims(exp=10**30)),
    "no generation": signed(claims(gen=None)),
    "long": "a" * 5000,
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_opens_nothing(name: str) -> None:
    assert TOKENS.read(signed(claims()), at=AT).generation == 1
    with pytest.raises(NotAuthorised):
        TOKENS.read(FORGED[name], at=AT)


@given(st.text())
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(NotAuthorised):
        TOKENS.read(text, at=AT)


def test_a_login_gives_a_token(login: Login, notes: Notes) -> None:
    token = login("alice", PASSWORD, address="10.0.0.1", at=AT)
    alice = login.users.named("alice")
    assert alice is not None
    assert TOKENS.read(token, at=AT).user_id == alice.id
    (_, change) = notes.changes
    assert (change.what, change.by, change.details) == ("login", "alice", {"address": "10.0.0.1"})


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong wrong"), ("bob", PASSWORD), ("alice", "x" * 5000)])
def test_a_wrong_login_does_not_say_what_is_wrong(login: Login, notes: Notes, name: str, password: str) -> None:
    with pytest.raises(NotAuthorised) as caught:
        login(name, password, address="10.0.0.1", at=AT)
    assert caught.value.as_dict() == {"code": "bad-credentials", "message": "user name or password are wrong"}
    assert "bob" not in str(notes.changes[-1])


@pytest.mark.parametrize(("name", "password"), [("", PASSWORD), ("alice", "")])
def test_an_empty_login_is_none(login: Login, name: str, password: str) -> None:
    with pytest.raises(Malformed):
        login(name, password, address="10.0.0.1", at=AT)


def fail(login: Login, times: int, *, name: str = "alice", address: str = "10.0.0.1", at: datetime = AT) -> None:
    for _ in range(times):
        with pytest.raises(NotAuthorised):
            login(name, "wrong wrong", address=address, at=at)


def test_a_user_waits_after_failures_wherever_they_come_from(login: Login) -> None:
    """The right password too: it is not looked at."""
    for n in range(USER_FREE):
        fail(login, 1, address=f"10.0.0.{n}")
    with pytest.raises(TooManyRequests) as caught:
        login("alice", PASSWORD, address="10.9.9.9", at=AT)
    assert (caught.value.code, caught.value.retry_after) == ("locked-out", 30)
    assert login("alice", PASSWORD, address="10.9.9.9", at=AT + FIRST_WAIT)


def test_each_further_failure_doubles_the_wait(login: Login) -> None:
    fail(login, USER_FREE)
    at = AT + FIRST_WAIT
    fail(login, 1, at=at)
    with pytest.raises(TooManyRequests) as caught:
        login("alice", PASSWORD, address="10.0.0.1", at=at)
    assert caught.value.retry_after == 60


def test_a_name_that_nobody_has_waits_as_well(login: Login) -> None:
    fail(login, USER_FREE, name="nobody")
    with pytest.raises(TooManyRequests):
        login("nobody", PASSWORD, address="10.0.0.2", at=AT)


def test_an_address_waits_whatever_names_it_tries(login: Login) -> None:
    for n in range(ADDRESS_FREE):
        fail(login, 1, name=f"name{n}")
    with pytest.raises(TooManyRequests):
        login("alice", PASSWORD, address="10.0.0.1", at=AT)
    assert login("alice", PASSWORD, address="10.0.0.2", at=AT)


def test_a_login_forgets_the_users_failures_and_not_the_addresss(login: Login) -> None:
    fail(login, USER_FREE - 1)
    login("alice", PASSWORD, address="10.0.0.1", at=AT)
    assert login.failures.of(user_key("alice"), at=AT) is None
    assert login.failures.of("address 10.0.0.1", at=AT) == (USER_FREE - 1, AT)


@given(st.integers(0, 10**6), st.integers(1, 100))
def test_waits_grow_to_a_limit(failures: int, free: int) -> None:
    assert timedelta() <= wait_after(failures, free) <= wait_after(failures + 1, free) <= LONGEST_WAIT
    assert (wait_after(failures, free) == timedelta()) == (failures < free)


def test_nobody_gives_what_they_do_not_have(users: Users) -> None:
    """Neither by making a user, nor by changing one, nor by taking the account of one who may do more."""
    admin = users.create("admin", PASSWORD, PERMISSIONS, by=OPERATOR, at=AT)
    clerk = Actor("clerk", frozenset({"users:create", "users:update", "users:delete", "keys:create"}))
    made = users.create("bob", PASSWORD, ["keys:create"], by=clerk, at=AT)
    for act in (
        lambda: users.create("eve", PASSWORD, ["keys:delete"], by=clerk, at=AT),
        lambda: users.update(made.id, by=clerk, at=AT, permissions=["keys:create", "keys:transfer"]),
        lambda: users.update(admin.id, by=clerk, at=AT, password="a new password"),
        lambda: users.update(admin.id, by=clerk, at=AT, permissions=["keys:create"]),
        lambda: users.remove(admin.id, by=clerk, at=AT),
        lambda: users.end_tokens(admin.id, by=clerk, at=AT),
    ):
        with pytest.raises(NotPermitted) as caught:
            act()
        assert caught.value.code == "beyond-own-permissions"
    users.remove(made.id, by=clerk, at=AT)
    assert [each.username for each in users.store.all()] == ["admin"]


def test_changes_are_written_down_without_the_password(users: Users, notes: Notes) -> None:
    bob = users.create("bob", PASSWORD, ["keys:create"], by=OPERATOR, at=AT)
    users.update(bob.id, by=OPERATOR, at=AT, username="robert", password="another password")
    users.end_tokens(bob.id, by=OPERATOR, at=AT)
    users.remove(bob.id, by=OPERATOR, at=AT)
    assert [change.what for change in notes.changes] == [
        "user.create",
        "user.update",
        "user.end-tokens",
        "user.delete",
    ]
    assert notes.changes[1].details["username"] == "robert"
    written = str(notes.changes)
    assert PASSWORD not in written
    assert "another password" not in written
    assert "argon2" not in written


def test_a_change_ends_tokens_and_keeps_the_rest(users: Users) -> None:
    bob = users.create("bob", PASSWORD, ["keys:create"], by=OPERATOR, at=AT)
    later = AT + timedelta(days=1)
    changed = users.update(bob.id, by=OPERATOR, at=later, permissions=["keys:search"])
    assert (changed.username, changed.password, changed.generation) == ("bob", bob.password, 2)
    assert (changed.created_at, changed.updated_at) == (AT, later)


@pytest.mark.parametrize("name", ["", " alice", "a b", "-x", "(local)", "(unknown)", "x" * 256, "a\n", "ä", "a/b"])
def test_what_is_no_user_name(users: Users, name: str) -> None:
    with pytest.raises(Malformed):
        users.create(name, PASSWORD, ["keys:create"], by=OPERATOR, at=AT)


def test_a_name_is_given_once(users: Users) -> None:
    users.create("x@example.org", PASSWORD, ["keys:create"], by=OPERATOR, at=AT)
    with pytest.raises(Conflict):
        users.create("x@example.org", PASSWORD, ["keys:create"], by=OPERATOR, at=AT)
