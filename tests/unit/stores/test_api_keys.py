"""API keys: told once, kept as hashes, ended at once; who may not ask is not told why."""

from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.errors import NotAuthorised, SettingsError
from ambergate.stores.api_keys import KEY_BYTES, MAX_KEY, MAX_LABEL, ApiKeyStore
from ambergate.stores.engine import open_database

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(engine: Engine) -> ApiKeyStore:
    return ApiKeyStore(engine)


def refusal(store: ApiKeyStore, text: str) -> dict[str, object]:
    with pytest.raises(NotAuthorised) as caught:
        store.authorise(text)
    return caught.value.as_dict()


def test_a_key_lets_its_holder_in(store: ApiKeyStore) -> None:
    key, text = store.create("build farm", at=AT)
    assert store.authorise(text) == key
    assert (key.label, key.created_at, key.revoked_at) == ("build farm", AT, None)


def test_a_key_is_one_that_every_client_sends(store: ApiKeyStore) -> None:
    """Wire protocol 7.3: canonical standard base64 of less than 256 characters, the same in the URL-safe alphabet."""
    for _ in range(20):
        _, text = store.create("x", at=AT)
        assert base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
        assert base64.urlsafe_b64decode(text) == base64.b64decode(text)
        assert len(base64.b64decode(text)) == KEY_BYTES
        assert text.isascii()
        assert text.isalnum()


def test_no_two_keys_are_alike(store: ApiKeyStore) -> None:
    made = [store.create("same label", at=AT) for _ in range(10)]
    assert len({key.id for key, _ in made}) == len({text for _, text in made}) == 10


def test_keys_come_from_the_randomness_that_was_given(engine: Engine) -> None:
    random = stream("api keys")
    drawn = (base64.b64encode(random(KEY_BYTES)).decode() for _ in range(100))
    _, text = ApiKeyStore(engine, token_bytes=stream("api keys")).create("x", at=AT)
    assert text == next(each for each in drawn if each.isalnum())


def test_the_key_itself_is_nowhere_in_the_database(sqlite: Engine, tmp_path: Path) -> None:
    store = ApiKeyStore(sqlite)
    key, text = store.create("findable label", at=AT)
    sqlite.dispose()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"findable label" in kept, "this looks where the data is"
    assert str(key.id).encode() in kept
    for form in (text.encode(), base64.b64decode(text), text[:20].encode(), base64.b64decode(text).hex().encode()):
        assert form not in kept


def test_a_key_survives_a_restart(place: Path | str) -> None:
    first = open_database(place)
    key, text = ApiKeyStore(first).create("x", at=AT)
    first.dispose()
    second = open_database(place)
    assert ApiKeyStore(second).authorise(text) == key
    second.dispose()


def test_a_revoked_key_ends_at_once_and_for_good(store: ApiKeyStore) -> None:
    key, text = store.create("x", at=AT)
    _, other = store.create("y", at=AT)
    store.revoke(key.id, at=AT + timedelta(days=1))
    refusal(store, text)
    store.authorise(other)
    store.revoke(key.id, at=AT + timedelta(days=2))
    (revoked,) = [known for known in store.all() if known.id == key.id]
    assert revoked.revoked_at == AT + timedelta(days=1), "when it ended first"


def test_who_may_not_ask_is_not_told_why(store: ApiKeyStore) -> None:
    key, text = store.create("x", at=AT)
    store.revoke(key.id, at=AT)
    told = refusal(store, text)
    for wrong in (
        "",
        "A" * 44,
        text[:-1],
        text + "A",
        text.lower(),
        text.swapcase(),
        "A" * (MAX_KEY + 1),
        "é",
        "\x00",
        "' OR 1=1 --",
    ):
        assert refusal(store, wrong) == told
    assert text not in str(told)


def test_there_is_nothing_to_revoke(store: ApiKeyStore) -> None:
    with pytest.raises(SettingsError, match="no API key"):
        store.revoke(uuid4(), at=AT)


def test_keys_are_listed_oldest_first_without_themselves(store: ApiKeyStore) -> None:
    assert store.all() == ()
    made = [store.create(f"key {n}", at=AT - timedelta(hours=n)) for n in range(3)]
    assert [key.label for key in store.all()] == ["key 2", "key 1", "key 0"]
    assert not any(text in repr(store.all()) for _, text in made)


@pytest.mark.parametrize("label", ["", "a" * (MAX_LABEL + 1), "two\nlines", "tab\t", "\x1b[31mred", "\u202e", "\ud800"])
def test_a_label_is_one_printable_line(store: ApiKeyStore, label: str) -> None:
    with pytest.raises(SettingsError, match="label"):
        store.create(label, at=AT)
    assert store.all() == ()


@pytest.mark.parametrize("label", ["a", "Größe 12, Hall 3", "a" * MAX_LABEL, "'; DROP TABLE api_keys; --"])
def test_labels_that_are_kept(store: ApiKeyStore, label: str) -> None:
    store.create(label, at=AT)
    assert [key.label for key in store.all()] == [label]


def test_instants_come_back_as_they_were(store: ApiKeyStore) -> None:
    key, _ = store.create("x", at=AT + timedelta(microseconds=7))
    assert store.all() == (key,)


def test_the_database_is_asked_for_health(store: ApiKeyStore) -> None:
    store.check()


def test_threads_share_a_store(store: ApiKeyStore) -> None:
    texts: list[str] = []

    def work() -> None:
        key, text = store.create("x", at=AT)
        assert store.authorise(text) == key
        texts.append(text)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts)) == len(store.all()) == 8
