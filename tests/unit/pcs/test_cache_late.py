"""What the cache takes in after the end: statements only, within the grace, where nothing better is to be had."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.pcs.late import DAY, END, GRACED, HOUR, PUBLISHED, SECOND, ending, refusal, signed_until
from tests.unit.pcs.shelf import Shelf, cache, get, published, until
from tests.unit.pcs.site import AT, PLATFORM, Clock
from tests.unit.simulator.stream import stream

from ambergate.core.appraise.grace import MAX_GRACE
from ambergate.core.measurements import Fmspc
from ambergate.pcs.admission import NOT_GENUINE, NOT_NOW, ROLLED_BACK
from ambergate.pcs.holding import CachePolicy, ProcessMemory
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.pcs.several import FirstOf
from ambergate.simulator.period import Period
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.collateral import CollateralStore
from ambergate.stores.engine import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollateralStore]:
    engine = open_database(tmp_path / "kept.sqlite")
    yield CollateralStore(engine)
    engine.dispose()


@pytest.mark.parametrize("after", [SECOND, DAY])
def test_a_restart_during_an_outage_serves_what_is_stored(store: CollateralStore, after: timedelta) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, store=store, policy=GRACED) as kept:
        get(kept)
    shelf.held = None
    clock.instant = END + after
    with cache(shelf, clock, store=store, policy=GRACED) as kept:
        assert get(kept) == published()
        assert shelf.asked == 2, "a fetch was tried first"
        (holding,) = kept.holdings()
        assert (holding.late, holding.accepted, holding.failures) == (True, AT, 1)
        assert "nobody answers" in str(holding.failure)


def test_but_not_what_ended_longer_ago(store: CollateralStore) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, store=store, policy=GRACED) as kept:
        get(kept)
    shelf.held = None
    clock.instant = END + DAY + SECOND
    with cache(shelf, clock, store=store, policy=GRACED) as kept:
        assert "nobody answers" in str(refusal(kept))
        assert kept.holdings()[0].late_until is None


def test_without_a_grace_a_restart_serves_nothing_that_has_ended(store: CollateralStore) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, store=store) as kept:
        get(kept)
    clock.instant = END + SECOND
    with cache(shelf, clock, store=store) as kept:
        assert refusal(kept).code == NOT_NOW
        assert refusal(kept).code == NOT_NOW


def test_a_directory_whose_bundle_has_run_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(END + HOUR)
    PLATFORM.save_collateral(tmp_path, at=AT)
    folder = DirectoryCollateral(tmp_path / "collateral")
    with cache(folder, clock, policy=GRACED) as kept, caplog.at_level(logging.WARNING, "ambergate.pcs"):
        first = get(kept)
        assert f"served late until {END + DAY}, since the TCB info ended {END}" in caplog.text
        assert "the collateral does not verify" in caplog.text
        PLATFORM.save_collateral(tmp_path, at=clock.instant)
        assert get(kept) is not first, "a file that holds is seen at once"
        assert kept.holdings()[0].late is False


def test_late_is_tried_again_as_after_a_failure() -> None:
    shelf, clock = Shelf(published()), Clock(END + HOUR)
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        clock.turn(seconds=59)
        assert get(kept) is first
        assert shelf.asked == 1
        clock.turn(seconds=1)
        assert get(kept) is first
        until(lambda: kept.holdings()[0].failures == 2)
        assert shelf.asked == 2


def test_what_holds_in_a_later_source_is_preferred_to_what_is_late_in_an_earlier_one(store: CollateralStore) -> None:
    late, good, clock = Shelf(published()), Shelf(published(days=30)), Clock(END + HOUR)
    with cache(FirstOf([("late", late), ("good", good)]), clock, store=store, policy=GRACED) as kept:
        assert get(kept) == published(days=30)
        assert kept.holdings()[0].failures == 0


def test_of_what_is_late_the_last_to_end_is_served() -> None:
    sooner, later, clock = Shelf(published()), Shelf(published(hours=1)), Clock(END + 2 * HOUR)
    for sources in ([("sooner", sooner), ("later", later)], [("later", later), ("sooner", sooner)]):
        with cache(FirstOf(sources), clock, policy=GRACED) as kept:
            assert get(kept) == published(hours=1)


def test_each_source_is_asked_once_for_both() -> None:
    first, second, clock = Shelf(), Shelf(published()), Clock(END + HOUR)
    with cache(FirstOf([("first", first), ("second", second)]), clock, policy=GRACED) as kept:
        assert get(kept) == published()
    assert (first.asked, second.asked) == (1, 1)


def test_what_is_late_gives_way_to_what_is_less_late() -> None:
    shelf, clock = Shelf(published()), Clock(END + 2 * HOUR)
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        shelf.held = published(hours=1)
        clock.turn(minutes=1)
        assert get(kept) is first
        until(lambda: get(kept) == published(hours=1))
        (holding,) = kept.holdings()
        assert (holding.late, holding.late_until) == (True, END + HOUR + DAY)


def test_what_holds_does_not_give_way_to_what_is_late() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        first = get(kept)
        shelf.held = ending(tcb_info=AT + DAY)
        clock.turn(days=1, hours=1)
        assert get(kept) is first
        until(lambda: kept.holdings()[0].failures == 1)
        assert get(kept) is first
        assert kept.holdings()[0].expires == END


@pytest.mark.parametrize("where", ["process", "store"])
def test_nothing_goes_back_because_it_is_late(where: str, store: CollateralStore) -> None:
    memory = store if where == "store" else ProcessMemory()
    shelf, clock = Shelf(published(hours=2)), Clock(AT + 2 * HOUR)
    with cache(shelf, clock, store=memory, policy=GRACED) as kept:
        get(kept)
    shelf.held = published(hours=1)
    clock.instant = END + 3 * HOUR
    with cache(shelf, clock, store=memory, policy=GRACED) as kept:
        if where == "store":
            assert get(kept) == published(hours=2), "what is stored is newer"
        else:
            refusal(kept)


@pytest.mark.parametrize("member", ["tcb_info", "qe_identity"])
def test_what_ends_later_under_a_lower_number_goes_back(store: CollateralStore, member: str) -> None:
    numbered = replace(PUBLISHED, **{member: replace(getattr(PUBLISHED, member), evaluation_data_number=99)})
    shelf, clock = Shelf(numbered.collateral()), Clock()
    with cache(shelf, clock, store=store, policy=GRACED) as kept:
        newest = get(kept)
    shelf.held = published(hours=1)
    clock.instant = END + 2 * HOUR
    with cache(shelf, clock, store=store, policy=GRACED) as kept:
        assert get(kept) == newest


def test_where_a_certificate_of_what_is_held_has_ended_another_bundle_does() -> None:
    shelf, clock = Shelf(signed_until(END + 2 * HOUR)), Clock()
    with cache(shelf, clock, policy=GRACED) as kept:
        get(kept)
        shelf.held = published()
        clock.instant = END + 3 * HOUR
        assert get(kept) == published(), "whose statements ended at the same instant"


def test_what_was_served_late_is_not_gone_behind() -> None:
    shelf, memory, clock = Shelf(published(hours=1)), ProcessMemory(), Clock(END + 2 * HOUR)
    with cache(shelf, clock, store=memory, policy=GRACED) as kept:
        get(kept)
    shelf.held = published()
    clock.instant = AT + HOUR
    with cache(shelf, clock, store=memory, policy=GRACED) as kept:
        assert refusal(kept).code == ROLLED_BACK


FOREIGN: Final = {
    "another root's": (SimulatedPlatform.create(at=AT, random=stream("another")).collateral(at=AT), NOT_GENUINE),
    "changed": (replace(published(), tcb_info=published().tcb_info.replace("UpToDate", "Revoked ")), NOT_GENUINE),
    "of TDX": (PLATFORM.td_collateral(at=AT), NOT_NOW),
    "of another family": (
        replace(PUBLISHED, tcb_info=replace(PUBLISHED.tcb_info, fmspc=Fmspc(bytes(6)))).collateral(),
        NOT_NOW,
    ),
    "of tomorrow": (PLATFORM.collateral(at=END + DAY), NOT_NOW),
    "begun after another ended": (
        replace(
            PUBLISHED,
            tcb_info=replace(PUBLISHED.tcb_info, period=Period(END + SECOND, END + DAY)),
        ).collateral(),
        NOT_NOW,
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_grace_hides_nothing_else(what: str) -> None:
    bad, code = FOREIGN[what]
    longest = CachePolicy(grace=MAX_GRACE)
    with cache(Shelf(bad), Clock(END + HOUR), policy=longest) as kept:
        assert refusal(kept).code == code
        assert kept.holdings()[0].expires is None
    with cache(FirstOf([("bad", Shelf(bad)), ("late", Shelf(published()))]), Clock(END + HOUR), policy=longest) as kept:
        assert get(kept) == published(), "and the next one that is late is taken"


def test_of_tdx_is_late_for_tdx_alone() -> None:
    with cache(Shelf(PLATFORM.td_collateral(at=AT)), Clock(END + HOUR), policy=GRACED) as kept:
        get(kept, tee="TDX")
        assert refusal(kept).code == NOT_NOW


def test_a_closed_cache_lets_nothing_late_in() -> None:
    kept = cache(Shelf(published()), Clock(END + HOUR), policy=GRACED)
    kept.close()
    refusal(kept)


@pytest.mark.parametrize("grace", [-SECOND, MAX_GRACE + SECOND])
def test_a_grace_has_bounds(grace: timedelta) -> None:
    with pytest.raises(ValueError, match="0 to 30 days"):
        CachePolicy(grace=grace)
    assert CachePolicy(grace=MAX_GRACE).grace == MAX_GRACE
