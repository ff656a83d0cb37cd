"""The broker's secrets at rest: sealed, bound to id and policy, never readable in the file."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy
from sqlalchemy import select

from ambergate.core.errors import Conflict, NotFound, SettingsError, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.material import OPAQUE
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores.backup import copy_database
from ambergate.stores.engine import open_database, open_engine, reading, writing
from ambergate.stores.migrations import upgrade
from ambergate.stores.schema import prepare
from ambergate.stores.sealing import Sealer
from ambergate.stores.secrets import SecretStore
from ambergate.stores.tables import broker_version_keys
from ambergate.stores.version_keys import VersionKeys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Engine, Row

AT = datetime(2026, 11, 1, tzinfo=UTC)
STRICT = ResourcePolicy.from_mapping({"mr_enclave": "0a" * 32})
LOOSE = ResourcePolicy.from_mapping({"mr_enclave": ["0a" * 32, "0b" * 32], "dangerously_allow_debug": True})
SECRET = b"the launch codes, 32 bytes long."


@pytest.fixture
def store(engine: Engine) -> SecretStore:
    return SecretStore(engine, Sealer(b"k" * 32))


# Version 3 (the one in the original's sample configuration), 1, 4, 7, nil, and all ones.
@pytest.mark.parametrize(
    "text",
    [
        "ae6281b3-e4fe-3db5-82fd-000000000001",
        "c232ab00-9414-11ec-b3c8-9f68deced846",
        "1397c628-faee-4301-9b38-f4414c6a3780",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
def test_a_secret_is_kept_under_any_uuid(store: SecretStore, text: str) -> None:
    store.add(UUID(text), SECRET, STRICT, at=AT, label="database")
    found = store.find(UUID(text))
    assert found is not None
    assert (found.id, found.label, found.policy, found.size, found.created_at) == (
        UUID(text),
        "database",
        STRICT,
        len(SECRET),
        AT,
    )
    assert store.reveal(found) == SECRET


def test_the_file_does_not_hold_the_secret(sqlite: Engine, tmp_path: Path) -> None:
    store = SecretStore(sqlite, Sealer(b"k" * 32))
    store.add(uuid4(), SECRET, STRICT, at=AT)
    sqlite.dispose()
    for part in tmp_path.iterdir():
        assert SECRET not in part.read_bytes()


def test_nothing_printed_of_a_stored_secret_holds_it(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    assert "sealed" not in repr(store.find(key))


def test_what_is_not_there_is_not_found(store: SecretStore) -> None:
    assert store.find(uuid4()) is None
    assert store.remove(uuid4()) is False
    assert store.set_policy(uuid4(), STRICT, before=STRICT) is False
    assert store.all() == ()


def test_an_id_is_given_once(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    with pytest.raises(SettingsError, match="exists already"):
        store.add(key, b"another", LOOSE, at=AT)
    found = store.find(key)
    assert found is not None
    assert store.reveal(found) == SECRET


def test_removed_is_gone(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    store.destroy(key, at=AT)
    assert store.remove(key) is True
    assert store.find(key) is None


def test_what_is_not_destroyed_is_not_forgotten(store: SecretStore) -> None:
    """Its version key would live on, in a table that nobody looks through."""
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    store.destroy(key, at=AT)
    store.add_version(key, SECRET, number=2, at=AT)
    with pytest.raises(SettingsError, match="not destroyed"):
        store.remove(key)
    assert store.find(key, 2) is not None


def test_a_policy_can_be_changed_by_the_store(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    assert store.set_policy(key, LOOSE, before=STRICT) is True
    found = store.find(key)
    assert found is not None
    assert found.policy == LOOSE
    assert store.reveal(found) == SECRET


def alter(engine: Engine, statement: str, value: object) -> None:
    with writing(engine) as connection:
        connection.execute(sqlalchemy.text(statement), {"value": value})


def test_a_policy_loosened_in_the_database_opens_nothing(store: SecretStore, engine: Engine) -> None:
    """Writing to the database is not enough to get a secret released to another enclave."""
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    alter(engine, "UPDATE broker_secrets SET policy = :value", LOOSE.to_json())
    found = store.find(key)
    assert found is not None
    assert found.policy == LOOSE
    with pytest.raises(SettingsError):
        store.reveal(found)


def test_a_secret_moved_to_another_id_does_not_open(store: SecretStore, engine: Engine) -> None:
    key = uuid4()
    store.add(uuid4(), SECRET, STRICT, at=AT)
    with writing(engine) as connection:
        columns = "label, policy, sealed, size, created_at"
        for statement in (
            f"INSERT INTO broker_secrets (id, {columns}) SELECT :value, {columns} FROM broker_secrets",
            "UPDATE broker_secret_versions SET secret_id = :value",
        ):
            connection.execute(sqlalchemy.text(statement), {"value": str(key)})
    found = store.find(key)
    assert found is not None
    with pytest.raises(SettingsError):
        store.reveal(found)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("broker_secrets policy", "{}"),
        ("broker_secrets policy", "not json"),
        ("broker_secrets algorithm", "DES"),
        ("broker_secrets manager", "another"),
        ("broker_secret_versions created_at", "yesterday"),
        ("broker_secret_versions state", "released"),
        ("broker_secret_versions state", "destroyed"),
        ("broker_secret_versions version_key", "none"),
        ("broker_secret_versions version_key", "00000000-0000-0000-0000-000000000000"),
        ("broker_secret_versions ciphertext", b""),
        ("broker_secret_versions ciphertext", b"\1" * 60),
        ("broker_version_keys sealed", b"\1" * 60),
    ],
)
def test_a_row_changed_behind_our_back_is_our_error_not_the_callers(
    store: SecretStore, engine: Engine, column: str, value: object
) -> None:
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    table, name = column.split()
    alter(engine, f"UPDATE {table} SET {name} = :value", value)
    with pytest.raises(SettingsError):
        found_and_revealed(store, key)


def found_and_revealed(store: SecretStore, key: UUID, version: int | None = None) -> bytes:
    found = store.find(key, version)
    assert found is not None
    return store.reveal(found)


def test_another_key_encryption_key_stops_the_start(store: SecretStore, engine: Engine) -> None:
    store.add(uuid4(), SECRET, STRICT, at=AT)
    with pytest.raises(SettingsError, match="another key-encryption key"):
        SecretStore(engine, Sealer(b"x" * 32))


def test_versions_are_kept_beside_each_other(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, b"one", STRICT, at=AT)
    store.add_version(key, b"two", number=2, at=AT)
    assert [found_and_revealed(store, key, number) for number in (None, 1, 2)] == [b"two", b"one", b"two"]
    assert store.find(key, 3) is None
    assert [(one.version, one.latest) for one in store.versions(key)] == [(1, 2), (2, 2)]


def test_of_two_that_rotate_at_once_the_second_is_told(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, b"one", STRICT, at=AT)
    store.add_version(key, b"two", number=2, at=AT)
    with pytest.raises(SettingsError, match="rotated meanwhile"):
        store.add_version(key, b"other two", number=2, at=AT)
    with pytest.raises(NotFound):
        store.add_version(uuid4(), b"x", number=2, at=AT)
    assert found_and_revealed(store, key) == b"two"


def test_a_version_does_not_open_as_another(store: SecretStore, engine: Engine) -> None:
    """Who can write to the database can not have an old key used as the new one, but by taking the new one away."""
    key = uuid4()
    store.add(key, b"one", STRICT, at=AT)
    store.add_version(key, b"two", number=2, at=AT)
    for column in ("ciphertext", "version_key"):
        statement = f"SELECT {column} FROM broker_secret_versions WHERE version = 1"
        with writing(engine) as connection:
            value = connection.execute(sqlalchemy.text(statement)).scalar_one()
        alter(engine, f"UPDATE broker_secret_versions SET {column} = :value WHERE version = 2", value)
    with pytest.raises(SettingsError):
        found_and_revealed(store, key)


def test_a_policy_is_exchanged_for_the_one_that_was_judged_alone(store: SecretStore) -> None:
    """Whether it may be was decided by the policy that the key was under then."""
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    with pytest.raises(Conflict, match="meanwhile"):
        store.set_policy(key, LOOSE, before=LOOSE)
    found = store.find(key)
    assert found is not None
    assert found.policy == STRICT


def test_another_policy_is_put_on_every_version(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, b"one", STRICT, at=AT)
    store.add_version(key, b"two", number=2, at=AT)
    store.add_version(key, b"three", number=3, at=AT)
    store.destroy(key, at=AT, version=2)
    assert store.set_policy(key, LOOSE, before=STRICT)
    assert [one.policy for one in store.versions(key)] == [LOOSE] * 3
    assert [found_and_revealed(store, key, number) for number in (1, 3)] == [b"one", b"three"]


def test_the_state_of_a_version(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, b"one", STRICT, at=AT)
    store.add_version(key, b"two", number=2, at=AT)
    store.set_state(key, "disabled", at=AT, version=1)
    assert [one.state for one in store.versions(key)] == ["disabled", "enabled"]
    store.set_state(key, "disabled", at=AT)
    assert [one.state for one in store.versions(key)] == ["disabled", "disabled"]
    store.destroy(key, at=AT, version=1)
    store.set_state(key, "enabled", at=AT)
    assert [one.state for one in store.versions(key)] == ["destroyed", "enabled"]
    for version in (1, 3):
        with pytest.raises(NotFound):
            store.set_state(key, "enabled", at=AT, version=version)


def test_destroyed_is_gone_and_stays_known(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, b"one", STRICT, at=AT)
    before = store.find(key)
    assert before is not None
    assert store.destroy(key, at=AT) == (1,)
    assert store.destroy(key, at=AT) == (1,), "again is no error: it may have failed half-way"
    with pytest.raises(NotFound, match="destroyed"):
        found_and_revealed(store, key)
    with pytest.raises(NotFound, match="destroyed"):
        store.reveal(before)
    with pytest.raises(NotFound):
        store.destroy(uuid4(), at=AT)
    with pytest.raises(SettingsError, match="exists already"):
        store.add(key, b"two", STRICT, at=AT)


def test_what_is_destroyed_does_not_open_in_an_older_copy_of_the_database(tmp_path: Path) -> None:
    """Whoever has the copy, the key-encryption key, and today's version keys."""
    engines = [open_database(tmp_path / name) for name in ("broker", "keys")]
    sealer = Sealer(b"k" * 32)
    store = SecretStore(engines[0], sealer, VersionKeys(engines[1], sealer))
    gone, kept = uuid4(), uuid4()
    for key in (gone, kept):
        store.add(key, SECRET, STRICT, at=AT)
    copy_database(tmp_path / "broker", tmp_path / "copy")
    (sealed,) = (row.sealed for row in rows(engines[1]) if row.id == data_key_of(store, gone))
    store.destroy(gone, at=AT)
    for file in tmp_path.glob("keys*"):
        assert sealed not in file.read_bytes(), f"{file.name} has its version key, sealed, still"
    older = open_database(tmp_path / "copy")
    copy = SecretStore(older, sealer, VersionKeys(engines[1], sealer))
    with pytest.raises(NotFound, match="destroyed"):
        found_and_revealed(copy, gone)
    assert found_and_revealed(copy, kept) == SECRET
    for engine in (*engines, older):
        engine.dispose()


