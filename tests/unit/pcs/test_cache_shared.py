"""The cache among many: threads that ask at once, processes that share a database, and its end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from tests.unit.pcs.shelf import Shelf, cache, get, published, until
from tests.unit.pcs.site import AT, FOUR, Clock, answers, site, trust
from tests.unit.simulator.stream import stream

from ambergate.core.errors import AmberError, SettingsError, TimedOut, Unavailable
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.pcs.admission import ROLLED_BACK
from ambergate.pcs.cache import CachedCollateral
from ambergate.pcs.holding import CachePolicy
from ambergate.pcs.online import OnlineCollateral
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.collateral import CollateralStore
from ambergate.stores.engine import open_database, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

CALLERS = 64


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "collateral.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> CollateralStore:
    return CollateralStore(engine)


def together(ask: Callable[[], object], *, release: Callable[[], None]) -> list[object]:
    """What so many callers get who have all asked before anything is handed out; errors as values."""
    begun = threading.Barrier(CALLERS + 1)

    def one() -> object:
        begun.wait(60)
        try:
            return ask()
        except AmberError as exc:
            return exc

    with ThreadPoolExecutor(CALLERS) as pool:
        asked = [pool.submit(one) for _ in range(CALLERS)]
        begun.wait(60)
        release()
        return [each.result(60) for each in asked]


def test_many_callers_one_fetch() -> None:
    with (
        site(answers(published())) as running,
        OnlineCollateral(running.url, verify=trust()) as online,
        cache(online, Clock()) as kept,
    ):
        running.gate.clear()

        def release() -> None:
            assert running.arrived.acquire(timeout=30)
            running.gate.set()

        got = together(lambda: get(kept), release=release)
        assert len(running.asked) == FOUR
    assert got[0] == published()
    assert all(each is got[0] for each in got)


def test_many_callers_share_one_failure_each_with_an_error_of_its_own() -> None:
    shelf = Shelf()
    shelf.gate.clear()

    def release() -> None:
        assert shelf.arrived.acquire(timeout=30)
        shelf.gate.set()

    with cache(shelf, Clock()) as kept:
        got = together(lambda: get(kept), release=release)
    assert shelf.asked == 1
    assert len({id(each) for each in got}) == CALLERS
    assert {each.message for each in got if isinstance(each, Unavailable)} == {"nobody answers"}
    assert {each.hint for each in got if isinstance(each, Unavailable)} == {"wait"}


def test_a_fault_of_ours_leaves_nobody_waiting() -> None:
    shelf = Shelf()
    shelf.error = RuntimeError("a fault")
    with cache(shelf, Clock()) as kept:
        with pytest.raises(RuntimeError):
            get(kept)
        with pytest.raises(Unavailable, match="cut short"):
            get(kept)
        assert shelf.asked == 1


def test_who_waits_too_long_is_told() -> None:
    shelf = Shelf(published())
    shelf.gate.clear()
    with cache(shelf, Clock(), policy=CachePolicy(patience=0.05)) as kept, ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, kept)
        assert shelf.arrived.acquire(timeout=30)
        with pytest.raises(TimedOut):
            get(kept)
        shelf.gate.set()
        assert first.result(30) == published()


def test_a_restart_asks_nobody_while_what_is_stored_holds(store: CollateralStore) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, store=store) as kept:
        get(kept)
    clock.turn(hours=23)
    with cache(shelf, clock, store=store) as kept:
        assert get(kept) == published()
        assert kept.holdings()[0].accepted == AT
    assert shelf.asked == 1


def test_a_restart_serves_what_is_due_and_refreshes_it_beside(store: CollateralStore) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, store=store) as kept:
        get(kept)
    clock.turn(days=2)
    shelf.held = published(days=2)
    shelf.gate.clear()
    with cache(shelf, clock, store=store) as kept:
        assert get(kept) == published()
        assert get(kept) == published()
        shelf.gate.set()
        until(lambda: get(kept) == published(days=2))
    assert shelf.asked == 2


def test_a_restart_after_the_end_fetches(store: CollateralStore) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, store=store) as kept:
        get(kept)
    clock.turn(days=31)
    shelf.held = published(days=31)
    with cache(shelf, clock, store=store) as kept:
        assert get(kept) == published(days=31)


def test_marks_hold_where_the_stored_bundle_is_of_no_use(engine: Engine, store: CollateralStore) -> None:
    shelf = Shelf(published())
    with cache(shelf, Clock(), store=store) as kept:
        get(kept)
    with writing(engine) as connection:
        connection.execute(text("UPDATE collateral SET bundle = '{}'"))
    shelf.held = published(seconds=-1)
    with cache(shelf, Clock(), store=store) as kept:
        with pytest.raises(Unavailable) as caught:
            get(kept)
        assert caught.value.code == ROLLED_BACK


def test_a_stored_bundle_is_verified_like_any_other(engine: Engine, store: CollateralStore) -> None:
    shelf = Shelf(published())
    with cache(shelf, Clock(), store=store) as kept:
        get(kept)
    forged = SimulatedPlatform.create(at=AT, random=stream("forged")).collateral(at=AT).to_json()
    with writing(engine) as connection:
        connection.execute(text("UPDATE collateral SET bundle = :forged"), {"forged": forged})
    with cache(shelf, Clock(), store=store) as kept:
        assert get(kept) == published()
    assert shelf.asked == 2


def test_what_one_process_accepted_no_other_goes_behind(store: CollateralStore) -> None:
    clock, behind = Clock(), Shelf(published())
    with cache(Shelf(published(hours=24)), clock, store=store) as one, cache(behind, clock, store=store) as other:
        first = get(other)
        clock.turn(hours=24)
        assert get(one) == published(), "the stored one: it is still good"
        until(lambda: get(one) == published(hours=24))
        assert get(other) is first
        until(lambda: get(other) == published(hours=24))
        assert behind.asked == 1, "what another process has fetched is not fetched again"


def test_who_is_behind_what_another_process_accepted_is_refused(store: CollateralStore) -> None:
    clock, behind = Clock(), Shelf(published())
    clock.turn(seconds=1)
    with cache(Shelf(published(seconds=1)), clock, store=store) as one, cache(behind, clock, store=store) as other:
        get(one)
        assert get(other) == published(seconds=1)
        clock.turn(hours=24)
        get(other)
        until(lambda: other.holdings()[0].failures == 1)
        failure = other.holdings()[0].failure
        assert failure is not None
        assert failure.code == ROLLED_BACK


def test_anchors_are_apart(store: CollateralStore) -> None:
    other = SimulatedPlatform.create(at=AT, random=stream("its own root"))
    with cache(Shelf(published()), Clock(), store=store) as kept:
        get(kept)
    anchor = TrustAnchor.from_pem(other.root_pem)
    with (
        CachedCollateral(Shelf(published()), now=Clock(), anchor=anchor, store=store) as kept,
        pytest.raises(Unavailable, match="does not verify"),
    ):
        get(kept)


def test_a_store_that_is_damaged_is_not_gone_past(engine: Engine, store: CollateralStore) -> None:
    with cache(Shelf(published()), Clock(), store=store) as kept:
        get(kept)
    with writing(engine) as connection:
        connection.execute(text("UPDATE collateral SET accepted_at = 'yesterday'"))
    with cache(Shelf(published()), Clock(), store=store) as kept, pytest.raises(SettingsError):
        get(kept)


def test_close_ends_what_goes_on_and_lets_nothing_in() -> None:
    shelf, clock = Shelf(published()), Clock()
    kept = cache(shelf, clock, policy=CachePolicy(closing=0.05))
    first = get(kept)
    clock.turn(hours=24)
    shelf.held = published(hours=24)
    shelf.gate.clear()
    get(kept)
    assert shelf.arrived.acquire(timeout=30)
    assert shelf.arrived.acquire(timeout=30)
    kept.close()
    shelf.gate.set()
    until(lambda: kept.holdings()[0].failures == 1)
    assert get(kept) is first, "what is held is served"
    clock.turn(hours=2)
    assert get(kept) is first
    assert shelf.asked == 2, "and no refresh begins"


def test_close_waits_for_a_refresh_that_ends() -> None:
    shelf, clock = Shelf(published()), Clock()
    kept = cache(shelf, clock)
    get(kept)
    clock.turn(hours=24)
    get(kept)
    kept.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("collateral ")]


def test_where_no_thread_is_to_be_had_what_is_held_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock) as kept:
        first = get(kept)
        clock.turn(hours=24)
        with monkeypatch.context() as without:
            without.setattr(threading.Thread, "start", start)
            assert get(kept) is first
        shelf.held = published(hours=24)
        until(lambda: get(kept) == published(hours=24))


def test_refreshes_are_few_at_a_time() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock, policy=CachePolicy(refreshes=0)) as kept:
        first = get(kept)
        clock.turn(hours=24)
        assert get(kept) is first
        assert shelf.asked == 1
