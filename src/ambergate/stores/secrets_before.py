"""Keys as the releases before 0.2 kept them: in one version, sealed under what the whole database is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import exists, insert, select, update

from ambergate.core.errors import SettingsError
from ambergate.stores.sealed_values import secret_context
from ambergate.stores.tables import broker_secret_versions as _versions
from ambergate.stores.tables import broker_secrets as _secrets
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from ambergate.stores.sealing import Sealer
    from ambergate.stores.version_keys import VersionKeys


def convert(
    engine: Engine, sealer: Sealer, version_keys: VersionKeys, context: Callable[[UUID, int, str, str], str]
) -> None:
    """Give each such key its version 1, under a version key. Each key by itself: what was begun is gone on with.

    Raises:
        SettingsError: sealed under another key-encryption key, or changed since.
        Unavailable: the database does not answer.
    """
    without = ~exists().where(_versions.c.secret_id == _secrets.c.id)
    with reading(engine) as connection:
        waiting = connection.scalars(select(_secrets.c.id).where(without)).all()
    for text in waiting:
        with writing(engine) as connection:
            row = connection.execute(select(_secrets).where((_secrets.c.id == text) & without)).first()
        if row is None:
            continue  # another node did it
        secret_id, made_at = _told(row.id, row.created_at)
        secret = sealer.open(row.sealed, context=secret_context(secret_id, row.policy))
        version_key, sealing = version_keys.make(at=made_at)
        version = {
            "secret_id": row.id,
            "version": 1,
            "state": "enabled",
            "version_key": str(version_key),
            "ciphertext": sealing.seal(secret, context=context(secret_id, 1, row.manager, row.policy)),
            "size": row.size,
            "created_at": row.created_at,
        }
        # Only if it is still what was read: a node of the release before may have changed its policy meanwhile.
        same = (_secrets.c.id == text) & (_secrets.c.sealed == row.sealed) & (_secrets.c.policy == row.policy)
        with writing(engine) as connection:
            if connection.execute(update(_secrets).where(same).values(sealed=b"", size=0)).rowcount:
                connection.execute(insert(_versions).values(version))


def _told(text: str, created_at: str) -> tuple[UUID, datetime]:
    try:
        return UUID(text), datetime.fromisoformat(created_at)
    except ValueError as exc:
        raise SettingsError("a stored key is not what was written", seen=text[:36]) from exc
