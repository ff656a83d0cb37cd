"""The keys of a process: from memory, as they stand now, never older than five seconds; published even in an outage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.attestation.key_scene import AT, RULES, Kept, begun, keeper

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.services.attestation.key_plan import LEAD, MARGIN, STANDBY_AFTER
from ambergate.services.attestation.keyring import KeyRing
from ambergate.services.attestation.memory import AHEAD, REFRESH, TRUST
from ambergate.stores.token_keys import CHANGES, TokenKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SECOND = timedelta(seconds=1)


@dataclass
class Clock:
    at: datetime = AT

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Followed(Kept):
    """A store that counts its changes and how often it was asked, and fails when told to."""

    asked: int = 0
    failure: Exception | None = None
    _last: tuple[TokenKey, ...] = ()
    _number: int = field(default=0)

    def since(self, number: int) -> tuple[int, Mapping[str, tuple[TokenKey, ...]]]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        if self.keys is not self._last:
            self._last, self._number = self.keys, self._number + 1
        return self._number, {} if number == self._number else {CHANGES: self.keys}


def opened() -> tuple[KeyRing, Followed, Clock]:
    store, clock = Followed(), Clock()
    keys, _ = keeper(store)
    return KeyRing(keys, RULES, now=clock), store, clock


def kids(ring: KeyRing) -> set[str]:
    return {str(each["kid"]) for each in asyncio.run(ring.published()).key_set()["keys"]}  # type: ignore[attr-defined]


def test_memory_answers_without_the_database_and_follows_it_in_time() -> None:
    ring, store, clock = opened()
    first = ring.key_for("PS384")
    assert ring.at_hand("RS256") is first
    clock.at += AHEAD - timedelta(milliseconds=1)
    assert ring.at_hand("PS384") is ring.key_for("PS384") is first
    assert store.asked == 1
    clock.at = AT + REFRESH
    assert ring.at_hand("PS384") is None, "it may have been revoked: somebody has to look"
    store.failure = Unavailable("the database does not answer")
    clock.at = AT + TRUST - SECOND
    assert ring.key_for("PS384") is first
    clock.at = AT + TRUST
    with pytest.raises(Unavailable):
        ring.key_for("PS384")
    assert kids(ring) == {first.kid}, "who checks tokens goes on"
    store.failure = None
    clock.at += SECOND
    assert ring.key_for("PS384") is first


def test_nothing_known_is_nothing_published() -> None:
    ring, store, _ = opened()
    store.failure = Unavailable("the database does not answer")
    with pytest.raises(Unavailable):
        asyncio.run(ring.published())
    store.failure, store.keys = None, begun()[:2]
    with pytest.raises(Unavailable, match="no key to sign"):
        KeyRing(keeper(store)[0], RULES, now=Clock()).key_for("ES256")


def test_a_database_under_another_key_is_one_that_does_not_answer() -> None:
    """It was put under another key-encryption key, and this process was not started again."""
    ring, store, clock = opened()
    ring.key_for("PS384")
    store.failure = SettingsError("a stored value is sealed under another key-encryption key")
    clock.at += TRUST
    with pytest.raises(Unavailable, match="cannot be read") as caught:
        ring.key_for("PS384")
    assert caught.value.code == "keys-unreadable"


def test_keys_change_by_the_clock_alone() -> None:
    ring, store, clock = opened()
    keys, _ = keeper(store)
    first = ring.key_for("ES256")
    (_, started) = keys.rotate(AT, RULES)
    clock.at = AT + LEAD - SECOND
    assert ring.key_for("ES256").kid == first.kid
    clock.at = AT + LEAD
    assert ring.key_for("ES256").kid == started.id
    store.failure = Unavailable("the database does not answer")
    rsa = begun()[2].id
    clock.at = AT + LEAD + RULES.token_lifetime + MARGIN - SECOND
    assert rsa in kids(ring)
    clock.at += SECOND
    assert rsa not in kids(ring), "in an outage too"


def test_whoever_asks_has_what_is_due_done_beside() -> None:
    ring, store, clock = opened()
    ring.key_for("PS384")
    clock.at = AT + STANDBY_AFTER
    ring.key_for("PS384")
    ring._keeper.close()
    assert len(store.keys) == 6
    clock.at += REFRESH
    assert len(kids(ring)) == 2


def test_an_unknown_algorithm_is_nobodys() -> None:
    ring, _, _ = opened()
    with pytest.raises(KeyError):
        ring.key_for("HS256")
