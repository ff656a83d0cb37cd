"""Copies of a SQLite database while it is in use, and back: one file, whole, checked before it counts.

A copy holds what the database holds: sealed keys and secrets, hashes of API keys, the audit log. A service needs the
key-encryption key beside it, which is never in it; keep the two apart. The broker's version keys are in a database of
their own, and copied by themselves: a key that is destroyed is gone from every copy that has not them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from ambergate.core.errors import NotFound, NotIntact, SettingsError, Unavailable
from ambergate.stores.data_keys import open_sealer
from ambergate.stores.engine import BUSY_MS, open_engine
from ambergate.stores.schema import prepare
from ambergate.stores.sealed_values import SEALED
from ambergate.stores.secrets import SecretStore
from ambergate.stores.transactions import reading
from ambergate.stores.version_keys import VersionKeys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from ambergate.stores.engine import Server
    from ambergate.stores.key_encryption import KeyEncryptionKey

_PAGES: Final = 1024  # that are copied at a time; writers go on between them


def copy_database(source: Path, target: Path) -> None:
    """Copy the state of one moment into a new file of mode 0600, by SQLite's online backup; writers are not stopped.

    Raises:
        SettingsError: the source is not there or no database, or the target is there already.
        NotIntact: the copy does not pass SQLite's own check.
        Unavailable: the source cannot be read, or the target not be written.
    """
    if not source.is_file():
        raise SettingsError("there is no such database", seen=source)
    if target.exists():
        raise SettingsError("there is a file already", seen=target, hint="name another, or put it away")
    draft = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _copy(source, draft)
        os.link(draft, target)  # unlike a rename, this does not replace a file that came meanwhile
        _sync(target)
        _sync(target.parent)
    except FileExistsError as exc:
        raise SettingsError("there is a file already", seen=target) from exc
    except sqlite3.DatabaseError as exc:
        raise Unavailable("the database cannot be copied", seen=f"{source}: {exc}") from exc
    except OSError as exc:
        raise Unavailable("the copy cannot be written", seen=f"{target}: {exc.strerror}") from exc
    finally:
        draft.unlink(missing_ok=True)


def check_state(
    database: Path, kek: KeyEncryptionKey, version_keys: Path | str | Server | None = None
) -> tuple[str, int]:
    """Whether a service could start with this database: its schema is known, and all that is sealed in it opens.

    Args:
        database: the file.
        kek: what it is under.
        version_keys: the database of the broker's version keys; the same one when not given.

    Returns:
        Which schema it has, and how many versions of keys in it were destroyed after it was made: those do not open.

    Raises:
        SettingsError: of a newer release, or sealed under another key-encryption key.
        Unavailable: it cannot be read, or what keeps the key-encryption key does not answer.
    """
    with opened(database) as engine:
        prepare(engine)
        sealer = open_sealer(engine, kek)
        with reading(engine) as connection:
            for values in SEALED:
                for row in connection.execute(select(values.table).where(values.some)):
                    sealer.open(getattr(row, values.column.name), context=values.context(row))
            schema = str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())
        if version_keys is None:
            return schema, _destroyed_since(SecretStore(engine, sealer))
        with opened(version_keys) as beside:
            prepare(beside)
            keys = VersionKeys(beside, open_sealer(beside, kek))
            return schema, _destroyed_since(SecretStore(engine, sealer, keys))


def _destroyed_since(store: SecretStore) -> int:
    """How many versions do not open because they were destroyed; whatever else keeps one from opening is raised."""
    count = 0
    for key in store.all():
        for stored in store.versions(key.id):
            if stored.sealed is not None:
                try:
                    store.reveal(stored)
                except NotFound:
                    count += 1
    return count


@contextlib.contextmanager
def opened(database: Path | str | Server) -> Iterator[Engine]:
    """The database, closed at the end."""
    engine = open_engine(database)
    try:
        yield engine
    finally:
        engine.dispose()


def _copy(source: Path, draft: Path) -> None:
    # Not read-only: the log of a database that was not closed has to be read too, which takes its shared memory file.
    uri = f"{source.absolute().as_uri()}?mode=rw"
    with (
        contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_MS / 1000)) as reader,
        contextlib.closing(sqlite3.connect(draft)) as writer,
    ):
        reader.backup(writer, pages=_PAGES, sleep=0.01)
        writer.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        found = writer.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise NotIntact("the copy of the database is damaged", seen=str(found)[:200])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
