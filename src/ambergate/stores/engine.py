"""Databases: SQLite through SQLAlchemy Core, durable at every commit, readable by its owner alone.

Write-ahead logging lets readers go on beside one writer; `synchronous=FULL` makes every commit survive a
power cut. Write transactions begin IMMEDIATE, so that two writers wait for each other instead of failing
half-way.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, event, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

BUSY_MS: Final = 5000  # milliseconds that a writer waits for another
_WRITING: Final = "ambergate_writing"

_versions_metadata = MetaData()
_versions = Table(
    "schema_versions",
    _versions_metadata,
    Column("component", String, primary_key=True),
    Column("version", Integer, nullable=False),
)


def open_database(path: Path) -> Engine:
    """The SQLite database in this file, made with mode 0600 when it is not there.

    Call `dispose()` on it at the end.

    Raises:
        SettingsError: the file cannot be made or opened.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise SettingsError(
            "the database cannot be opened", seen=f"{path}: {exc.strerror}", hint="does its folder exist?"
        ) from exc
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def create_tables(engine: Engine, metadata: MetaData, *, component: str, version: int) -> None:
    """Make a component's tables where they are missing.

    Args:
        engine: the database.
        metadata: the component's tables.
        component: its name in this database.
        version: of its tables; raised whenever they change.

    Raises:
        SettingsError: the database holds this component's tables in another version.
        Unavailable: the database does not answer.
    """
    with writing(engine) as connection:
        _versions_metadata.create_all(connection)
        found = connection.scalar(select(_versions.c.version).where(_versions.c.component == component))
        if found is None:
            connection.execute(insert(_versions).values(component=component, version=version))
        elif found != version:
            raise SettingsError(
                f"the database's {component} tables are of another version",
                seen=found,
                wanted=version,
                hint="use the release that wrote them, or start with a fresh database",
            )
        metadata.create_all(connection)


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent view.

    Raises:
        Unavailable: the database does not answer.
    """
    with _translated(), engine.connect() as connection:
        yield connection


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction: committed at the end, rolled back on any error. `IntegrityError` is the caller's.

    Raises:
        Unavailable: the database does not answer, or another writer held it for `BUSY_MS`.
    """
    with (
        _translated(),
        engine.connect().execution_options(**{_WRITING: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as exc:
        raise Unavailable("the database does not answer", seen=type(exc).__name__) from exc


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  # the driver's own connection
    connection.isolation_level = None  # transactions are begun by `_begin`, not by the driver's guess
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    mode = "IMMEDIATE" if connection.get_execution_options().get(_WRITING) else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {mode}")
