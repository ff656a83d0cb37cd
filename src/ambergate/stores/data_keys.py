"""Data keys: what the values of a database are sealed under, themselves encrypted under the key-encryption key.

So the KEK can stay where it is, even in hardware, and is asked once at a start; and a database can be put under another
KEK (`stores/rekey.py`). One data key seals; older ones open what it has not sealed anew yet. Databases from before data
keys hold values that are sealed under the KEK itself, and such a KEK goes on opening them.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from ambergate.core.errors import SettingsError
from ambergate.stores.sealed_values import SEALED
from ambergate.stores.sealing import KEY_SIZE, Sealer, key_id, sealed_under
from ambergate.stores.tables import data_keys as _keys
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine, Row

    from ambergate.stores.key_encryption import KeyEncryptionKey


def open_sealer(
    engine: Engine, kek: KeyEncryptionKey, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> Sealer:
    """What seals and opens this database's values. Its data key is made when it has none, once for all nodes.

    Raises:
        SettingsError: the database is under another KEK, or its data keys were changed.
        Unavailable: the database, or what keeps the KEK, does not answer.
    """
    with reading(engine) as connection:
        rows = connection.execute(select(_keys)).all()
    if not rows:
        with writing(engine) as connection:
            rows = connection.execute(select(_keys)).all()  # again: another node may have done it meanwhile
            if not rows:
                check_direct(connection, kek)
                make_data_key(connection, kek, token_bytes=token_bytes)
                rows = connection.execute(select(_keys)).all()
    active, older = unwrapped(rows, kek)
    return Sealer(active, older=older, token_bytes=token_bytes)


def unwrapped(rows: Sequence[Row[Any]], kek: KeyEncryptionKey) -> tuple[bytes, list[bytes]]:
    """The data key that seals, and those that only open: the KEK itself among them, where it is at hand.

    Raises:
        SettingsError: wrapped under another KEK, or changed.
        Unavailable: what keeps the KEK does not answer.
    """
    active: list[bytes] = []
    older: list[bytes] = [] if kek.local is None else [kek.local]
    for row in rows:
        if row.kek != kek.id:
            raise SettingsError(
                "the database is under another key-encryption key",
                seen=row.kek,
                wanted=kek.id,
                hint="give the key that this database was made with, or was last put under by `amber rekey`",
            )
        key = kek.unwrap(row.wrapped)
        if key_id(key).hex() != row.id:
            raise SettingsError("a data key is not the one that its row names", seen=row.id)
        (active if row.active else older).append(key)
    if len(active) != 1:
        raise SettingsError("the database's data keys are not as they were written", seen=f"{len(active)} that seal")
    return active[0], older


def make_data_key(
    connection: Connection, kek: KeyEncryptionKey, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> bytes:
    """A fresh data key, the one that seals from now on, inside a write transaction."""
    key = token_bytes(KEY_SIZE)
    values = {"id": key_id(key).hex(), "kek": kek.id, "wrapped": kek.wrap(key), "active": True}
    connection.execute(insert(_keys).values(values))
    return key


def check_direct(connection: Connection, kek: KeyEncryptionKey) -> None:
    """Before the first data key is made: what is sealed here already must be sealed under this KEK itself.

    Raises:
        SettingsError: it is sealed under another.
    """
    for values in SEALED:
        sealed = connection.scalar(select(values.column).where(values.some).limit(1))
        if sealed is None:
            continue
        found = sealed_under(sealed).hex()
        if kek.local is None or found != kek.id:
            raise SettingsError(
                "a stored value is sealed under another key-encryption key",
                seen=found,
                wanted=kek.id,
                hint="give the key that this database was made with",
            )
