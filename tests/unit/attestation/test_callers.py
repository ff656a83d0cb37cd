"""Callers: known from memory, never from anything older than five seconds."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import event
from tests.unit.stores.policy_rows import with_policies

from ambergate.core.errors import AmberError, NotAuthorised, TooManyRequests, Unavailable
from ambergate.services.attestation.callers import MAX_KEY, Callers
from ambergate.services.attestation.memory import AHEAD, MISSED, REFRESH, RETRY, TRUST
from ambergate.stores.api_keys import ApiKeyStore
from ambergate.stores.engine import open_database
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TICK = timedelta(milliseconds=1)


class Clock:
    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def store(engine: Engine) -> ApiKeyStore:
    with_policies(engine, UUID(int=1), UUID(int=3))
    return ApiKeyStore(engine)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers(store: ApiKeyStore, clock: Clock) -> Callers:
    return Callers(store, now=clock)


@pytest.fixture
def reads(store: ApiKeyStore, engine: Engine) -> Counter[str]:
    """How often the database was asked for something."""
    del store  # its own are over
    counted: Counter[str] = Counter()
    event.listen(engine, "before_cursor_execute", lambda *args: counted.update([args[2].split()[0]]))
    return counted


def refusal(callers: Callers, text: str) -> dict[str, object]:
    with pytest.raises(NotAuthorised) as caught:
        callers.authorise(text)
    return caught.value.as_dict()


def test_a_key_lets_its_holder_in_on_its_terms(callers: Callers, store: ApiKeyStore) -> None:
    terms = Terms(
        scopes=frozenset({"manage"}),
        policy_ids=(UUID(int=3),),
        policy_must_match=True,
        default_algorithm="RS256",
        profile="v2",
    )
    key, text = store.create("build farm", at=AT, terms=terms)
    caller = callers.authorise(text)
    assert (caller.key_id, caller.label, caller.scopes) == (key.id, "build farm", frozenset({"manage"}))
    assert (caller.policy_ids, caller.policy_must_match) == ((UUID(int=3),), True)
    assert (caller.default_algorithm, caller.profile) == ("RS256", "v2")
    assert callers.at_hand(text) == caller


def test_who_may_not_ask_is_not_told_why(callers: Callers, store: ApiKeyStore) -> None:
    key, text = store.create("x", at=AT)
    store.revoke(key.id, at=AT)
    _, ended = store.create("y", at=AT - TICK, terms=Terms(expires_at=AT))
    told = refusal(callers, text)
    wrong = [
        "",
        "A" * 44,
        text[:-1],
        text + "A",
        text.lower(),
        text.swapcase(),
        "A" * (MAX_KEY + 1),
        "é",
        "\x00",
        ended,
    ]
    for each in [*wrong, "' OR 1=1 --", "\udcff"]:
        assert refusal(callers, each) == told
    assert text not in str(told)


def test_the_database_is_not_asked_per_request(
    callers: Callers, store: ApiKeyStore, clock: Clock, reads: Counter[str]
) -> None:
    _, text = store.create("x", at=AT)
    callers.authorise(text)
    reads.clear()
    for _ in range(1000):
        assert callers.at_hand(text) is not None
        callers.authorise(text)
    assert not reads, "not at all"
    clock.at += REFRESH
    assert callers.at_hand(text) is None
    callers.authorise(text)
    assert reads["SELECT"] == 1, "one number says that nothing has changed"


def test_one_reads_ahead_while_the_others_are_answered(
    callers: Callers, store: ApiKeyStore, clock: Clock, reads: Counter[str]
) -> None:
    _, text = store.create("x", at=AT)
    callers.authorise(text)
    reads.clear()
    clock.at += AHEAD
    assert callers.at_hand(text) is None, "this one reads"
    for _ in range(10):
        assert callers.at_hand(text) is not None
    assert not reads
    callers.authorise(text)
    callers.authorise(text)
    assert reads["SELECT"] == 1
    assert callers.at_hand(text) is not None
    clock.at += AHEAD
    assert callers.at_hand(text) is None
    clock.at += REFRESH - AHEAD - TICK
    assert callers.at_hand(text) is not None
    clock.at += TICK
    for _ in range(10):
        assert callers.at_hand(text) is None, "nobody has read: all wait for it"


def test_unknown_keys_do_not_storm_the_database(callers: Callers, clock: Clock, reads: Counter[str]) -> None:
    callers_of_nothing = [f"wrong {number}" for number in range(200)]
    for text in callers_of_nothing:
        refusal(callers, text)
    assert reads["SELECT"] == 1
    clock.at += MISSED
    for text in callers_of_nothing:
        refusal(callers, text)
    assert reads["SELECT"] == 2


def test_a_revoked_key_stops_within_five_seconds_on_every_node(place: Path | str, store: ApiKeyStore) -> None:
    """Each node has its own connection, and its own moment of looking."""
    key, text = store.create("x", at=AT)
    engines = [open_database(place) for _ in range(3)]
    clocks = [Clock() for _ in engines]
    nodes = [Callers(ApiKeyStore(engine), now=clock) for engine, clock in zip(engines, clocks, strict=True)]
    for number, (node, clock) in enumerate(zip(nodes, clocks, strict=True)):
        clock.at = AT - timedelta(milliseconds=700 * number)
        node.authorise(text)
        clock.at = AT
    store.revoke(key.id, at=AT)
    for node, clock in zip(nodes, clocks, strict=True):
        clock.at = AT + REFRESH
        assert node.at_hand(text) is None
        refusal(node, text)
    for engine in engines:
        engine.dispose()


def test_a_key_ends_by_itself_to_the_instant(callers: Callers, store: ApiKeyStore, clock: Clock) -> None:
    _, text = store.create("x", at=AT, terms=Terms(expires_at=AT + AHEAD - TICK))
    callers.authorise(text)
    clock.at = AT + AHEAD - TICK
    with pytest.raises(NotAuthorised):
        callers.at_hand(text)
    refusal(callers, text)


def test_a_new_key_is_known_soon(callers: Callers, store: ApiKeyStore, clock: Clock) -> None:
    refusal(callers, "nothing yet")
    _, text = store.create("x", at=AT)
    refusal(callers, text)
    clock.at += MISSED
    callers.authorise(text)


def test_what_is_changed_is_known_soon(callers: Callers, store: ApiKeyStore, clock: Clock) -> None:
    key, text = store.create("x", at=AT)
    assert callers.authorise(text).policy_ids == ()
    store.set_policies(key.id, [UUID(int=1)], must_match=False)
    clock.at += REFRESH
    assert callers.authorise(text).policy_ids == (UUID(int=1),)


class Failing(ApiKeyStore):
    """A store whose database goes away at will."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.gone = False
        self.asked = 0

    def since(self, number: int):  # type: ignore[no-untyped-def]  # noqa: ANN201  as the one that it stands before
        self.asked += 1
        if self.gone:
            raise Unavailable("the database does not answer", seen="OperationalError")
        return super().since(number)


