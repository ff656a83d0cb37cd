"""Signing material: made once, sealed at rest, the same after every start and on every thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import LargeBinary, String, column, select, table, update

from ambergate.core.errors import SettingsError
from ambergate.stores.engine import open_database, reading, writing
from ambergate.stores.sealing import Sealer
from ambergate.stores.signing_keys import SigningMaterialStore

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

MATERIAL = {
    "root.key": b"the very secret root key",
    "root.certificate": b"DER of a root",
    "nonce.key": bytes(range(32)),
}
ROWS = table("signing_material", column("name", String), column("sealed", LargeBinary))


def opened(engine: Engine, kek: bytes = b"k" * 32) -> dict[str, bytes]:
    store = SigningMaterialStore(engine, Sealer(kek))
    return {name: store.ensure(name, never) for name in MATERIAL}


def made(engine: Engine) -> dict[str, bytes]:
    store = SigningMaterialStore(engine, Sealer(b"k" * 32))
    return {name: store.ensure(name, lambda value=value: value) for name, value in MATERIAL.items()}  # type: ignore[misc]


def never() -> bytes:
    raise AssertionError


def test_material_is_made_at_the_first_start_alone(place: Path | str) -> None:
    for start in (made, opened, opened):
        engine = open_database(place)
        assert start(engine) == MATERIAL
        engine.dispose()


def test_nothing_of_it_is_readable_at_rest(sqlite: Engine, tmp_path: Path) -> None:
    made(sqlite)
    sqlite.dispose()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"root.key" in kept, "this looks where the data is"
    for value in MATERIAL.values():
        assert value not in kept


def test_another_key_encryption_key_opens_nothing(engine: Engine) -> None:
    made(engine)
    with pytest.raises(SettingsError, match="another key-encryption key"):
        opened(engine, b"x" * 32)


def test_a_changed_value_is_refused(engine: Engine) -> None:
    made(engine)
    with reading(engine) as connection:
        sealed = connection.execute(select(ROWS.c.sealed).where(ROWS.c.name == "root.key")).scalar_one()
    with writing(engine) as connection:
        changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        connection.execute(update(ROWS).where(ROWS.c.name == "root.key").values(sealed=changed))
    with pytest.raises(SettingsError, match="changed"):
        opened(engine)


def test_values_cannot_change_places(engine: Engine) -> None:
    """Else whoever writes to the database could have the root's key used as the nonce key."""
    made(engine)
    with reading(engine) as connection:
        sealed = {row.name: row.sealed for row in connection.execute(select(ROWS.c.name, ROWS.c.sealed))}
    with writing(engine) as connection:
        connection.execute(update(ROWS).where(ROWS.c.name == "nonce.key").values(sealed=sealed["root.key"]))
    with pytest.raises(SettingsError, match="changed"):
        opened(engine)


def test_a_maker_that_fails_leaves_nothing_behind(engine: Engine) -> None:
    with pytest.raises(AssertionError):
        opened(engine)
    assert made(engine) == MATERIAL


def test_two_that_start_together_get_the_same(place: Path | str) -> None:
    both_ready = threading.Barrier(4)
    got: list[bytes] = []

    def start(number: int) -> None:
        engine = open_database(place)
        store = SigningMaterialStore(engine, Sealer(b"k" * 32))
        both_ready.wait(10)
        got.append(store.ensure("key", lambda: bytes([number])))
        engine.dispose()

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert all(each == got[0] for each in got)
