"""Which release made a database's tables, and what is to be done about it.

A database that has none gets them whole. One of an earlier release is migrated forwards, by the steps in
`stores/migrations/versions`, in one transaction that other nodes wait for. One of a later release is refused: nothing
here knows what its tables mean. Alembic is loaded only where there is something to migrate: that takes a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, insert, inspect, select

from ambergate.core.errors import SettingsError
from ambergate.stores.tables import METADATA
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# Every revision, oldest first; the last is what `tables.METADATA` describes.
REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")
HEAD: Final = REVISIONS[-1]

# As Alembic has it; Alembic keeps it when it migrates.
_VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_BEFORE_MIGRATIONS: Final = "schema_versions"  # the table by which earlier code told versions


def prepare(engine: Engine) -> None:
    """Make the tables, or bring them up to this release.

    Raises:
        SettingsError: the database is that of a newer release.
        Unavailable: the database does not answer.
    """
    with reading(engine) as connection:
        if _revision(connection) == HEAD:
            return
    with writing(engine) as connection:
        found = _revision(connection)  # again: another node may have done it meanwhile
        if found == HEAD:
            return
        if found is None and not inspect(connection).has_table(_BEFORE_MIGRATIONS):
            METADATA.create_all(connection, checkfirst=False)
            _VERSION.create(connection)
            connection.execute(insert(_VERSION).values(version_num=HEAD))
            return
        import_module("ambergate.stores.migrations").upgrade(connection)


def _revision(connection: Connection) -> str | None:
    """What the database says it is; None when it says nothing.

    Raises:
        SettingsError: it names a revision that is not known here.
    """
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found = connection.scalar(select(_VERSION.c.version_num))
    if found is not None and found not in REVISIONS:
        raise SettingsError(
            "the database is that of a newer release",
            seen=f"schema {found}",
            wanted=f"schema {HEAD} or older",
            hint="start that release, or restore the backup that was made before the upgrade",
        )
    return found
