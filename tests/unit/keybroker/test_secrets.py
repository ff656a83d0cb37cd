"""The broker's secrets at rest: sealed, bound to id and policy, never readable in the file."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
import sqlalchemy

from ambergate.core.errors import SettingsError, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.stores.engine import writing
from ambergate.stores.sealing import Sealer
from ambergate.stores.secrets import SecretStore

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

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
    assert store.set_policy(uuid4(), STRICT) is False
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
    assert store.remove(key) is True
    assert store.find(key) is None


def test_a_policy_can_be_changed_by_the_store(store: SecretStore) -> None:
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    assert store.set_policy(key, LOOSE) is True
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
    alter(engine, "UPDATE broker_secrets SET id = :value", str(key))
    found = store.find(key)
    assert found is not None
    with pytest.raises(SettingsError):
        store.reveal(found)


@pytest.mark.parametrize(
    ("column", "value"),
    [("policy", "{}"), ("policy", "not json"), ("created_at", "yesterday"), ("sealed", b""), ("sealed", b"\1" * 60)],
)
def test_a_row_changed_behind_our_back_is_our_error_not_the_callers(
    store: SecretStore, engine: Engine, column: str, value: object
) -> None:
    key = uuid4()
    store.add(key, SECRET, STRICT, at=AT)
    alter(engine, f"UPDATE broker_secrets SET {column} = :value", value)
    with pytest.raises(SettingsError):
        found_and_revealed(store, key)


def found_and_revealed(store: SecretStore, key: UUID) -> bytes:
    found = store.find(key)
    assert found is not None
    return store.reveal(found)


def test_another_key_encryption_key_stops_the_start(store: SecretStore, engine: Engine) -> None:
    store.add(uuid4(), SECRET, STRICT, at=AT)
    with pytest.raises(SettingsError, match="another key-encryption key"):
        SecretStore(engine, Sealer(b"x" * 32))


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