def rows(engine: Engine) -> Sequence[Row[Any]]:
    with reading(engine) as connection:
        return connection.execute(select(broker_version_keys)).all()


def data_key_of(store: SecretStore, key: UUID) -> str:
    found = store.find(key)
    assert found is not None
    return str(found.version_key)


def test_version_keys_that_are_not_there_stop_the_start(tmp_path: Path) -> None:
    engines = [open_database(tmp_path / name) for name in ("broker", "keys", "empty")]
    sealer = Sealer(b"k" * 32)
    SecretStore(engines[0], sealer, VersionKeys(engines[1], sealer)).add(uuid4(), SECRET, STRICT, at=AT)
    with pytest.raises(SettingsError, match="version key is not there"):
        SecretStore(engines[0], sealer, VersionKeys(engines[2], sealer))
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0003"])
def test_a_key_from_before_versions_is_kept_and_gets_one(place: Path | str, revision: str) -> None:
    """As the releases before 0.2 sealed it: the context is theirs, written out."""
    engine, key, sealer = open_engine(place), uuid4(), Sealer(b"k" * 32)
    digest = hashlib.sha256(STRICT.to_json().encode()).hexdigest()
    sealed = sealer.seal(SECRET, context=f"ambergate broker secret {key} policy {digest}")
    with writing(engine) as connection:
        upgrade(connection, revision)
        values = {"id": str(key), "policy": STRICT.to_json(), "sealed": sealed, "at": AT.isoformat()}
        statement = "INSERT INTO broker_secrets (id, label, policy, sealed, size, created_at)"
        connection.execute(sqlalchemy.text(f"{statement} VALUES (:id, 'old', :policy, :sealed, 32, :at)"), values)
    prepare(engine)
    for _ in range(2):
        store = SecretStore(engine, sealer)
        (one,) = store.all()
        assert (one.id, one.label, one.version, one.state, one.size) == (key, "old", 1, "enabled", 32)
        assert (one.kind, one.manager, one.created_at) == (OPAQUE, "built-in", AT)
        assert store.reveal(one) == SECRET
    with reading(engine) as connection:
        assert connection.scalar(sqlalchemy.text("SELECT sealed FROM broker_secrets")) == b""
    engine.dispose()


@pytest.mark.parametrize(
    ("secret", "label", "error"),
    [
        (b"", "", SettingsError),
        (b"x" * (MAX_SECRET_SIZE + 1), "", TooLarge),
        (SECRET, "x" * 201, SettingsError),
        (SECRET, "two\nlines", SettingsError),
    ],
)
def test_limits(store: SecretStore, secret: bytes, label: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        store.add(uuid4(), secret, STRICT, at=AT, label=label)


def test_many_threads_add_and_read(store: SecretStore) -> None:
    keys = [uuid4() for _ in range(8)]
    threads = [threading.Thread(target=store.add, args=(key, key.bytes, STRICT), kwargs={"at": AT}) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {stored.id: store.reveal(stored) for stored in store.all()} == {key: key.bytes for key in keys}
