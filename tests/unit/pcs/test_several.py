"""Sources in order: what one lacks the next one gives; when all fail, each is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.pcs.site import AT, PLATFORM, answers, site, trust

from ambergate.core.errors import AmberError, MalformedCollateral, NotAuthorised, SettingsError, TimedOut, Unavailable
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.several import FirstOf

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc


class Failing:
    """A source that has nothing but an error."""

    def __init__(self, error: AmberError) -> None:
        self._error = error
        self.asked = 0

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        del fmspc, ca, tee
        self.asked += 1
        raise self._error


def ask(source: FirstOf) -> Collateral:
    return source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")


@pytest.mark.parametrize("error", [Unavailable("away"), TimedOut("slow"), MalformedCollateral("html")])
def test_it_goes_on_where_a_source_fails(tmp_path: Path, error: AmberError) -> None:
    PLATFORM.save_collateral(tmp_path, at=AT)
    held = DirectoryCollateral(tmp_path / "collateral")
    assert ask(FirstOf([("first", Failing(error)), ("second", held)])).tcb_info


def test_the_first_that_has_it_is_the_last_that_is_asked() -> None:
    never = Failing(Unavailable("away"))
    with site(answers(PLATFORM.collateral(at=AT))) as running, OnlineCollateral(running.url, verify=trust()) as online:
        assert ask(FirstOf([("online", online), ("never", never)])).tcb_info
    assert never.asked == 0


def test_all_failures_are_told(tmp_path: Path) -> None:
    with site({}) as running, OnlineCollateral(running.url, verify=trust()) as online:
        sources = FirstOf([("the PCCS", online), ("the shelf", DirectoryCollateral(tmp_path))])
        with pytest.raises(Unavailable) as caught:
            ask(sources)
    told = caught.value
    assert "the PCCS: the collateral service knows no such document (HTTP 404" in (told.seen or "")
    assert "the shelf: no collateral for FMSPC" in (told.seen or "")
    assert "the PCCS: does Intel support" in (told.hint or "")
    assert "the shelf: `amber collateral fetch` gets it" in (told.hint or "")


def test_all_too_slow_is_too_slow() -> None:
    slow = Failing(TimedOut("slow"))
    with pytest.raises(TimedOut):
        ask(FirstOf([("a", slow), ("b", slow)]))
    with pytest.raises(Unavailable) as caught:
        ask(FirstOf([("a", slow), ("b", Failing(Unavailable("away")))]))
    assert not isinstance(caught.value, TimedOut)


def test_one_source_fails_in_its_own_words() -> None:
    error = MalformedCollateral("html")
    with pytest.raises(MalformedCollateral) as caught:
        ask(FirstOf([("only", Failing(error))]))
    assert caught.value is error


def test_other_errors_are_not_gone_past() -> None:
    never = Failing(Unavailable("away"))
    with pytest.raises(NotAuthorised):
        ask(FirstOf([("a", Failing(NotAuthorised("no"))), ("b", never)]))
    assert never.asked == 0


def test_no_source_is_no_source() -> None:
    with pytest.raises(SettingsError):
        FirstOf([])


def test_what_is_watched_is_what_is_asked_before_any_network(tmp_path: Path) -> None:
    shelf, away = DirectoryCollateral(tmp_path / "collateral"), Failing(Unavailable("away"))
    wanted = {"fmspc": PLATFORM.fmspc, "ca": PLATFORM.ca, "tee": "SGX"}
    behind, before = FirstOf([("away", away), ("shelf", shelf)]), FirstOf([("shelf", shelf), ("away", away)])
    assert (behind.fingerprint(**wanted), before.fingerprint(**wanted)) == (None, None)  # type: ignore[arg-type]  # one table for two calls
    PLATFORM.save_collateral(tmp_path, at=AT)
    assert behind.fingerprint(**wanted) is None  # type: ignore[arg-type]  # as above
    first = before.fingerprint(**wanted)  # type: ignore[arg-type]  # as above
    assert first is not None
    PLATFORM.save_collateral(tmp_path, at=AT)
    assert before.fingerprint(**wanted) not in (None, first)  # type: ignore[arg-type]  # as above
