"""How long is waited, and when not at all; no test waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.pcs.site import AT, PLATFORM, TCB, Answer, Clock, answers, site, trust

from ambergate.core.errors import TimedOut, Unavailable
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.retry import MAX_RETRY_AFTER, RetryPolicy, retry_after, system_draw
from ambergate.pcs.transport import Deadline

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "9" * 18}, MAX_RETRY_AFTER),
        ({"retry-after": "9" * 19}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": NOW}, 30),
        ({"retry-after": "Wednesday, 21-Oct-26 07:28:30 GMT", "date": NOW}, 30),
        ({"retry-after": "Wed Oct 21 07:28:30 2026", "date": NOW}, 30),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": NOW}, 0),
        ({"retry-after": "Wed, 21 Oct 2126 07:27:00 GMT", "date": NOW}, MAX_RETRY_AFTER),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "today"}, None),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT", "date": NOW}, None),
    ],
)
def test_retry_after(headers: Mapping[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_retry_after_is_bounded_whatever_it_says(text: str, date: str) -> None:
    for stated in (date, NOW):
        seconds = retry_after({"retry-after": text, "date": stated})
        assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), st.integers(0, MAX_RETRY_AFTER))  # noqa: DTZ001  made aware below
def test_dates_are_read_against_the_answers_own(date: datetime, later: int) -> None:
    at = date.replace(tzinfo=UTC, microsecond=0)
    headers = {
        "date": format_datetime(at, usegmt=True),
        "retry-after": format_datetime(at + timedelta(seconds=later), usegmt=True),
    }
    assert retry_after(headers) == later


@settings(deadline=None)
@given(st.integers(1, 1000), st.floats(0, 1))
def test_backoff_is_full_jitter_below_a_doubling_bound(failures: int, draw: float) -> None:
    policy = RetryPolicy()
    assert 0 <= policy.backoff(failures, draw) <= min(policy.cap, policy.base * 2.0 ** (min(failures, 50) - 1))
    assert policy.backoff(failures, 0) == 0
    assert policy.backoff(failures + 1, draw) >= policy.backoff(failures, draw)


def test_the_systems_numbers_are_from_0_to_1() -> None:
    assert all(0 <= system_draw() <= 1 for _ in range(100))


def fetch(table: dict[str, Answer], script: list[Answer], policy: RetryPolicy | None = None) -> Clock:
    clock = Clock()
    with (
        site(table) as running,
        OnlineCollateral(
            running.url, verify=trust(), retry=policy, clock=clock.seconds, sleep=clock.sleep, draw=lambda: 0.5
        ) as source,
    ):
        running.script[TCB] = script
        source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
    return clock


def good() -> dict[str, Answer]:
    return answers(PLATFORM.collateral(at=AT))


def test_waits_double_and_are_drawn() -> None:
    assert fetch(good(), [Answer(500), Answer(502), Answer(504)]).slept == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status: int) -> None:
    assert fetch(good(), [Answer(status, headers={"Retry-After": "7"})]).slept == [7.0]


def test_retry_after_as_a_date_is_honoured() -> None:
    headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:09 GMT", "Date": NOW}
    assert fetch(good(), [Answer(503, headers=headers)]).slept == [9.0]


def test_a_wait_beyond_the_deadline_is_given_up_at_once_and_said() -> None:
    with pytest.raises(Unavailable, match="asks to wait longer than there is time") as caught:
        fetch(good(), [Answer(429, headers={"Retry-After": "31"})])
    assert "31.0 s to wait, 30.0 s left" in (caught.value.seen or "")
    assert "HTTP 429" in (caught.value.seen or "")


def test_the_deadline_is_of_the_whole_fetch() -> None:
    waits = [Answer(503, headers={"Retry-After": "8"})]
    table = good()
    with pytest.raises(Unavailable, match="longer than there is time"):
        fetch(table, waits * 2, RetryPolicy(deadline=15))
    assert fetch(table, waits, RetryPolicy(deadline=15)).slept == [8.0]


def test_nothing_is_asked_when_no_time_is_left() -> None:
    with pytest.raises(TimedOut):
        fetch(good(), [], RetryPolicy(deadline=0))


def test_a_deadlines_steps() -> None:
    clock = Clock()
    deadline = Deadline(10, clock.seconds)
    assert deadline.step(3) == 3
    clock.turn(seconds=8)
    assert deadline.step(3) == 2
    clock.turn(seconds=2)
    with pytest.raises(TimeoutError):
        deadline.step(3)
