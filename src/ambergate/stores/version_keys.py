"""Version keys: one for each version of each of the broker's keys, sealed as everything in their database is.

They are what makes a destroyed key unreadable in every copy of the database: kept in a database of their own, of
which other copies are kept than of the first, or none. Who destroys a version key here destroys what is sealed under it
wherever that has been copied to (crypto-shredding). Kept in the same database they protect the same secrets, and a
destroyed key is readable in the copies that were made before. docs/broker-keys.md says what is promised.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import insert, select, update

from ambergate.core.errors import NotFound, SettingsError, Unavailable
from ambergate.stores.sealed_values import version_key_context
from ambergate.stores.sealing import KEY_SIZE, Sealer
from ambergate.stores.tables import broker_version_keys as _version_keys
from ambergate.stores.transactions import POSTGRES, reading, translated, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from sqlalchemy import Engine

_LOST_HINT: Final = "are these the version keys that belong to this database? An older copy of them lacks newer keys"


class VersionKeys:
    """Version keys by id. Safe to use from several threads and processes.

    Args:
        engine: the database that they are in.
        sealer: from `data_keys.open_sealer`, of the same database.
        token_bytes: randomness for keys, nonces and ids.
    """

    def __init__(
        self, engine: Engine, sealer: Sealer, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._engine = engine
        self._sealer = sealer
        self._token_bytes = token_bytes

    def make(self, *, at: datetime) -> tuple[UUID, Sealer]:
        """A fresh one, on the disk when this returns.

        Raises:
            Unavailable: the database does not answer.
        """
        identity = UUID(bytes=self._token_bytes(16), version=4)
        key = self._token_bytes(KEY_SIZE)
        values = {
            "id": str(identity),
            "sealed": self._sealer.seal(key, context=version_key_context(identity)),
            "created_at": at.isoformat(),
        }
        with writing(self._engine) as connection:
            connection.execute(insert(_version_keys).values(values))
        return identity, Sealer(key, token_bytes=self._token_bytes)

    def open(self, identity: UUID) -> Sealer:
        """This one.

        Raises:
            NotFound: (`key-destroyed`) destroyed.
            SettingsError: it is not here, or sealed under another key-encryption key.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_version_keys).where(_version_keys.c.id == str(identity))).first()
        if row is None:
            raise SettingsError("a version key is not there", code="version-key-lost", seen=identity, hint=_LOST_HINT)
        if row.sealed is None:
            raise NotFound("this key was destroyed", code="key-destroyed", seen=row.destroyed_at)
        return Sealer(
            self._sealer.open(row.sealed, context=version_key_context(identity)), token_bytes=self._token_bytes
        )

    def destroy(self, identities: Collection[UUID], *, at: datetime) -> None:
        """Overwrite these. Which, and when, stays known. What is destroyed already stays so.

        On SQLite they are overwritten in the file and in its log before this returns; what file system and disk keep
        of overwritten blocks is not known here. On PostgreSQL the server removes them when it vacuums the table.

        Raises:
            Unavailable: the database does not answer; or they are destroyed, and the log could not be emptied yet.
                Destroy them again.
        """
        with writing(self._engine) as connection:
            for identity in identities:
                where = (_version_keys.c.id == str(identity)) & _version_keys.c.sealed.is_not(None)
                connection.execute(update(_version_keys).where(where).values(sealed=None, destroyed_at=at.isoformat()))
        if self._engine.dialect.name != POSTGRES:
            self._empty_the_log()

    def check(self) -> None:
        """Ask for one of them, and open it: a wrong key-encryption key must stop the start, not the first release.

        Raises:
            SettingsError: sealed under another key-encryption key, or changed since.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(_version_keys).where(_version_keys.c.sealed.is_not(None)).limit(1)).first()
        if row is not None:
            self._sealer.open(row.sealed, context=version_key_context(row.id))

    def _empty_the_log(self) -> None:
        with translated(), contextlib.closing(self._engine.raw_connection()) as connection:  # in no transaction
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            found = cursor.fetchone()  # busy or not, and how far it came
            cursor.close()
        if found is None or found[0]:
            raise Unavailable("the key is destroyed, and its trace in the log is not yet", hint="destroy it once more")
