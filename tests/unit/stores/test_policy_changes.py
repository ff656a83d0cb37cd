"""Changes that wait, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import text

from ambergate.core.errors import Conflict, NotFound, SettingsError
from ambergate.core.release.owners import MAX_APPROVALS, PolicyChange
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores import policy_changes
from ambergate.stores.policy_changes import PendingChange, PolicyChangeStore
from ambergate.stores.transactions import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)


KEY = "ae6281b3-e4fe-3db5-82fd-000000000001"
POLICY = ResourcePolicy.from_mapping({"mr_enclave": "0a" * 32})
ONE, TWO, THREE = (str(UUID(int=number)) for number in (1, 2, 3))


def pending(name: str = ONE, days: int = 7, at: datetime = AT) -> PendingChange:
    expires_at = at + timedelta(days=days)
    change = PolicyChange(id=name, key_id=KEY, before="00", after=POLICY.to_json(), expires_at=expires_at)
    return PendingChange(change=change, policy=POLICY, proposed_by="alice", proposed_at=at)


def test_a_change_comes_back_as_kept(engine: Engine) -> None:
    store = PolicyChangeStore(engine)
    for each in (pending(THREE, 9), pending(ONE, 2), pending(TWO, 5)):
        store.add(each)
    assert store.find(THREE) == pending(THREE, 9)
    assert [each.change.id for each in store.page()] == [ONE, TWO, THREE]
    assert [each.change.id for each in store.page(after=UUID(ONE), limit=1)] == [TWO]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("key_id", "no id"),
        ("after", "{}"),
        ("after", "[" * 5000),
        ("approvals", "7"),
        ("approvals", "{"),
        ("expires_at", "soon"),
        ("proposed_at", "once"),
    ],
)
def test_what_is_not_what_was_written_is_told_as_that(sqlite: Engine, column: str, value: str) -> None:
    """It is no fault of who asks."""
    store = PolicyChangeStore(sqlite)
    store.add(pending())
    with writing(sqlite) as connection:
        connection.execute(text(f"UPDATE broker_policy_changes SET {column} = :value"), {"value": value})
    for look in (store.page, lambda: store.find(ONE), lambda: store.approve(ONE, "a")):
        with pytest.raises(SettingsError):
            look()


def test_an_approval_is_kept_once(engine: Engine) -> None:
    store = PolicyChangeStore(engine)
    store.add(pending())
    found = [store.approve(ONE, approval) for approval in ("a", "b", "a")]
    assert found[-1] == replace(pending(), change=replace(pending().change, approvals=("a", "b")))
    for number in range(MAX_APPROVALS - 2):
        store.approve(ONE, f"more {number}")
    with pytest.raises(Conflict):
        store.approve(ONE, "too many")


def test_what_is_not_there(engine: Engine) -> None:
    store = PolicyChangeStore(engine)
    with pytest.raises(NotFound):
        store.find(ONE)
    with pytest.raises(NotFound):
        store.approve(ONE, "a")
    store.add(pending())
    assert store.remove(ONE)
    assert not store.remove(ONE)


def test_what_has_lapsed_makes_room(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_changes, "MAX_CHANGES", 1)
    store = PolicyChangeStore(engine)
    store.add(pending(ONE, 1))
    with pytest.raises(Conflict):
        store.add(pending(TWO))
    store.add(pending(THREE, at=AT + timedelta(days=1)))
    assert [each.change.id for each in store.page()] == [THREE]