def test_an_outage_is_bridged_for_five_seconds_and_no_longer(engine: Engine, clock: Clock) -> None:
    """Then a revocation may have been missed: nobody is let in."""
    store = Failing(engine)
    _, text = store.create("x", at=AT)
    callers = Callers(store, now=clock)
    callers.authorise(text)
    store.gone = True
    clock.at = AT + TRUST - TICK
    callers.authorise(text)
    clock.at = AT + TRUST
    with pytest.raises(Unavailable):
        callers.authorise(text)
    assert callers.at_hand(text) is None
    store.gone = False
    clock.at += RETRY
    callers.authorise(text)


def test_a_database_that_is_gone_is_not_stormed(engine: Engine, clock: Clock) -> None:
    store = Failing(engine)
    _, text = store.create("x", at=AT)
    callers = Callers(store, now=clock)
    store.gone = True
    for _ in range(100):
        with pytest.raises(Unavailable):
            callers.authorise(text)
    assert store.asked == 1
    clock.at += RETRY
    with pytest.raises(Unavailable):
        callers.authorise(text)
    assert store.asked == 2


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])
def test_a_clock_that_jumps_has_the_keys_read_again(
    callers: Callers, store: ApiKeyStore, clock: Clock, jump: timedelta
) -> None:
    key, text = store.create("x", at=AT)
    callers.authorise(text)
    store.revoke(key.id, at=AT)
    clock.at += jump
    assert callers.at_hand(text) is None
    refusal(callers, text)


def test_another_database_in_its_place(tmp_path: Path, clock: Clock) -> None:
    """An older backup: keys that it does not hold are unknown again."""
    engines = [open_database(tmp_path / name) for name in ("now.sqlite", "backup.sqlite")]
    current, backup = (ApiKeyStore(engine) for engine in engines)
    _, kept = backup.create("kept", at=AT)
    _, text = current.create("x", at=AT)
    current.create("y", at=AT)
    callers = Callers(current, now=clock)
    callers.authorise(text)
    callers._known._since = backup.since
    clock.at += REFRESH
    refusal(callers, text)
    callers.authorise(kept)
    for engine in engines:
        engine.dispose()


def test_a_rate_is_kept_to(callers: Callers, store: ApiKeyStore, clock: Clock) -> None:
    _, text = store.create("x", at=AT, terms=Terms(rate=0.5, burst=3))
    _, other = store.create("y", at=AT)
    for _ in range(3):
        callers.authorise(text)
    for ask in (callers.authorise, callers.at_hand):
        with pytest.raises(TooManyRequests) as caught:
            ask(text)
        assert caught.value.retry_after == 2
        assert caught.value.wanted == "at most 0.5 requests per second, 3 at once"
        assert ask(other) is not None
    clock.at += timedelta(seconds=2)
    callers.authorise(text)


def test_threads_share_callers(callers: Callers, store: ApiKeyStore, clock: Clock) -> None:
    """While keys are made and revoked beside them, who holds a good key is let in, each time."""
    _, text = store.create("good", at=AT)
    failures: list[AmberError] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                callers.authorise(text)
            except AmberError as exc:
                failures.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        key, other = store.create("x", at=AT)
        clock.at += REFRESH
        callers.authorise(other)
        store.revoke(key.id, at=AT)
        clock.at += REFRESH
        refusal(callers, other)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
