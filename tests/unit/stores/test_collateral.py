"""Accepted collateral: kept, never replaced by older, whoever asks and however many do."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from ambergate.core.errors import SettingsError
from ambergate.pcs.admission import MAX_CRL_NUMBER, goes_back
from ambergate.stores.collateral import CollateralStore
from ambergate.stores.engine import writing
from ambergate.stores.tables import DOCUMENTS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    Marks = dict[str, tuple[int, datetime]]

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(engine: Engine) -> CollateralStore:
    return CollateralStore(engine)


def marks(number: int = 7, issued: datetime = AT, **other: tuple[int, datetime]) -> Marks:
    return dict.fromkeys(DOCUMENTS, (number, issued)) | other


def test_what_is_kept_comes_back(engine: Engine, store: CollateralStore) -> None:
    assert store.load("a") is None
    assert store.save("a", "{}", at=AT, marks=marks()) is None
    assert store.load("a") == ("{}", AT)
    assert CollateralStore(engine).load("a") == ("{}", AT)
    assert store.load("b") is None


def test_the_same_and_newer_take_its_place(store: CollateralStore) -> None:
    store.save("a", "first", at=AT, marks=marks())
    assert store.save("a", "same", at=AT, marks=marks()) is None
    newer = marks(pck_crl=(8, AT + timedelta(seconds=1)))
    assert store.save("a", "newer", at=AT, marks=newer) is None
    assert store.load("a") == ("newer", AT)


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("older", [(6, AT + timedelta(days=1)), (8, AT - timedelta(seconds=1)), (6, AT)])
def test_nothing_of_it_goes_back(store: CollateralStore, name: str, older: tuple[int, datetime]) -> None:
    store.save("a", "kept", at=AT, marks=marks())
    attempt = marks(9, AT + timedelta(days=2)) | {name: older}
    assert store.save("a", "older", at=AT, marks=attempt) == marks()
    assert store.load("a") == ("kept", AT)


def test_keys_are_apart(store: CollateralStore) -> None:
    store.save("a", "new", at=AT, marks=marks(9))
    assert store.save("b", "old", at=AT, marks=marks(1)) is None


_MARK = st.tuples(
    st.one_of(st.integers(0, 20), st.integers(0, MAX_CRL_NUMBER)),
    st.one_of(st.sampled_from([AT, AT + timedelta(seconds=1)]), st.datetimes(timezones=st.just(UTC))).map(
        lambda at: at.replace(microsecond=0)
    ),
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])  # own keys
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(DOCUMENTS, _MARK)), min_size=1, max_size=8))
def test_the_database_compares_as_the_cache_does(engine: Engine, tried: list[Marks]) -> None:
    store, accepted, key = CollateralStore(engine), None, str(uuid4())
    for each in tried:
        refused = accepted is not None and goes_back(each, accepted)
        assert store.save(key, "{}", at=AT, marks=each) == (accepted if refused else None)
        accepted = accepted if refused else each


def test_of_many_writers_the_newest_stays(engine: Engine) -> None:
    stores = [CollateralStore(engine) for _ in range(4)]
    start = threading.Barrier(len(stores))

    def write(index: int) -> None:
        start.wait(30)
        for number in range(index, 20, len(stores)):
            stores[index].save("a", str(number), at=AT, marks=marks(number))

    threads = [threading.Thread(target=write, args=(index,)) for index in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert stores[0].load("a") == ("19", AT)


@pytest.mark.parametrize("column", ["accepted_at", "tcb_info_number", "pck_crl_issued"])
def test_what_was_damaged_is_said_to_be(engine: Engine, store: CollateralStore, column: str) -> None:
    store.save("a", "kept", at=AT, marks=marks())
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE collateral SET {column} = 'zz'"))
    with pytest.raises(SettingsError, match="not what was written"):
        store.load("a") if column == "accepted_at" else store.save("a", "x", at=AT, marks=marks(0))
