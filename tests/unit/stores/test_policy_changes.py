"""Changes that wait, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import Conflict, NotFound
from ambergate.core.release.owners import MAX_APPROVALS, PolicyChange
from ambergate.stores import policy_changes
from ambergate.stores.policy_changes import PendingChange, PolicyChangeStore

if TYPE_CHECKING:
    from sqlalchemy import Engine

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)


def pending(name: str = "one", days: int = 7, at: datetime = AT) -> PendingChange:
    change = PolicyChange(id=name, key_id="key", before="00", after="{}", expires_at=at + timedelta(days=days))
    return PendingChange(change=change, proposed_by="alice", proposed_at=at)


def test_a_change_comes_back_as_kept(engine: Engine) -> None:
    store = PolicyChangeStore(engine)
    for each in (pending("later", 9), pending("sooner", 2)):
        store.add(each)
    assert store.find("later") == pending("later", 9)
    assert [each.change.id for each in store.all()] == ["sooner", "later"]


def test_an_approval_is_kept_once(engine: Engine) -> None:
    store = PolicyChangeStore(engine)
    store.add(pending())
    found = [store.approve("one", approval) for approval in ("a", "b", "a")]
    assert found[-1] == replace(pending(), change=replace(pending().change, approvals=("a", "b")))
    for number in range(MAX_APPROVALS - 2):
        store.approve("one", f"more {number}")
    with pytest.raises(Conflict):
        store.approve("one", "too many")


def test_what_is_not_there(engine: Engine) -> None:
    store = PolicyChangeStore(engine)
    with pytest.raises(NotFound):
        store.find("one")
    with pytest.raises(NotFound):
        store.approve("one", "a")
    store.add(pending())
    assert store.remove("one")
    assert not store.remove("one")


def test_what_has_lapsed_makes_room(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_changes, "MAX_CHANGES", 1)
    store = PolicyChangeStore(engine)
    store.add(pending("one", 1))
    with pytest.raises(Conflict):
        store.add(pending("two"))
    store.add(pending("three", at=AT + timedelta(days=1)))
    assert [each.change.id for each in store.all()] == ["three"]
