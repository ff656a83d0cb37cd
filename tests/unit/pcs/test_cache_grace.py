"""What the cache serves of what it holds after the end: statements only, within the grace, once newer is not had."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from tests.unit.pcs.late import DAY, END, GRACED, HOUR, SECOND, ending, refusal, signed_until
from tests.unit.pcs.shelf import Shelf, cache, get, published, until
from tests.unit.pcs.site import AT, Clock

from ambergate.pcs.admission import NOT_NOW
from ambergate.pcs.holding import EXPIRED

if TYPE_CHECKING:
    from datetime import timedelta


@pytest.mark.parametrize("after", [SECOND, DAY])
def test_what_is_held_is_served_within_the_grace_once_newer_could_not_be_had(after: timedelta) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        shelf.held = None
        clock.instant = END + after
        assert get(kept) is first
        assert shelf.asked == 2, "a fetch was tried first"
        assert get(kept) is first
        assert shelf.asked == 2, "and is not tried for every caller"


def test_and_not_a_second_longer() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        shelf.held = None
        clock.instant = END + DAY
        assert get(kept) is first
        clock.turn(seconds=1)
        told = refusal(kept)
        assert told.code == EXPIRED
        assert END.isoformat() in (told.seen or "")


def test_no_grace_is_the_default() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock) as kept:
        get(kept)
        shelf.held = None
        clock.instant = END + SECOND
        assert refusal(kept).code == EXPIRED
        assert refusal(kept).code == EXPIRED, "a failure by itself grants none"
        (holding,) = kept.holdings()
        assert (holding.late, holding.late_until) == (False, END)


def test_what_has_ended_gives_way_to_what_holds_before_anybody_gets_it() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        get(kept)
        shelf.held = published(days=30)
        clock.instant = END + SECOND
        assert kept.holdings()[0].late is False, "nobody was served late"
        assert get(kept) == published(days=30)


def test_where_refreshes_have_failed_already_nobody_waits_for_another() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        shelf.held = None
        clock.instant = END
        assert get(kept) is first
        until(lambda: kept.holdings()[0].failures == 1)
        shelf.gate.clear()
        clock.instant = END + 2 * HOUR
        assert get(kept) is first, "while the next refresh stands still"
        assert shelf.arrived.acquire(timeout=30)
        shelf.gate.set()


def test_refreshes_go_on_under_the_usual_pauses_until_one_succeeds() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        shelf.held = None
        clock.instant = END + SECOND
        for failures, minutes in enumerate((1, 2, 4, 8), start=1):
            assert get(kept) is first
            until(lambda failures=failures: kept.holdings()[0].failures == failures)  # type: ignore[misc]  # bound now
            clock.turn(minutes=minutes, seconds=-1)
            assert get(kept) is first
            assert shelf.asked == 1 + failures
            clock.turn(seconds=1)
        shelf.held = published(days=30)
        assert get(kept) is first
        until(lambda: get(kept) == published(days=30))
        (holding,) = kept.holdings()
        assert (holding.late, holding.failures, holding.failure) == (False, 0, None)


def test_people_are_told_that_it_is_late_until_when_and_why(caplog: pytest.LogCaptureFixture) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept, caplog.at_level(logging.WARNING, "ambergate.pcs"):
        get(kept)
        (holding,) = kept.holdings()
        assert (holding.late, holding.expires, holding.late_until) == (False, END, END + DAY)
        shelf.held = None
        clock.instant = END
        get(kept)
        until(lambda: f"served until {END}, then late until {END + DAY}" in caplog.text)
        clock.instant = END + 2 * HOUR
        get(kept)
        until(lambda: f"served late until {END + DAY}, since the TCB info ended {END}" in caplog.text)
        (holding,) = kept.holdings()
        assert (holding.late, holding.expires, holding.late_until) == (True, END, END + DAY)
        assert holding.failure is not None
        assert "nobody answers" in holding.failure.message
        clock.instant = END + DAY + SECOND
        assert kept.holdings()[0].late is False


@pytest.mark.parametrize("statement", ["tcb_info", "qe_identity", "root_crl", "pck_crl"])
def test_each_of_the_four_statements_gets_it(statement: str) -> None:
    end = AT + 2 * DAY
    shelf, clock = Shelf(ending(**{statement: end})), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        clock.instant = end + DAY
        assert get(kept) is first
        clock.turn(seconds=1)
        refusal(kept)


@pytest.mark.parametrize("held", [True, False], ids=["held", "found"])
def test_a_certificate_gets_none(*, held: bool) -> None:
    end = END + 2 * HOUR
    shelf, clock = Shelf(signed_until(end)), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        if held:
            get(kept)
        clock.instant = end
        assert get(kept) == shelf.held, "statements have ended, certificates have not"
        assert kept.holdings()[0].late_until == end
        clock.turn(seconds=1)
        refusal(kept)
    with cache(shelf, clock, policy=GRACED) as afresh:
        assert refusal(afresh).code == NOT_NOW


def test_a_certificate_that_ends_before_the_statements_gets_none() -> None:
    shelf, clock = Shelf(signed_until(AT + DAY)), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        get(kept)
        clock.instant = AT + DAY + SECOND
        refusal(kept)
        clock.instant = END + SECOND
        refusal(kept)


def test_a_clock_that_is_set_back_is_no_matter_of_grace() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        get(kept)
        shelf.held = None
        clock.turn(hours=-2)
        refusal(kept)
        refusal(kept)
