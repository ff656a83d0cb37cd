"""A database is under one key-encryption key, and can be put under another without losing anything."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import LargeBinary, delete, event, insert, select, update

from ambergate.core.errors import NotAuthorised, SettingsError
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores import rekey as rekeying
from ambergate.stores.data_keys import open_sealer
from ambergate.stores.engine import open_database, reading, writing
from ambergate.stores.key_encryption import LocalKey, key_place, open_kek
from ambergate.stores.rekey import rekey
from ambergate.stores.sealed_values import SEALED
from ambergate.stores.sealing import Sealer, sealed_under
from ambergate.stores.secrets import SecretStore
from ambergate.stores.signing_keys import SigningMaterialStore
from ambergate.stores.tables import METADATA, data_keys, signing_material
from ambergate.stores.token_keys import TokenKey, TokenKeyStore

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine
    from tests.softhsm import Token

    from ambergate.stores.key_encryption import KeyEncryptionKey

OLD, NEW, THIRD = (LocalKey(bytes([number]) * 32) for number in (1, 2, 3))
MATERIAL = {"a.key": b"first", "b.key": b"second", "c.key": b"third"}
SECRET = uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
POLICY = ResourcePolicy.from_mapping({"mr_enclave": ["00" * 32]})
AT = datetime(2026, 3, 1, tzinfo=UTC)
OF_TOKENS = TokenKey(
    id="aa",
    kind="rsa",
    certificate=b"DER",
    private=b"PKCS#8",
    published_at=AT,
    active_from=AT,
    lifetime=timedelta(minutes=5),
)
TOKEN_KEYS = OF_TOKENS, replace(OF_TOKENS, id="bb", private=None)


def fill(engine: Engine, sealer: Sealer) -> None:
    store = SigningMaterialStore(engine, sealer)
    for name, value in MATERIAL.items():
        store.ensure(name, lambda value=value: value)  # type: ignore[misc]
    TokenKeyStore(engine, sealer).begin(lambda _: TOKEN_KEYS)
    SecretStore(engine, sealer).add(SECRET, b"of the broker", POLICY, at=AT)


def held(engine: Engine, kek: KeyEncryptionKey) -> tuple[dict[str, bytes | None], bytes]:
    sealer = open_sealer(engine, kek)
    store = SecretStore(engine, sealer)
    found = store.find(SECRET)
    assert found is not None
    material = SigningMaterialStore(engine, sealer)
    return {name: material.find(name) for name in MATERIAL}, store.reveal(found)


ALL = (MATERIAL, b"of the broker")
RESEALED = {"signing_material": 3, "signing_keys": 1, "broker_secrets": 0, "broker_version_keys": 1}


def keys_used(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return {
            sealed_under(value).hex()
            for each in SEALED
            for value in connection.scalars(select(each.column).where(each.some))
        }


def test_every_column_of_sealed_values_is_on_the_list() -> None:
    """What is not on it would be lost when its database is put under another key."""
    named = {c for t in METADATA.tables.values() for c in t.c if c.name.startswith("sealed")}
    assert named == {values.column for values in SEALED}
    assert all(isinstance(c.type, LargeBinary) for c in named)


def test_nodes_that_start_together_make_one_data_key(place: Path | str) -> None:
    engines = [open_database(place) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        sealers = list(pool.map(lambda engine: open_sealer(engine, OLD), engines))
    assert len({sealer.key_id for sealer in sealers}) == 1
    assert sealers[0].key_id.hex() != OLD.id, "values are not sealed under the KEK itself"
    for engine in engines:
        engine.dispose()


def test_another_kek_is_refused_before_it_changes_anything(engine: Engine) -> None:
    fill(engine, open_sealer(engine, OLD))
    with pytest.raises(SettingsError, match="under another key-encryption key") as caught:
        open_sealer(engine, NEW)
    assert (caught.value.seen, caught.value.wanted) == (OLD.id, NEW.id)
    assert held(engine, OLD) == ALL


def test_values_from_before_data_keys_open_under_their_kek_and_no_other(engine: Engine) -> None:
    fill(engine, Sealer(OLD.local or b""))
    with pytest.raises(SettingsError, match="sealed under another key-encryption key"):
        open_sealer(engine, NEW)
    with reading(engine) as connection:
        assert connection.execute(select(data_keys)).all() == [], "the wrong key left nothing behind"
    assert held(engine, OLD) == ALL


def test_values_from_before_data_keys_are_no_hardware_keys(sqlite: Engine, softhsm: Token, tmp_path: Path) -> None:
    fill(sqlite, Sealer(OLD.local or b""))
    with pytest.raises(SettingsError, match="sealed under another key-encryption key"):
        open_sealer(sqlite, open_kek(key_place(softhsm.make_aes("late"), tmp_path)))


@pytest.mark.parametrize("direct", [False, True])
def test_rekeyed_the_new_key_opens_all_and_the_old_one_nothing(engine: Engine, *, direct: bool) -> None:
    fill(engine, Sealer(OLD.local or b"") if direct else open_sealer(engine, OLD))
    before = keys_used(engine)
    done = rekey(engine, OLD, NEW)
    assert (done.kek, done.fresh) == (NEW.id, True)
    assert done.resealed == RESEALED
    assert keys_used(engine) == {done.data_key}
    assert not before & {done.data_key}
    assert held(engine, NEW) == ALL
    assert TokenKeyStore(engine, open_sealer(engine, NEW)).all() == TOKEN_KEYS
    with pytest.raises(SettingsError, match="another key-encryption key"):
        open_sealer(engine, OLD)
    with reading(engine) as connection:
        wrapped = connection.scalars(select(data_keys.c.wrapped)).all()
    for value in wrapped:
        with pytest.raises(SettingsError):
            OLD.unwrap(value)


def test_what_a_service_wrote_meanwhile_under_the_old_key_is_not_lost(engine: Engine) -> None:
    """It runs on with the data key it knows; nobody can stop it between the transaction and its restart."""
    running = open_sealer(engine, OLD)
    fill(engine, running)
    rekey(engine, OLD, NEW)
    late = SigningMaterialStore(engine, running)
    assert late.ensure("late.key", lambda: b"late") == b"late"
    assert SigningMaterialStore(engine, open_sealer(engine, NEW)).find("late.key") == b"late"
    again = rekey(engine, OLD, NEW)
    assert (again.fresh, again.resealed["signing_material"]) == (False, 1)
    assert rekey(engine, OLD, NEW).resealed == dict.fromkeys(RESEALED, 0)
    assert SigningMaterialStore(engine, open_sealer(engine, NEW)).find("late.key") == b"late"


def test_a_second_rekey_carries_older_data_keys_along(engine: Engine) -> None:
    running = open_sealer(engine, OLD)
    fill(engine, running)
    rekey(engine, OLD, NEW)
    SigningMaterialStore(engine, running).ensure("late.key", lambda: b"late")
    rekey(engine, NEW, THIRD)
    rekey(engine, THIRD, THIRD)
    with reading(engine) as connection:
        assert set(connection.scalars(select(data_keys.c.kek))) == {THIRD.id}
        assert len(connection.scalars(select(data_keys.c.id).where(data_keys.c.active)).all()) == 1
    assert SigningMaterialStore(engine, open_sealer(engine, THIRD)).find("late.key") == b"late"


def test_a_rekey_that_is_cut_off_changes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekeying, "BATCH", 2)
    fill(engine, open_sealer(engine, OLD))
    updates = 0

    def fail(*arguments: object) -> None:
        nonlocal updates
        updates += "UPDATE signing_material" in str(arguments[2])
        if updates == 2:
            raise NotAuthorised("no")

    event.listen(engine, "before_cursor_execute", fail)
    with pytest.raises(NotAuthorised):
        rekey(engine, OLD, NEW)
    event.remove(engine, "before_cursor_execute", fail)
    assert held(engine, OLD) == ALL
    assert rekey(engine, OLD, NEW).resealed == RESEALED
    assert held(engine, NEW) == ALL


def test_a_changed_value_stops_a_rekey(engine: Engine) -> None:
    fill(engine, open_sealer(engine, OLD))
    where = signing_material.c.name == "b.key"
    with writing(engine) as connection:
        sealed = connection.scalar(select(signing_material.c.sealed).where(where)) or b""
        connection.execute(update(signing_material).where(where).values(sealed=sealed[:-1] + b"\0"))
    with pytest.raises(SettingsError, match="was changed"):
        rekey(engine, OLD, NEW)
    open_sealer(engine, OLD)


def test_a_stranger_to_the_database_cannot_rekey_it(engine: Engine) -> None:
    fill(engine, open_sealer(engine, OLD))
    with pytest.raises(SettingsError, match="another key-encryption key"):
        rekey(engine, THIRD, NEW)
    assert held(engine, OLD) == ALL


def test_data_keys_that_were_tampered_with_are_told(engine: Engine) -> None:
    open_sealer(engine, OLD)
    with writing(engine) as connection:
        row = connection.execute(select(data_keys)).one()
        connection.execute(delete(data_keys))
        connection.execute(insert(data_keys).values(id="00" * 8, kek=OLD.id, wrapped=row.wrapped, active=True))
    with pytest.raises(SettingsError, match="not the one that its row names"):
        open_sealer(engine, OLD)
    with writing(engine) as connection:
        connection.execute(update(data_keys).values(id=row.id, active=False))
    with pytest.raises(SettingsError, match="not as they were written"):
        open_sealer(engine, OLD)


def test_into_a_token_and_out_of_it(engine: Engine, softhsm: Token, tmp_path: Path) -> None:
    label = f"kek {tmp_path.name}"
    hardware = open_kek(key_place(softhsm.make_aes(label).replace(" ", "%20"), tmp_path))
    fill(engine, open_sealer(engine, OLD))
    rekey(engine, OLD, hardware)
    assert held(engine, hardware) == ALL
    rekey(engine, hardware, NEW)
    assert held(engine, NEW) == ALL
