"""Kinds of platforms seen: each once, with first and last instant, bounded, and naming nobody."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, inspect, text, update

from ambergate.core.errors import SettingsError
from ambergate.core.measurements import Fmspc, PceId
from ambergate.core.verify.forecast import PlatformKind
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.stores import platforms
from ambergate.stores.engine import writing
from ambergate.stores.platforms import WRITTEN_EVERY, PlatformStore, SeenKind
from ambergate.stores.tables import platforms_seen

if TYPE_CHECKING:
    from sqlalchemy import Engine

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
SGX = PlatformKind(
    tee="SGX",
    fmspc=Fmspc(b"SIM123"),
    ca="platform",
    pce_id=PceId(b"\0\0"),
    tcb=PlatformTcb(components=tuple(range(16)), pce_svn=0xFFFF, qe_isv_svn=8),
    anchor=bytes(range(32)),
)
TDX = replace(SGX, tee="TDX", tcb=replace(SGX.tcb, tee_tcb_svn=bytes(16), tee_tcb_svn2=bytes([1] * 16)))


@pytest.fixture
def store(engine: Engine) -> PlatformStore:
    return PlatformStore(engine)


def kinds(store: PlatformStore) -> list[PlatformKind]:
    return [seen.kind for seen in store.all()]


def test_what_was_seen_is_there_the_last_first(store: PlatformStore) -> None:
    store.saw(SGX, at=AT)
    store.saw(TDX, at=AT + timedelta(microseconds=1))
    second = AT + timedelta(microseconds=1)
    assert store.all() == (
        SeenKind(kind=TDX, first_seen=second, last_seen=second),
        SeenKind(kind=SGX, first_seen=AT, last_seen=AT),
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(SGX, ca="processor"),
        replace(SGX, anchor=bytes(32)),
        replace(SGX, pce_id=PceId(b"\0\1")),
        replace(SGX, fmspc=Fmspc(b"SIM124")),
        replace(SGX, tcb=replace(SGX.tcb, qe_isv_svn=9)),
        replace(SGX, tcb=replace(SGX.tcb, pce_svn=0)),
        replace(SGX, tcb=replace(SGX.tcb, components=(9, *SGX.tcb.components[1:]))),
        TDX,
        replace(TDX, tcb=replace(TDX.tcb, tee_tcb_svn2=None)),
    ],
)
def test_each_difference_is_another_kind(store: PlatformStore, other: PlatformKind) -> None:
    store.saw(SGX, at=AT)
    store.saw(other, at=AT)
    assert set(kinds(store)) == {SGX, other}


def test_it_is_written_once_a_minute(store: PlatformStore, engine: Engine) -> None:
    statements: list[str] = []
    store.saw(SGX, at=AT)
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    for seconds in (0, 1, 59):
        store.saw(SGX, at=AT + timedelta(seconds=seconds))
    assert statements == []
    later = AT + WRITTEN_EVERY
    store.saw(SGX, at=later)
    assert store.all() == (SeenKind(kind=SGX, first_seen=AT, last_seen=later),)


def test_another_process_and_another_start_see_the_same_row(store: PlatformStore, engine: Engine) -> None:
    store.saw(SGX, at=AT)
    again = PlatformStore(engine)
    again.saw(SGX, at=AT + timedelta(seconds=5))
    assert [(seen.first_seen, seen.last_seen) for seen in store.all()] == [(AT, AT + timedelta(seconds=5))]


def test_a_clock_behind_takes_nothing_back(store: PlatformStore, engine: Engine) -> None:
    store.saw(SGX, at=AT)
    PlatformStore(engine).saw(SGX, at=AT - timedelta(hours=1))
    store.saw(SGX, at=AT - timedelta(hours=2))
    assert [(seen.first_seen, seen.last_seen) for seen in store.all()] == [(AT, AT)]


def test_instants_of_any_time_zone(store: PlatformStore) -> None:
    store.saw(SGX, at=AT.astimezone(timezone(timedelta(hours=9))))
    assert store.all()[0].first_seen == AT


def test_the_number_of_kinds_is_bounded(store: PlatformStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "MAX_KINDS", 3)
    made = [replace(SGX, tcb=replace(SGX.tcb, pce_svn=number)) for number in range(5)]
    for number, kind in enumerate(made):
        store.saw(kind, at=AT + timedelta(seconds=number))
    assert kinds(store) == [made[4], made[3], made[2]]
    assert len(store._written) == 3
    store.saw(made[0], at=AT - timedelta(days=1))
    assert kinds(store) == [made[4], made[3], made[0]]


def test_many_threads_make_one_row(store: PlatformStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.saw(SGX, at=AT), range(64)))
    assert kinds(store) == [SGX]


def test_a_database_that_does_not_take_it_is_logged_and_no_more(
    store: PlatformStore, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE platforms_seen"))
    with caplog.at_level(logging.WARNING):
        store.saw(SGX, at=AT)
        store.saw(SGX, at=AT)
    assert [record.getMessage() for record in caplog.records] == [
        "a platform seen was not recorded: the database does not answer"
    ]


def test_rows_that_were_not_written_here(store: PlatformStore, engine: Engine) -> None:
    store.saw(SGX, at=AT)
    with writing(engine) as connection:
        connection.execute(update(platforms_seen).values(fmspc=b"\0"))
    with pytest.raises(SettingsError, match="not what was written"):
        store.all()


def test_no_column_holds_what_names_a_machine(store: PlatformStore, engine: Engine) -> None:
    del store
    columns = {column["name"] for column in inspect(engine).get_columns("platforms_seen")}
    tcb = {"components", "pce_svn", "qe_isv_svn", "tee_tcb_svn", "tee_tcb_svn2"}
    assert columns == {"id", "anchor", "tee", "fmspc", "ca", "pce_id", "first_seen", "last_seen"} | tcb
