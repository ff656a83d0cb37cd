"""Users and failed logins in a database, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update

from ambergate.core.errors import Conflict, NotFound, SettingsError
from ambergate.stores import login_failures, users
from ambergate.stores.login_failures import FORGOTTEN, LoginFailures
from ambergate.stores.tables import broker_users
from ambergate.stores.transactions import reading, writing
from ambergate.stores.users import User, UserStore

if TYPE_CHECKING:
    from sqlalchemy import Engine

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)


def user(name: str = "alice", *permissions: str) -> User:
    return User(
        id=uuid4(),
        username=name,
        password="$argon2id$hash",
        permissions=frozenset(permissions or ("keys:create",)),
        generation=1,
        created_at=AT,
        updated_at=AT,
    )


def test_a_user_comes_back_as_kept(engine: Engine) -> None:
    store, alice = UserStore(engine), user("alice", "keys:create", "users:search")
    store.add(alice)
    assert store.get(alice.id) == store.named("alice") == alice
    assert store.named("Alice") is None
    assert "argon2id" not in repr(alice)


def test_users_are_listed_by_name(engine: Engine) -> None:
    store = UserStore(engine)
    for name in ("bob", "Zoe", "alice"):
        store.add(user(name))
    assert [each.username for each in store.all()] == ["Zoe", "alice", "bob"]


def test_a_name_is_given_once(engine: Engine) -> None:
    store, alice, bob = UserStore(engine), user("alice"), user("bob")
    store.add(alice)
    store.add(bob)
    with pytest.raises(Conflict):
        store.add(user("alice"))
    with pytest.raises(Conflict):
        store.replace(bob, replace(bob, username="alice"))
    assert store.get(bob.id) == bob


def test_a_change_ends_the_tokens_of_before(engine: Engine) -> None:
    store, alice = UserStore(engine), user()
    store.add(alice)
    store.replace(alice, replace(alice, password="another"))
    assert (store.get(alice.id).generation, store.get(alice.id).password) == (2, "another")


def test_two_who_change_the_same_user_do_not_undo_each_other(engine: Engine) -> None:
    store, alice = UserStore(engine), user()
    store.add(alice)
    store.replace(alice, replace(alice, permissions=frozenset({"keys:search"})))
    with pytest.raises(Conflict) as caught:
        store.replace(alice, replace(alice, password="another"))
    assert caught.value.code == "changed-meanwhile"


def test_a_removed_user_is_gone(engine: Engine) -> None:
    store, alice = UserStore(engine), user()
    store.add(alice)
    store.remove(alice.id)
    for act in (lambda: store.remove(alice.id), lambda: store.get(alice.id), lambda: store.replace(alice, alice)):
        with pytest.raises(NotFound):
            act()
    assert store.named("alice") is None


def test_there_is_a_most_of_users(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MAX_USERS", 1)
    store = UserStore(engine)
    store.add(user("a"))
    with pytest.raises(Conflict):
        store.add(user("b"))


@pytest.mark.parametrize("values", [{"permissions": "{"}, {"permissions": "1"}, {"created_at": "then"}])
def test_a_row_that_was_changed_by_hand_is_refused(engine: Engine, values: dict[str, str]) -> None:
    store, alice = UserStore(engine), user()
    store.add(alice)
    with writing(engine) as connection:
        connection.execute(update(broker_users).values(values))
    with pytest.raises(SettingsError):
        store.get(alice.id)


def test_failures_are_counted_for_each_and_forgotten(engine: Engine) -> None:
    failures = LoginFailures(engine)
    failures.count(["a", "b"], at=AT)
    failures.count(["a"], at=AT + timedelta(seconds=1))
    assert failures.of("a", at=AT) == (2, AT + timedelta(seconds=1))
    assert failures.of("b", at=AT) == (1, AT)
    assert failures.of("c", at=AT) is None
    assert (failures.forget("a"), failures.forget("a")) == (True, False)
    assert failures.of("a", at=AT) is None
    assert failures.of("b", at=AT + FORGOTTEN) is None


def test_old_failures_do_not_pile_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_failures, "MAX_KEPT", 3)
    failures = LoginFailures(engine)
    for n in range(5):
        failures.count([str(UUID(int=n))], at=AT + timedelta(seconds=n))
    later = AT + FORGOTTEN - timedelta(seconds=1)
    assert [failures.of(str(UUID(int=n)), at=later) is None for n in range(5)] == [True, True, False, False, False]
    failures.count(["new"], at=AT + 2 * FORGOTTEN)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM broker_login_failures")) == 1


def test_names_are_not_kept_in_the_clear(engine: Engine) -> None:
    """Somebody's password, typed as a name, must not stand in the database."""
    LoginFailures(engine).count(["user hunter2-hunter2"], at=AT)
    with reading(engine) as connection:
        (row,) = connection.execute(text("SELECT * FROM broker_login_failures")).all()
    assert b"hunter2" not in bytes(row.who)
