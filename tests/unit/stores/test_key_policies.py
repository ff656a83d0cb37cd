"""Release policies by id, and which key is under which, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, update

from ambergate.core.errors import Conflict, NotFound, SettingsError
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores import key_policies
from ambergate.stores.key_policies import KeyPolicy, KeyPolicyStore
from ambergate.stores.tables import broker_policies, broker_secrets
from ambergate.stores.transactions import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
POLICY = ResourcePolicy.from_mapping({"mr_enclave": "0a" * 32})


def policy(number: int | None = None, document: str = "{}") -> KeyPolicy:
    identity = uuid4() if number is None else UUID(int=number)
    return KeyPolicy(id=identity, document=document, policy=POLICY, created_at=AT, created_by="alice")


def key(engine: Engine) -> UUID:
    """A key's row, as far as policies look at it."""
    identity = uuid4()
    values = {"id": str(identity), "label": "", "policy": "{}", "sealed": b"", "size": 0, "created_at": AT.isoformat()}
    with writing(engine) as connection:
        connection.execute(insert(broker_secrets).values(values))
    return identity


def test_a_policy_comes_back_as_kept(engine: Engine) -> None:
    store, kept = KeyPolicyStore(engine), policy(document='{"attestation_type":["SGX"]}')
    store.add(kept)
    assert store.get(kept.id) == kept


def test_policies_come_in_pages(engine: Engine) -> None:
    store = KeyPolicyStore(engine)
    for number in (3, 1, 2):
        store.add(policy(number))
    assert [each.id.int for each in store.page(limit=2)] == [1, 2]
    assert [each.id.int for each in store.page(after=UUID(int=2), limit=2)] == [3]


def test_a_policy_that_keys_are_under_stays(engine: Engine) -> None:
    store, kept, other = KeyPolicyStore(engine), policy(), policy()
    store.add(kept)
    store.add(other)
    one, two = key(engine), key(engine)
    for each in (one, two):
        assert store.use(each, kept.id, at=AT) == kept
    assert store.of_keys([one, two, uuid4()]) == {one: kept.id, two: kept.id}
    long_after = AT + timedelta(days=1)
    store.use(two, other.id, at=AT)
    with pytest.raises(Conflict) as caught:
        store.remove(kept.id, at=long_after)
    assert caught.value.code == "policy-in-use"
    store.forget(one)
    store.remove(kept.id, at=long_after)
    with pytest.raises(NotFound):
        store.get(kept.id)
    assert store.of_keys([one, two]) == {two: other.id}


def test_a_key_that_is_being_made_counts_and_one_that_never_was_does_not(engine: Engine) -> None:
    store, kept = KeyPolicyStore(engine), policy()
    store.add(kept)
    store.use(uuid4(), kept.id, at=AT)
    with pytest.raises(Conflict):
        store.remove(kept.id, at=AT + timedelta(minutes=59))
    store.remove(kept.id, at=AT + timedelta(minutes=61))


def test_what_is_not_there(engine: Engine) -> None:
    store = KeyPolicyStore(engine)
    for act in (
        lambda: store.get(UUID(int=1)),
        lambda: store.remove(UUID(int=1), at=AT),
        lambda: store.use(UUID(int=2), UUID(int=1), at=AT),
    ):
        with pytest.raises(NotFound):
            act()
    store.forget(UUID(int=2))


def test_there_is_a_most_of_policies(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_policies, "MAX_POLICIES", 1)
    store = KeyPolicyStore(engine)
    store.add(policy())
    with pytest.raises(Conflict):
        store.add(policy())


def test_many_keys_are_looked_up_at_once(engine: Engine) -> None:
    store, kept = KeyPolicyStore(engine), policy()
    store.add(kept)
    store.use(UUID(int=1199), kept.id, at=AT)
    assert store.of_keys([UUID(int=number) for number in range(1200)]) == {UUID(int=1199): kept.id}


@pytest.mark.parametrize("values", [{"policy": "{}"}, {"policy": "{"}, {"created_at": "then"}])
def test_a_row_that_was_changed_by_hand_is_refused(engine: Engine, values: dict[str, str]) -> None:
    store, kept = KeyPolicyStore(engine), policy()
    store.add(kept)
    with writing(engine) as connection:
        connection.execute(update(broker_policies).values(values))
    with pytest.raises(SettingsError):
        store.get(kept.id)
