"""What the cache serves, asks for and refuses, by the clock of the test."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.pcs.shelf import Shelf, cache, get, published, until
from tests.unit.pcs.site import AT, FOUR, PLATFORM, Clock, answers, site, trust
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.errors import MalformedCollateral, Unavailable
from ambergate.core.measurements import Fmspc
from ambergate.pcs.admission import NOT_GENUINE, NOT_NOW, OF_ANOTHER, ROLLED_BACK
from ambergate.pcs.cache import CachedCollateral
from ambergate.pcs.holding import EXPIRED, CachePolicy, ProcessMemory
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.several import FirstOf
from ambergate.simulator.period import Period
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from pathlib import Path


OTHER = SimulatedPlatform.create(at=AT, random=stream("another platform"))


def test_one_platform_is_four_requests_however_often_it_is_asked_for() -> None:
    with (
        site(answers(published())) as running,
        OnlineCollateral(running.url, verify=trust()) as online,
        cache(online, Clock()) as kept,
    ):
        first = get(kept)
        assert all(get(kept) is first for _ in range(100))
        assert first == published()
        assert len(running.asked) == FOUR


def test_a_refresh_goes_on_beside_the_caller_who_gets_what_still_holds() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock) as kept:
        first = get(kept)
        clock.turn(hours=23, minutes=59)
        assert get(kept) is first
        assert shelf.asked == 1
        clock.turn(minutes=1)
        shelf.held = published(hours=24)
        shelf.gate.clear()
        assert all(get(kept) is first for _ in range(20)), "nobody waits"
        assert shelf.arrived.acquire(timeout=30)
        assert shelf.arrived.acquire(timeout=30), "the refresh has begun"
        shelf.gate.set()
        until(lambda: get(kept) is not first)
        assert get(kept) == published(hours=24)
        assert (shelf.asked, shelf.most) == (2, 1)


def test_a_refresh_that_brings_the_same_keeps_the_object() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock) as kept:
        first = get(kept)
        shelf.held = Collateral.from_json(published().to_json())
        assert shelf.held is not first
        clock.turn(hours=24)
        get(kept)
        until(lambda: kept.holdings()[0].accepted == clock.instant)
        assert get(kept) is first


def test_what_ends_soon_is_refreshed_when_half_of_it_is_over() -> None:
    shelf, clock = Shelf(published()), Clock(AT + timedelta(days=30) - timedelta(hours=2))
    with cache(shelf, clock) as kept:
        get(kept)
        (holding,) = kept.holdings()
        assert holding.refresh_at == clock.instant + timedelta(hours=1)
        assert holding.expires == AT + timedelta(days=30)


def test_refreshes_are_a_minute_apart_however_near_the_end_is() -> None:
    clock = Clock(AT + timedelta(days=30) - timedelta(seconds=2))
    with cache(Shelf(published()), clock) as kept:
        get(kept)
        assert kept.holdings()[0].refresh_at == clock.instant + timedelta(minutes=1)


def test_an_outage_is_survived_until_the_end_and_not_a_second_longer(caplog: pytest.LogCaptureFixture) -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock) as kept:
        first = get(kept)
        shelf.held = None
        clock.turn(days=30)
        with caplog.at_level(logging.WARNING, "ambergate.pcs"):
            assert get(kept) is first
            until(lambda: "nobody answers" in caplog.text)
        clock.turn(seconds=1)
        with pytest.raises(Unavailable, match="has expired") as caught:
            get(kept)
        assert caught.value.code == EXPIRED
        assert "nobody answers" in (caught.value.seen or "")
        assert "2026-05-31T12:00:00" in (caught.value.seen or "")


def test_a_refresh_that_fails_backs_off() -> None:
    shelf, clock = Shelf(published()), Clock()
    with cache(shelf, clock) as kept:
        get(kept)
        shelf.held = None
        clock.turn(hours=24)
        for failures, minutes in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
            get(kept)
            until(lambda failures=failures: kept.holdings()[0].failures == failures)  # type: ignore[misc]  # bound now
            clock.turn(minutes=minutes, seconds=-1)
            get(kept)
            assert shelf.asked == 1 + failures
            clock.turn(seconds=1)
        (holding,) = kept.holdings()
        assert holding.failure is not None
        assert holding.failure.message == "nobody answers"
        shelf.held = published(hours=24)
        get(kept)
        until(lambda: kept.holdings()[0].failures == 0)
        assert kept.holdings()[0].failure is None


def test_a_failure_is_held_for_seconds_and_no_longer() -> None:
    shelf, clock = Shelf(), Clock()
    with cache(shelf, clock) as kept:
        for asked, seconds in enumerate((5, 10, 20, 30, 30), start=1):
            for _ in range(10):
                with pytest.raises(Unavailable, match="nobody answers"):
                    get(kept)
            assert shelf.asked == asked
            clock.turn(seconds=seconds)
        shelf.held = published()
        assert get(kept) == published()


def test_a_clock_that_is_set_back_holds_no_failure() -> None:
    shelf, clock = Shelf(), Clock()
    with cache(shelf, clock) as kept:
        with pytest.raises(Unavailable):
            get(kept)
        shelf.held = published()
        clock.turn(minutes=-10)
        assert get(kept) == published()


PUBLISHED = PLATFORM.publication(at=AT)
EARLIER = Period(PUBLISHED.tcb_info.period.start - timedelta(seconds=1), PUBLISHED.tcb_info.period.end)
NUMBERED = replace(
    PUBLISHED,
    tcb_info=replace(PUBLISHED.tcb_info, evaluation_data_number=20),
    qe_identity=replace(PUBLISHED.qe_identity, evaluation_data_number=20),
    pck_crl=replace(PUBLISHED.pck_crl, number=20),
    root_crl=replace(PUBLISHED.root_crl, number=20),
)
OLDER = {
    f"{name} {how}": (name, replace(NUMBERED, **{member: replace(getattr(NUMBERED, member), **change)}))
    for name, member, number in (
        ("tcb_info", "tcb_info", "evaluation_data_number"),
        ("qe_identity", "qe_identity", "evaluation_data_number"),
        ("pck_crl", "pck_crl", "number"),
        ("root_ca_crl", "root_crl", "number"),
    )
    for how, change in (("number", {number: 19}), ("date", {"period": EARLIER}))
}


@pytest.mark.parametrize("which", OLDER)
def test_no_document_goes_back(which: str) -> None:
    name, older = OLDER[which]
    shelf, clock = Shelf(NUMBERED.collateral()), Clock()
    with cache(shelf, clock) as kept:
        first = get(kept)
        shelf.held = older.collateral()
        clock.turn(hours=24)
        assert get(kept) is first
        until(lambda: kept.holdings()[0].failures == 1)
        assert get(kept) is first
        failure = kept.holdings()[0].failure
        assert failure is not None
        assert failure.code == ROLLED_BACK
        assert name in (failure.seen or "")
        assert name in (failure.wanted or "")


def test_one_line_is_not_compared_with_another() -> None:
    shelf, memory = Shelf(NUMBERED.collateral()), ProcessMemory()
    with cache(shelf, Clock(), store=memory, line="early") as early:
        get(early)
    shelf.held = published()
    with cache(shelf, Clock(), store=memory) as standard:
        assert get(standard) == published()
    with cache(shelf, Clock(), store=memory, line="early") as early, pytest.raises(Unavailable) as caught:
        get(early)
    assert caught.value.code == ROLLED_BACK


FOREIGN = PLATFORM.publication(at=AT)
POISON = {
    "another root's": (OTHER.collateral(at=AT), NOT_GENUINE),
    "changed": (replace(published(), tcb_info=published().tcb_info.replace("UpToDate", "Revoked ")), NOT_GENUINE),
    "garbage": (replace(published(), pck_crl="zz"), NOT_GENUINE),
    "of tomorrow": (published(days=1), NOT_NOW),
    "of last year": (published(days=-365), NOT_NOW),
    "of TDX": (PLATFORM.td_collateral(at=AT), OF_ANOTHER),
    "of TDX in part": (
        replace(FOREIGN, qe_identity=PLATFORM.td_publication(at=AT).qe_identity).collateral(),
        OF_ANOTHER,
    ),
    "of another family": (
        replace(FOREIGN, tcb_info=replace(FOREIGN.tcb_info, fmspc=Fmspc(bytes(6)))).collateral(),
        OF_ANOTHER,
    ),
}


@pytest.mark.parametrize("which", ["pck_crl", "root_crl"])
def test_a_crls_number_has_at_most_20_octets(which: str) -> None:
    numbered = replace(PUBLISHED, **{which: replace(getattr(PUBLISHED, which), number=1 << 160)})
    with cache(Shelf(numbered.collateral()), Clock()) as kept, pytest.raises(MalformedCollateral, match="out of range"):
        get(kept)


@pytest.mark.parametrize("what", POISON)
def test_nothing_enters_that_is_not_what_was_asked_for(what: str) -> None:
    bad, code = POISON[what]
    with cache(Shelf(bad), Clock()) as kept, pytest.raises(Unavailable) as caught:
        get(kept)
    assert caught.value.code == code
    with cache(FirstOf([("bad", Shelf(bad)), ("good", Shelf(published()))]), Clock()) as kept:
        assert get(kept) == published(), "and the next source is asked"


def test_the_other_cas_revocation_list_does_not_do() -> None:
    with cache(Shelf(published()), Clock()) as kept, pytest.raises(Unavailable) as caught:
        kept.collateral(fmspc=PLATFORM.fmspc, ca="processor", tee="SGX")
    assert (caught.value.code, caught.value.wanted) == (OF_ANOTHER, "processor")


def test_a_source_behind_gives_way_to_the_next() -> None:
    behind, ahead, clock = Shelf(published()), Shelf(published()), Clock()
    with cache(FirstOf([("behind", behind), ("ahead", ahead)]), clock) as kept:
        first = get(kept)
        ahead.held, behind.held = published(hours=24), published(seconds=-1)
        clock.turn(hours=24)
        assert get(kept) is first
        until(lambda: get(kept) == published(hours=24))


def test_each_tee_is_its_own() -> None:
    td = PLATFORM.td_collateral(at=AT)
    td = replace(td, pck_crl=published().pck_crl, root_ca_crl=published().root_ca_crl)
    with (
        site(answers(td, tee="tdx") | answers(published())) as running,
        OnlineCollateral(running.url, verify=trust()) as online,
        cache(online, Clock()) as kept,
    ):
        assert get(kept, tee="SGX") == published()
        assert get(kept, tee="TDX") == td
        assert len(running.asked) == FOUR + 2, "the revocation lists are shared"


def test_what_was_used_longest_ago_makes_room_after_what_holds_nothing() -> None:
    policy = CachePolicy(entries=2)
    shelf = Shelf(published())
    with cache(shelf, Clock(), policy=policy) as kept:
        first = get(kept)
        for number in range(10):
            with pytest.raises(Unavailable):
                kept.collateral(fmspc=Fmspc(bytes([number] * 6)), ca=PLATFORM.ca, tee="SGX")
        assert len(kept.holdings()) == 2
        assert get(kept) is first
        assert shelf.asked == 11, "questions about families that do not exist push nothing out"


def test_without_an_anchor_it_is_intels() -> None:
    with (
        CachedCollateral(Shelf(published()), now=Clock()) as kept,
        pytest.raises(Unavailable, match="does not verify"),
    ):
        get(kept)


def test_a_refreshed_file_is_seen_at_once(tmp_path: Path) -> None:
    clock, folder = Clock(AT + timedelta(minutes=1)), tmp_path / "collateral"
    path = PLATFORM.save_collateral(tmp_path, at=AT)
    with cache(DirectoryCollateral(folder), clock) as kept:
        first = get(kept)
        assert get(kept) is first
        path.write_text(published(seconds=1).to_json())
        assert get(kept) == published(seconds=1)


def test_a_file_that_appears_is_seen_at_once_and_one_that_goes_is_not_missed(tmp_path: Path) -> None:
    folder = tmp_path / "collateral"
    with cache(DirectoryCollateral(folder), Clock()) as kept:
        with pytest.raises(Unavailable, match="no collateral for FMSPC"):
            get(kept)
        path = PLATFORM.save_collateral(tmp_path, at=AT)
        first = get(kept)
        path.unlink()
        assert get(kept) is first


@pytest.mark.parametrize("bad", ["{}", published(seconds=-1).to_json(), OTHER.collateral(at=AT).to_json()])
def test_a_file_that_is_worse_changes_nothing(tmp_path: Path, bad: str) -> None:
    path = PLATFORM.save_collateral(tmp_path, at=AT)
    with cache(DirectoryCollateral(tmp_path / "collateral"), Clock()) as kept:
        first = get(kept)
        path.write_text(bad)
        assert get(kept) is first
        assert kept.holdings()[0].failures == 1
        get(kept)
        assert kept.holdings()[0].failures == 1, "nor is it read again while it is the same"


def test_a_bad_file_with_nothing_else_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    PLATFORM.save_collateral(tmp_path, at=AT).write_text("{}")
    with cache(DirectoryCollateral(tmp_path / "collateral"), Clock()) as kept, pytest.raises(MalformedCollateral):
        get(kept)


def test_at_hand_is_what_is_held_unchanged_and_not_due() -> None:
    shelf, clock = Shelf(published()), Clock()

    def at_hand() -> Collateral | None:
        return kept.at_hand(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")

    with cache(shelf, clock) as kept:
        assert at_hand() is None
        assert shelf.asked == 0, "nobody was asked"
        first = get(kept)
        assert at_hand() is first
        clock.turn(hours=24)
        assert at_hand() is None, "a refresh is due: whoever asks for it starts it"
        clock.turn(days=30)
        assert at_hand() is None
        assert shelf.asked == 1


def test_a_changed_file_is_not_at_hand(tmp_path: Path) -> None:
    PLATFORM.save_collateral(tmp_path, at=AT)
    with cache(DirectoryCollateral(tmp_path / "collateral"), Clock()) as kept:
        first = get(kept)
        assert kept.at_hand(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX") is first
        for file in (tmp_path / "collateral").iterdir():
            file.write_text(file.read_text() + "\n")
        assert kept.at_hand(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX") is None
