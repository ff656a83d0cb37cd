"""Putting a database under another key-encryption key, or under a fresh data key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from ambergate.stores.data_keys import check_direct, make_data_key, unwrapped
from ambergate.stores.sealed_values import SEALED
from ambergate.stores.sealing import Sealer, key_id, sealed_under
from ambergate.stores.tables import data_keys as _keys
from ambergate.stores.transactions import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine, Row

    from ambergate.stores.key_encryption import KeyEncryptionKey
    from ambergate.stores.sealed_values import SealedColumn

BATCH: Final = 1000  # rows that are held in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeyed:
    """What was done.

    Attributes:
        kek: id of the KEK that the database is under now.
        data_key: id of the data key that seals now.
        fresh: whether that is a new one; False: the database was under this KEK already, and only what had been
            sealed under older data keys since was sealed anew.
        resealed: table -> how many of its values were sealed anew.
    """

    kek: str
    data_key: str
    fresh: bool
    resealed: dict[str, int] = field(default_factory=dict)


def rekey(
    engine: Engine,
    old: KeyEncryptionKey,
    new: KeyEncryptionKey,
    *,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Rekeyed:
    """Seal every value anew, under a fresh data key that the new KEK wraps. One transaction: all of it, or nothing.

    After it the old KEK opens nothing that is in the database. Older data keys stay, wrapped by the new KEK: a service
    that still runs with them may write one more value, which is then readable, and sealed anew by the next call.
    It proves nothing of copies: whoever has the old KEK and an older copy of the database reads that copy.

    Args:
        engine: the database.
        old: the KEK that it is under, or was before an earlier call.
        new: the KEK that it shall be under; the same as `old` for a fresh data key alone.
        token_bytes: randomness for keys and nonces.

    Raises:
        SettingsError: the database is under neither, or a value does not open.
        Unavailable: the database, or what keeps a KEK, does not answer.
    """
    with writing(engine) as connection:
        rows = connection.execute(select(_keys)).all()
        if rows and all(row.kek == new.id for row in rows) and old.id != new.id:
            active, older = unwrapped(rows, new)
            fresh = False
        else:
            active, older = _replaced(connection, rows, old, new, token_bytes)
            fresh = True
        sealer = Sealer(active, older=older, token_bytes=token_bytes)
        resealed = {values.table.name: _reseal(connection, values, sealer) for values in SEALED}
    return Rekeyed(kek=new.id, data_key=sealer.key_id.hex(), fresh=fresh, resealed=resealed)


def _replaced(
    connection: Connection,
    rows: Sequence[Row[Any]],
    old: KeyEncryptionKey,
    new: KeyEncryptionKey,
    token_bytes: Callable[[int], bytes],
) -> tuple[bytes, list[bytes]]:
    """A fresh data key that seals, and all that were there, wrapped by the new KEK, to open."""
    if rows:
        active, older = unwrapped(rows, old)
        older = [active, *older]
    else:
        check_direct(connection, old)
        older = [] if old.local is None else [old.local]
    known = {row.id for row in rows}
    for key in older:
        identity = key_id(key).hex()
        values = {"kek": new.id, "wrapped": new.wrap(key), "active": False}
        if identity in known:
            connection.execute(update(_keys).where(_keys.c.id == identity).values(values))
        elif identity != new.id:  # a KEK under which values were sealed directly opens them from here on
            connection.execute(_keys.insert().values(id=identity, **values))
    return make_data_key(connection, new, token_bytes=token_bytes), older


def _reseal(connection: Connection, values: SealedColumn, sealer: Sealer) -> int:
    """Seal anew what is not under the sealer's own key; counts it."""
    name, key = values.column.name, values.key.name
    store = update(values.table).where(values.key == bindparam("_of")).values({name: bindparam("_anew")})
    done, last = 0, ""
    while True:
        query = select(values.table).where(values.some & (values.key > last)).order_by(values.key).limit(BATCH)
        rows = connection.execute(query).all()
        anew = [
            {"_of": getattr(row, key), "_anew": _sealed_anew(sealer, getattr(row, name), values.context(row))}
            for row in rows
            if sealed_under(getattr(row, name)) != sealer.key_id
        ]
        if anew:
            connection.execute(store, anew)
            done += len(anew)
        if len(rows) < BATCH:
            return done
        last = getattr(rows[-1], key)


def _sealed_anew(sealer: Sealer, sealed: bytes, context: str) -> bytes:
    return sealer.seal(sealer.open(sealed, context=context), context=context)
