"""An issuer's keys: kept, fetched anew when old or unknown, never more often than allowed, never for ever."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from tests.integration.keybroker.forge import AT, jwk, rsa_key

from ambergate.core.errors import AmberError, MalformedToken, TimedOut, TooLarge, Unavailable
from ambergate.core.token.certified import CertifiedKeys
from ambergate.core.token.check import KeySet
from ambergate.services.keybroker.trust import (
    MAX_AGE,
    MAX_STALE,
    RETRY_AFTER,
    IssuerKeys,
    TrustedIssuer,
    TrustedIssuers,
)

PUBLIC = rsa_key().public_key()
SECOND = timedelta(seconds=1)


def key_set(*kids: str) -> str:
    return json.dumps({"keys": [jwk(PUBLIC, kid, "PS384") for kid in kids]})


@dataclass
class Issuer:
    """Answers with a text, or fails."""

    answer: str | AmberError = field(default_factory=lambda: key_set("one"))
    asked: int = 0

    def __call__(self) -> str:
        self.asked += 1
        if isinstance(self.answer, AmberError):
            raise self.answer
        return self.answer


def test_fetched_once_and_kept() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    first = keys.get(AT, kid="one")
    assert keys.get(AT + MAX_AGE - SECOND, kid="one") is first
    assert issuer.asked == 1


def test_fetched_anew_when_old() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    keys.get(AT)
    keys.get(AT + MAX_AGE)
    assert issuer.asked == 2


def test_a_new_key_is_seen_without_waiting_for_the_old_set_to_age() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    first = keys.get(AT, kid="one")
    issuer.answer = key_set("one", "two")
    assert keys.get(AT + RETRY_AFTER, kid="two") is not first
    assert issuer.asked == 2


def test_strangers_key_ids_do_not_make_us_flood_the_issuer() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    for step in range(100):
        keys.get(AT + timedelta(milliseconds=90) * step, kid=f"unknown {step}")
    assert issuer.asked == 1
    keys.get(AT + RETRY_AFTER, kid="unknown")
    assert issuer.asked == 2


def test_a_failing_issuer_is_not_asked_for_every_request() -> None:
    issuer = Issuer(Unavailable("away"))
    keys = IssuerKeys(issuer)
    for _ in range(10):
        with pytest.raises(Unavailable):
            keys.get(AT, kid="one")
    assert issuer.asked == 1


def test_it_recovers() -> None:
    issuer = Issuer(Unavailable("away"))
    keys = IssuerKeys(issuer)
    with pytest.raises(Unavailable):
        keys.get(AT)
    issuer.answer = key_set("one")
    assert isinstance(keys.get(AT + RETRY_AFTER, kid="one"), KeySet)


def test_known_keys_stay_good_while_the_issuer_is_away_but_not_for_ever() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    first = keys.get(AT, kid="one")
    issuer.answer = Unavailable("away")
    assert keys.get(AT + MAX_AGE, kid="one") is first
    assert keys.get(AT + MAX_STALE - SECOND, kid="one") is first
    with pytest.raises(Unavailable):
        keys.get(AT + MAX_STALE, kid="one")


def test_an_unknown_key_while_the_issuer_is_away_is_not_the_callers_fault() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    keys.get(AT)
    issuer.answer = Unavailable("away")
    with pytest.raises(Unavailable):
        keys.get(AT + RETRY_AFTER, kid="two")
    assert isinstance(keys.get(AT + RETRY_AFTER, kid="one"), KeySet)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        "{}",
        '{"keys": [{"kty": "oct", "k": "AAAA", "kid": "one", "alg": "HS256"}]}',
        MalformedToken("x"),
        TimedOut("x"),
        TooLarge("x"),
    ],
)
def test_whatever_the_issuer_does_is_unavailable_to_the_caller(answer: str | AmberError) -> None:
    """A malformed key set is not the fault of who sends a token."""
    with pytest.raises(Unavailable):
        IssuerKeys(Issuer(answer)).get(AT, kid="one")


def test_a_clock_set_back_does_not_stop_fetching() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    keys.get(AT)
    keys.get(AT - timedelta(days=2), kid="two")
    assert issuer.asked == 2


def test_many_at_once_fetch_once() -> None:
    """Those who come while a fetch is under way use its result."""
    started, go = threading.Event(), threading.Event()

    class Slow(Issuer):
        def __call__(self) -> str:
            started.set()
            assert go.wait(10)
            return super().__call__()

    issuer = Slow()
    keys = IssuerKeys(issuer)
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(keys.get(AT, kid="one"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert issuer.asked == 1
    assert len(got) == 8
    assert len(set(map(id, got))) == 1


def test_who_has_keys_does_not_wait_for_a_slow_issuer() -> None:
    """While one request fetches, another with a known key is served with what is there."""
    started, go = threading.Event(), threading.Event()
    issuer = Issuer()
    keys = IssuerKeys(issuer)
    first = keys.get(AT, kid="one")

    def slow() -> str:
        started.set()
        assert go.wait(10)
        return key_set("one")

    keys._fetch = slow
    thread = threading.Thread(target=keys.get, args=(AT + MAX_AGE,))
    thread.start()
    assert started.wait(10)
    assert keys.get(AT + MAX_AGE, kid="one") is first
    go.set()
    thread.join()


def trusted(issuer: Issuer, source: tuple[str, bytes] | None) -> TrustedIssuers:
    return TrustedIssuers([TrustedIssuer(issuer="https://a", keys=IssuerKeys(issuer), source=source)])


def test_a_new_configuration_serves_with_the_keys_of_the_old_while_the_issuer_is_away() -> None:
    here, issuer = ("https://a/certs", b"roots"), Issuer()
    old = trusted(issuer, here)
    old.ready(AT)
    issuer.answer = Unavailable("away")
    new = trusted(issuer, here)
    new.take_over(old)
    new.ready(AT + SECOND)
    assert issuer.asked == 1
    with pytest.raises(Unavailable):
        new.ready(AT + MAX_STALE)


@pytest.mark.parametrize("source", [("https://b/certs", b"roots"), ("https://a/certs", b"other roots"), None])
def test_keys_from_another_place_or_under_other_roots_are_not_taken_over(source: tuple[str, bytes] | None) -> None:
    old, issuer = trusted(Issuer(), ("https://a/certs", b"roots") if source else None), Issuer()
    old.ready(AT)
    new = trusted(issuer, source)
    new.take_over(old)
    new.ready(AT)
    assert issuer.asked == 1


@dataclass
class Root:
    """Vouches for the keys of a set until an instant, or for none."""

    until: datetime
    refuses: bool = False

    def __call__(self, text: str, at: datetime) -> CertifiedKeys:
        assert at < self.until
        if self.refuses:
            raise MalformedToken("not mine")
        return CertifiedKeys(KeySet.from_json(text), self.until)


def test_what_a_root_vouches_for_ends_with_it() -> None:
    """Before the keys are old, and also while the issuer is away."""
    issuer, root = Issuer(), Root(AT + SECOND)
    keys = IssuerKeys(issuer, vouch=root, retry_after=SECOND)
    first = keys.get(AT, kid="one")
    root.until = AT + 2 * SECOND
    assert keys.get(AT + SECOND, kid="one") is not first
    assert issuer.asked == 2
    issuer.answer = Unavailable("away")
    with pytest.raises(Unavailable):
        keys.get(AT + 2 * SECOND, kid="one")


def test_a_set_that_the_root_does_not_vouch_for_takes_the_place_of_none() -> None:
    issuer, root = Issuer(), Root(AT + timedelta(days=9))
    keys = IssuerKeys(issuer, vouch=root)
    first = keys.get(AT, kid="one")
    root.refuses = True
    assert keys.get(AT + MAX_AGE, kid="one") is first
    with pytest.raises(Unavailable):
        keys.get(AT + MAX_STALE, kid="one")


def test_algorithms_that_are_not_taken_are_no_keys() -> None:
    issuer = Issuer()
    assert IssuerKeys(issuer, algorithms=["PS384"]).get(AT).kids == {"one"}
    with pytest.raises(Unavailable):
        IssuerKeys(issuer, algorithms=["ES256"]).get(AT)


def test_forged_key_ids_of_one_issuer_do_not_delay_another() -> None:
    """Each issuer has a limit of its own."""
    one, two = Issuer(), Issuer()
    first, second = IssuerKeys(one), IssuerKeys(two)
    first.get(AT)
    second.get(AT)
    for step in range(50):
        first.get(AT + RETRY_AFTER + timedelta(milliseconds=step), kid=f"forged {step}")
    assert (one.asked, two.asked) == (2, 1)
    two.answer = key_set("one", "two")
    assert "two" in second.get(AT + RETRY_AFTER, kid="two").kids
