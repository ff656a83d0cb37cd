"""Transactions that mean the same on both engines: readers see one state, and writers come one after the other.

SQLite has one writer at a time: write transactions begin IMMEDIATE there, so that two of them wait for each other
instead of failing half-way. On PostgreSQL each write transaction first takes one advisory lock of the database,
which has the same effect among all nodes (ADR 0023). What a writer read is therefore still so when it commits.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPICursor

POSTGRES: Final = "postgresql"
# Any number that no other program takes in this database: the first eight letters of the name.
WRITERS_LOCK: Final = int.from_bytes(b"ambergat", "big")
_LOCK: Final = f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})"
_BEGIN: Final = "BEGIN IMMEDIATE"
_WRITING: Final = "ambergate_writing"


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent view.

    Raises:
        Unavailable: the database does not answer.
    """
    with translated(), engine.connect() as connection:
        if engine.dialect.name == POSTGRES:
            connection = connection.execution_options(  # noqa: PLW2901  the same connection, told how to begin
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        yield connection


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction: committed at the end, rolled back on any error. `IntegrityError` is the caller's.

    Raises:
        Unavailable: the database does not answer, or another writer held it for longer than the engine waits.
    """
    with (
        translated(),
        engine.connect().execution_options(**{_WRITING: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextlib.contextmanager
def writing_by_driver(engine: Engine) -> Iterator[DBAPICursor]:
    """As `writing`, through the driver alone: for what is written with every request.

    What SQLAlchemy does for a transaction of four statements takes longer than the database does for them.
    """
    database = engine.dialect.loaded_dbapi
    try:
        with translated():
            connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(_LOCK if engine.dialect.name == POSTGRES else _BEGIN)
            yield cursor
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            connection.close()
    except database.IntegrityError as exc:
        raise IntegrityError("a write", None, exc) from exc
    except database.Error as exc:
        raise _silent(exc) from exc


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """What the database says, in our words."""
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as exc:
        raise _silent(exc) from exc


def _silent(exc: Exception) -> Unavailable:
    return Unavailable("the database does not answer", seen=type(exc).__name__)


def begin_sqlite(connection: Connection) -> None:
    """Begin a transaction on SQLite; a listener of the engine."""
    connection.exec_driver_sql(_BEGIN if connection.get_execution_options().get(_WRITING) else "BEGIN DEFERRED")


def begin_postgres(connection: Connection) -> None:
    """Wait for other writers on PostgreSQL; a listener of the engine. The driver begins the transaction itself."""
    if connection.get_execution_options().get(_WRITING):
        connection.exec_driver_sql(_LOCK)
