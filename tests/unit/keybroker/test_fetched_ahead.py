"""Key sets are fetched before they are old: at varied instants, seldom, and for no longer than the service runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.integration.keybroker.forge import AT
from tests.unit.keybroker.test_issuer_keys import Issuer, Root, key_set

from ambergate.core.errors import Unavailable
from ambergate.services.keybroker.fetched_ahead import FROM, UNTIL, fetched_ahead, keep_fresh
from ambergate.services.keybroker.trust import MAX_AGE, MAX_STALE, RETRY_AFTER, IssuerKeys

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

EARLY, LATE = bytes(4), b"\xff" * 4


@dataclass
class Passing:
    """Time that passes by waiting, so many times; between them a test may do something."""

    turns: int
    between: Callable[[int], None] = lambda _: None
    instant: datetime = AT
    waited: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.instant

    def wait(self, seconds: float) -> bool:
        self.between(len(self.waited))
        self.waited.append(seconds)
        self.instant += timedelta(seconds=seconds)
        return len(self.waited) > self.turns

    def keep(self, keys: IssuerKeys, jitter: bytes = EARLY) -> list[float]:
        keep_fresh(keys, now=self.now, token_bytes=lambda size: jitter[:size], wait=self.wait)
        return self.waited


@pytest.mark.parametrize(("jitter", "share"), [(EARLY, FROM), (LATE, UNTIL)])
def test_a_set_is_never_old(jitter: bytes, share: float) -> None:
    """So no request has to fetch one, and the issuer is asked once in each age."""
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    passing = Passing(20)
    first, *later = passing.keep(keys, jitter)
    assert first == 0, "there is nothing yet"
    assert later == pytest.approx([share * MAX_AGE.total_seconds()] * 20, rel=1e-6)
    assert issuer.asked == 20
    asked = issuer.asked
    keys.get(passing.instant, kid="one")
    assert issuer.asked == asked


def test_a_key_that_the_issuer_publishes_ahead_is_known_before_its_first_token() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    passing = Passing(2, lambda turn: setattr(issuer, "answer", key_set("one", "two")) if turn == 1 else None)
    passing.keep(keys)
    assert keys.get(passing.instant, kid="two").kids == {"one", "two"}
    assert issuer.asked == 2


def test_what_a_root_vouches_for_is_fetched_before_that_ends() -> None:
    issuer, root = Issuer(), Root(AT + timedelta(seconds=100))
    keys = IssuerKeys(issuer, vouch=root)
    waited = Passing(1).keep(keys)
    assert waited == pytest.approx([0, 60], rel=1e-6)


def test_a_root_that_always_ends_at_once_makes_no_flood() -> None:
    issuer, root = Issuer(), Root(AT)
    passing = Passing(10)
    keys = IssuerKeys(issuer, vouch=lambda text, at: root.__class__(at + timedelta(seconds=1))(text, at))
    _, *later = passing.keep(keys)
    assert min(later) == RETRY_AFTER.total_seconds()


def test_an_absent_issuer_is_asked_less_and_less_and_found_again() -> None:
    """What is held is used meanwhile, not for ever; then the broker is not ready, until it has keys again."""
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    keys.get(AT)
    issuer.answer = Unavailable("away")
    passing = Passing(20)
    waited = passing.keep(keys)
    assert waited[1] >= RETRY_AFTER.total_seconds()
    assert waited[1:] == sorted(waited[1:])
    assert max(waited) <= MAX_AGE.total_seconds()
    assert passing.instant < AT + MAX_STALE
    keys.get(passing.instant, kid="one")
    with pytest.raises(Unavailable):
        keys.get(AT + MAX_STALE)
    issuer.answer = key_set("one")
    Passing(1, instant=AT + MAX_STALE).keep(keys)
    assert keys.get(AT + MAX_STALE + MAX_AGE, kid="one").kids == {"one"}


def test_it_asks_no_more_often_than_requests_may() -> None:
    """A fetch that a token's unknown key caused counts for both."""
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    keys.get(AT)
    keys.fetch_ahead(AT + RETRY_AFTER / 2)
    assert issuer.asked == 1
    keys.fetch_ahead(AT + RETRY_AFTER)
    assert issuer.asked == 2


def test_a_clock_that_is_set_back_makes_nobody_wait_for_days() -> None:
    keys = IssuerKeys(Issuer())
    keys.get(AT)
    assert keys.due_in(AT - timedelta(days=9), FROM) == MAX_AGE


def test_a_fault_of_ours_ends_nothing() -> None:
    def faulty() -> str:
        raise ZeroDivisionError

    passing = Passing(3)
    assert len(passing.keep(IssuerKeys(faulty))) == 4


def test_it_serves_while_the_block_does() -> None:
    """In a thread for each issuer: one that never answers delays no other, nor the end."""
    fetched, never = threading.Event(), threading.Event()

    def slow() -> str:
        never.wait()
        return key_set("one")

    def quick() -> str:
        fetched.set()
        return key_set("one")

    before = set(threading.enumerate())
    with fetched_ahead([IssuerKeys(slow), IssuerKeys(quick)], now=lambda: AT, token_bytes=bytes):
        assert fetched.wait(30)
        mine = set(threading.enumerate()) - before
        assert len(mine) == 2
    never.set()
    for thread in mine:
        thread.join(30)
    assert not any(thread.is_alive() for thread in mine)
