"""Rates: a burst, then one by one, and a clock that jumps does no more harm than a burst does."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from ambergate.services.web import rates
from ambergate.services.web.rates import Rate, Rates

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pytest

AT = datetime(2026, 3, 1, tzinfo=UTC)
RATE = Rate(2.0, 5)


def passed(counted: Rates, times: int, at: datetime, *, who: Hashable = "a", rate: Rate = RATE) -> int:
    return sum(counted.take(who, rate, at=at) == 0 for _ in range(times))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_a_burst_and_then_one_by_one() -> None:
    counted = Rates()
    assert passed(counted, 100, AT) == 5
    assert passed(counted, 100, AT + seconds(0.4)) == 0
    assert passed(counted, 100, AT + seconds(0.5)) == 1
    assert passed(counted, 100, AT + seconds(1.5)) == 2
    assert passed(counted, 100, AT + seconds(60)) == 5


def test_who_is_refused_is_told_when_to_come_back() -> None:
    counted, slow = Rates(), Rate(0.1, 1)
    assert counted.take("a", slow, at=AT) == 0
    assert counted.take("a", slow, at=AT) == 10
    assert counted.take("a", slow, at=AT + seconds(9.5)) == 1
    assert counted.take("a", slow, at=AT + seconds(10)) == 0


def test_each_has_its_own() -> None:
    counted = Rates()
    assert passed(counted, 100, AT) == 5
    assert passed(counted, 100, AT, who="b") == 5


def test_a_clock_that_goes_back_locks_nobody_out() -> None:
    counted = Rates()
    assert passed(counted, 100, AT + timedelta(days=1)) == 5
    assert counted.take("a", RATE, at=AT) == 1
    assert passed(counted, 100, AT + seconds(0.5)) == 1


def test_a_clock_that_goes_ahead_gives_one_burst() -> None:
    counted = Rates()
    passed(counted, 100, AT)
    assert passed(counted, 100, AT + timedelta(days=1)) == 5


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.2, 20), st.integers(1, 8))
def test_never_more_than_the_rate_allows(gaps: list[float], per_second: float, burst: int) -> None:
    counted, rate, at = Rates(), Rate(per_second, burst), AT
    let: list[datetime] = []
    for gap in gaps:
        at += seconds(gap)
        if counted.take("a", rate, at=at) == 0:
            let.append(at)
    for first, begin in enumerate(let):
        for last in range(first, len(let)):
            span = (let[last] - begin).total_seconds()
            assert last - first + 1 <= burst + span * per_second + 0.001


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_KEPT", 10)
    counted, slow = Rates(), Rate(0.01, 1)
    for number in range(9):
        counted.take(number, RATE, at=AT)
    assert counted.take("a", slow, at=AT) == 0
    assert counted.take("b", slow, at=AT + seconds(5)) == 0, "those whose time has come are let go"
    assert counted.take("a", slow, at=AT + seconds(5)) > 0, "and the others are not"
    for number in range(100):
        counted.take(("more", number), slow, at=AT + seconds(5))
    assert len(counted._on_time) <= 10


def test_threads_share_one_count() -> None:
    counted, slow = Rates(), Rate(0.01, 50)
    let: list[int] = []

    def work() -> None:
        let.append(passed(counted, 25, AT, rate=slow))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(let) == 50
