"""Databases are durable, private, versioned, and fail with our own errors."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.stores.engine import create_tables, open_database, reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA = MetaData()
NUMBERS = Table("numbers", METADATA, Column("n", Integer, primary_key=True))
CHILDREN = Table("children", METADATA, Column("n", ForeignKey("numbers.n"), nullable=False))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "a.db")
    create_tables(engine, METADATA, component="numbers", version=1)
    yield engine
    engine.dispose()


def test_the_pragmas_hold_on_every_connection(engine: Engine) -> None:
    with reading(engine) as connection:
        pragmas = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_only_the_owner_may_read(engine: Engine, tmp_path: Path) -> None:
    with writing(engine) as connection:
        connection.execute(insert(NUMBERS).values(n=1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}


def test_a_transaction_is_whole_or_nothing(engine: Engine) -> None:
    def fail_half_way() -> None:
        with writing(engine) as connection:
            connection.execute(insert(NUMBERS).values(n=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with reading(engine) as connection:
        assert connection.execute(select(NUMBERS)).all() == []


def test_foreign_keys_are_enforced_and_integrity_errors_are_the_callers(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(insert(CHILDREN).values(n=7))


def test_writers_wait_for_each_other(engine: Engine) -> None:
    def add(n: int) -> None:
        with writing(engine) as connection:
            highest = connection.scalar(select(NUMBERS.c.n).order_by(NUMBERS.c.n.desc()).limit(1)) or 0
            connection.execute(insert(NUMBERS).values(n=highest + 1))
            assert n >= 0

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    with reading(engine) as connection:
        assert connection.scalars(select(NUMBERS.c.n)).all() == list(range(1, 41))


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    for expected in (0, 1):
        engine = open_database(tmp_path / "b.db")
        create_tables(engine, METADATA, component="numbers", version=1)
        with writing(engine) as connection:
            assert len(connection.execute(select(NUMBERS)).all()) == expected
            connection.execute(insert(NUMBERS).values(n=expected))
        engine.dispose()


def test_tables_of_another_version_are_refused(engine: Engine) -> None:
    with pytest.raises(SettingsError, match="another version"):
        create_tables(engine, METADATA, component="numbers", version=2)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"x" * 4096)
    engine = open_database(tmp_path / "c.db")
    with pytest.raises(Unavailable):
        create_tables(engine, METADATA, component="numbers", version=1)
    engine.dispose()


def test_a_held_database_is_unavailable(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambergate.stores.engine.BUSY_MS", 50)
    engine.dispose()
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable), writing(engine):
            pass
    finally:
        holder.close()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        open_database(tmp_path / "none" / "a.db")
