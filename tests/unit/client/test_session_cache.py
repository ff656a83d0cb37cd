"""A token that may be given again: for how long, to whom, and how the next one is fetched ahead of its end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.client.conftest import HOST, TlsServer, plain
from tests.unit.client.test_session import NOW, Services, Source

from ambergate.client.attempt import Attempt
from ambergate.client.session import MARGIN, Session
from ambergate.client.settings import Settings
from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = 100.0  # seconds


@dataclass
class Place:
    """A session with a clock, a die and a background of the test's own."""

    services: Services
    settings: Settings
    now = NOW
    die = 0
    behind: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = Session(
            self.settings,
            Source(),
            now=lambda: self.now,
            token_bytes=lambda count: bytes([self.die]) * count,
            behind=self.behind.append,
        )

    def token_after(self, seconds: float) -> str:
        self.now = NOW + timedelta(seconds=seconds)
        return self.session.token()

    def fetch_behind(self) -> None:
        self.behind.pop()()


@pytest.fixture
def place(server: TlsServer) -> Place:
    services = Services()
    server.answer = services
    made = Settings()
    for name, value in {
        "endpoint_url": f"https://{HOST}:{server.port}/",
        "endpoint_ip": "127.0.0.1",
        "cacerts": server.roots,
        "token_cache": f"{CACHE:g}",
    }.items():
        made = made.changed(name, value.encode())
    return Place(services, made)


def test_a_token_is_given_again_for_as_long_as_the_settings_say(place: Place) -> None:
    first = place.token_after(0)
    assert place.token_after(CACHE - 1) == first
    assert place.token_after(CACHE) != first
    assert len(place.services.tokens) == 2


def test_by_default_none_is_given_again() -> None:
    assert Settings().token_cache == 0


def test_a_token_about_to_end_is_never_given(place: Place) -> None:
    place.services.life = timedelta(seconds=50)
    first = place.token_after(0)
    last = 50 - MARGIN.total_seconds()
    assert place.token_after(last - 1) == first
    assert place.token_after(last) != first


def test_a_token_that_names_no_end_is_never_given_again(place: Place) -> None:
    place.services.instead["attest"] = lambda: plain(b'{"token": "e30.e30.c2ln"}')
    place.token_after(0)
    del place.services.instead["attest"]
    assert place.token_after(1) == place.services.tokens[0]


def test_a_clock_set_back_makes_no_token_young_again(place: Place) -> None:
    assert place.token_after(0) != place.token_after(-1)


def test_other_settings_get_their_own_token(place: Place) -> None:
    first = place.token_after(0)
    assert place.session.token(place.settings.changed("userdata", b"x")) != first
    uncached = place.settings.changed("token_cache", b"0")
    assert place.session.token(uncached) != place.session.token(uncached)


def test_an_attempt_tells_that_the_token_was_kept(place: Place) -> None:
    place.token_after(0)
    attempt = Attempt()
    place.session.token(attempt=attempt)
    assert attempt.notes == {"token": f"kept since {NOW.isoformat()}"}


@pytest.mark.parametrize(("die", "share"), [(0, 0.6), (128, 0.75), (255, 0.9)])
def test_the_next_one_is_fetched_ahead_behind_a_reader(place: Place, die: int, share: float) -> None:
    place.die = die
    first = place.token_after(0)
    assert place.token_after(CACHE * share - 1) == first
    assert place.behind == []
    assert place.token_after(CACHE * share + 1) == first  # this reader does not wait
    assert place.token_after(CACHE * share + 2) == first
    assert len(place.behind) == 1  # and one fetches for all
    place.fetch_behind()
    second = place.session.token()
    assert second != first
    assert place.token_after(CACHE + 1) == second


def test_a_renewal_that_fails_is_tried_again_and_the_end_stays_the_end(place: Place) -> None:
    first = place.token_after(0)
    place.services.instead["attest"] = lambda: plain(json.dumps({}).encode(), status="500 No")
    assert place.token_after(80) == first
    place.fetch_behind()
    assert place.token_after(89) == first
    assert place.behind == []  # not at once
    assert place.token_after(91) == first
    place.fetch_behind()
    with pytest.raises(Unavailable):
        place.token_after(CACHE)
    del place.services.instead["attest"]
    assert place.token_after(CACHE) != first


def test_a_background_that_cannot_work_costs_nothing(place: Place) -> None:
    def no_threads(_work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    session = Session(place.settings, Source(), now=lambda: place.now, token_bytes=bytes, behind=no_threads)
    first = session.token()
    place.now = NOW + timedelta(seconds=80)
    assert session.token() == first
    assert session.token() == first


@pytest.mark.parametrize("value", [b"-1", b"86401", b"nan", b"inf", b"soon"])
def test_seconds_that_are_none_are_refused(value: bytes) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings().changed("token_cache", value)
    assert caught.value.code == "settings-token_cache"
