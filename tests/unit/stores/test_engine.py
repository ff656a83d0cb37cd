"""Databases are durable, private, the same on both engines, and fail with our own errors."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, Table, create_engine, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.stores.engine import MAX_URL, open_database, open_engine, reading, writing
from ambergate.stores.tables import changes
from ambergate.stores.transactions import WRITERS_LOCK, writing_by_driver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Postgres

METADATA = MetaData()
NUMBERS = Table("numbers", METADATA, Column("n", Integer, primary_key=True))
CHILDREN = Table("children", METADATA, Column("n", ForeignKey("numbers.n"), nullable=False))
HOST = "postgresql://amber@db.example/amber"


@pytest.fixture
def engine(place: Path | str) -> Iterator[Engine]:
    engine = open_database(place)
    with writing(engine) as connection:
        METADATA.create_all(connection)
    yield engine
    engine.dispose()


def test_the_pragmas_hold_on_every_connection(sqlite: Engine) -> None:
    with reading(sqlite) as connection:
        pragmas = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_postgres_waits_for_commits_and_not_for_ever_for_locks(postgres: Postgres) -> None:
    """Whatever the role or the database has as its default."""
    engine = open_database(postgres.fresh())
    postgres.run(postgres.uri, f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off")
    engine.dispose()
    with writing(engine) as connection:
        shown = [connection.scalar(text(f"SHOW {name}")) for name in ("synchronous_commit", "lock_timeout")]
    engine.dispose()
    assert shown == ["on", "5s"]


def test_readers_on_postgres_cannot_write_and_see_one_state(postgres: Postgres) -> None:
    engine = open_database(postgres.fresh())
    with writing(engine) as connection:
        METADATA.create_all(connection)
    with reading(engine) as reader:
        assert reader.execute(select(NUMBERS)).all() == []
        with writing(engine) as connection:
            connection.execute(insert(NUMBERS).values(n=1))
        assert reader.execute(select(NUMBERS)).all() == []
    with pytest.raises(Unavailable), reading(engine) as reader:
        reader.execute(insert(NUMBERS).values(n=2))
    engine.dispose()


def test_only_the_owner_may_read(sqlite: Engine, tmp_path: Path) -> None:
    with writing(sqlite) as connection:
        connection.execute(text("CREATE TABLE numbers (n INTEGER)"))
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


def test_writers_wait_for_each_other(place: Path | str, engine: Engine) -> None:
    """Of this process and of another: what a writer read still holds when it writes."""
    other = open_database(place)

    def add(n: int) -> None:
        with writing(other if n % 2 else engine) as connection:
            highest = connection.scalar(select(NUMBERS.c.n).order_by(NUMBERS.c.n.desc()).limit(1)) or 0
            connection.execute(insert(NUMBERS).values(n=highest + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    other.dispose()
    with reading(engine) as connection:
        assert connection.scalars(select(NUMBERS.c.n).order_by(NUMBERS.c.n)).all() == list(range(1, 41))


def test_what_was_committed_is_there_after_reopening(place: Path | str) -> None:
    for expected in (0, 1):
        engine = open_database(place)
        with writing(engine) as connection:
            METADATA.create_all(connection)
            assert len(connection.execute(select(NUMBERS)).all()) == expected
            connection.execute(insert(NUMBERS).values(n=expected))
        engine.dispose()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"x" * 4096)
    with pytest.raises(Unavailable):
        open_database(tmp_path / "c.db")


def test_a_held_file_is_unavailable(sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambergate.stores.engine.BUSY_MS", 50)
    sqlite.dispose()
    holder = sqlite3.connect(tmp_path / "database.sqlite", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable), writing(sqlite):
            pass
    finally:
        holder.close()


def test_a_held_server_is_unavailable(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    place = postgres.fresh()
    open_database(place).dispose()
    monkeypatch.setattr("ambergate.stores.engine.BUSY_MS", 50)
    engine = open_engine(place)
    holder = create_engine(engine.url)
    with holder.begin() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})"))
        with pytest.raises(Unavailable), writing(engine):
            pass
    holder.dispose()
    engine.dispose()


def test_a_connection_that_was_lost_is_made_anew(postgres: Postgres) -> None:
    """A server that was restarted costs nobody an error."""
    engine = open_database(postgres.fresh())
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
    postgres.run(postgres.uri, f"{ends}'{engine.url.database}'")
    with reading(engine) as connection:
        assert connection.scalar(select(1)) == 1
    engine.dispose()


def test_no_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        open_database(f"postgresql://amber@/amber?host={tmp_path}")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        open_database(tmp_path / "none" / "a.db")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://db.example/amber", "cannot be used"),
        ("sqlite:///a.sqlite", "cannot be used"),
        ("postgresql+asyncpg://db.example/amber", "cannot be used"),
        (HOST + "?application_name=" + "x" * MAX_URL, "cannot be used"),
        ("postgresql://amber@db.example:port/amber", "cannot be read"),
        ("postgresql://amber@db.example", "names no database"),
        ("postgresql://amber@db.example/", "names no database"),
        ("postgresql://amber:hunter2@db.example/amber", "holds a password"),
        (HOST + "?options=-c%20fsync=off", "unknown parameter"),
        (HOST + "?password=hunter2", "unknown parameter"),
        (HOST + "?sslmode=require", "would not be checked"),
        (HOST + "?sslmode=disable", "would not be checked"),
        ("postgresql://amber@/amber?host=db.example&sslmode=prefer", "would not be checked"),
        ("postgresql://amber@/amber?host=/run&host=db.example&sslmode=prefer", "would not be checked"),
        (HOST + "?sslmode=verify-full&insecure_sslmode=require", "sslmode twice"),
    ],
)
def test_urls_that_are_refused(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        open_engine(url)
    assert "hunter2" not in str(caught.value.as_dict())


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        (HOST, "verify-full"),
        (HOST + "?sslmode=verify-full&sslrootcert=/etc/ca.pem", "verify-full"),
        (HOST + "?insecure_sslmode=require", "require"),
        ("postgresql://amber@127.0.0.1/amber", None),
        ("postgresql://amber@localhost/amber?sslmode=prefer", "prefer"),
        ("postgresql://amber@/amber?host=/run/postgresql", None),
        ("postgresql://amber@/amber?host=db.example", "verify-full"),
        ("postgresql://amber@127.0.0.1/amber?host=db.example", "verify-full"),
    ],
)
def test_other_machines_are_spoken_to_over_checked_tls(url: str, mode: str | None) -> None:
    engine = open_engine(url)
    assert engine.url.query.get("sslmode") == mode
    assert "insecure_sslmode" not in engine.url.query


def test_what_is_written_by_the_driver_is_whole_or_nothing(engine: Engine) -> None:
    def write(text: str) -> None:
        with writing_by_driver(engine) as cursor:
            cursor.execute(f"INSERT INTO changes (kind, number) VALUES ('{text}', 1)")
            if text == "dropped":
                raise RuntimeError

    write("kept")
    with pytest.raises(RuntimeError):
        write("dropped")
    with pytest.raises(IntegrityError):
        write("kept")
    with reading(engine) as connection:
        assert connection.scalars(select(changes.c.kind)).all() == ["kept"]


def test_writers_by_the_driver_wait_for_the_others(place: Path | str, engine: Engine) -> None:
    """Each reads what the other wrote: no update is lost."""
    with writing(engine) as connection:
        connection.execute(insert(changes).values(kind="count", number=0))

    def add(by_driver: bool) -> None:  # noqa: FBT001
        own = open_database(place)
        for _ in range(20):
            if by_driver:
                with writing_by_driver(own) as cursor:
                    cursor.execute("SELECT number FROM changes WHERE kind = 'count'")
                    (number,) = cursor.fetchone() or (None,)
                    assert number is not None
                    cursor.execute(f"UPDATE changes SET number = {number + 1}")
            else:
                with writing(own) as connection:
                    number = connection.scalar(select(changes.c.number).where(changes.c.kind == "count"))
                    assert number is not None
                    connection.execute(update(changes).values(number=number + 1))
        own.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, [True, False, True, False]))
    with reading(engine) as connection:
        assert connection.scalar(select(changes.c.number)) == 80
