"""API keys: told once, kept as hashes and on their terms; each change is told to whoever asks what has changed."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from tests.unit.simulator.stream import stream
from tests.unit.stores.policy_rows import with_policies

from ambergate.core.errors import SettingsError
from ambergate.stores.api_keys import KEY_BYTES, MAX_LABEL, ApiKey, ApiKeyStore, digest_of
from ambergate.stores.engine import open_database
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(engine: Engine) -> ApiKeyStore:
    with_policies(engine, *(UUID(int=number) for number in range(11)))
    return ApiKeyStore(engine)


def found(store: ApiKeyStore, text: str) -> ApiKey:
    return store.since(0)[1][digest_of(text)]


def test_a_key_is_found_by_what_is_kept_of_it(store: ApiKeyStore) -> None:
    key, text = store.create("build farm", at=AT)
    assert found(store, text) == key
    assert (key.label, key.created_at, key.revoked_at, key.terms) == ("build farm", AT, None, Terms())
    assert key.holds(AT + timedelta(days=36500))


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
    assert found(ApiKeyStore(second), text) == key
    second.dispose()


def test_a_revoked_key_has_ended_for_good(store: ApiKeyStore) -> None:
    key, text = store.create("x", at=AT)
    _, other = store.create("y", at=AT)
    store.revoke(key.id, at=AT + timedelta(days=1))
    assert not found(store, text).holds(AT)
    assert found(store, other).holds(AT)
    store.revoke(key.id, at=AT + timedelta(days=2))
    assert found(store, text).revoked_at == AT + timedelta(days=1), "when it ended first"


TERMS = Terms(
    scopes=frozenset({"attest", "manage"}),
    expires_at=AT + timedelta(days=30),
    policy_ids=(UUID(int=2), UUID(int=1)),
    policy_must_match=True,
    default_algorithm="ES256",
    profile="slim",
    rate=0.5,
    burst=7,
)


def test_terms_come_back_as_they_were(store: ApiKeyStore) -> None:
    key, text = store.create("x", at=AT, terms=TERMS)
    assert found(store, text) == key
    assert key.terms == TERMS


def test_a_key_ends_by_itself(store: ApiKeyStore) -> None:
    key, _ = store.create("x", at=AT, terms=TERMS)
    assert key.holds(AT + timedelta(days=30) - timedelta(microseconds=1))
    assert not key.holds(AT + timedelta(days=30))
    with pytest.raises(SettingsError, match="expired"):
        store.create("x", at=AT + timedelta(days=30), terms=TERMS)


def test_a_key_is_rotated_with_overlap(store: ApiKeyStore) -> None:
    """The new one has the old one's terms and as long a life as that was given; the old one ends after the overlap."""
    old, text = store.create("x", at=AT, terms=TERMS)
    later = AT + timedelta(days=20)
    new, other = store.rotate(old.id, at=later, overlap=timedelta(hours=24))
    assert other != text
    assert (new.label, new.replaces, new.created_at) == ("x", old.id, later)
    assert new.terms == replace(TERMS, expires_at=later + timedelta(days=30))
    assert found(store, other) == new
    assert found(store, text).terms == replace(TERMS, expires_at=later + timedelta(hours=24))


def test_rotation_does_not_give_the_old_key_more_time(store: ApiKeyStore) -> None:
    old, text = store.create("x", at=AT, terms=TERMS)
    store.rotate(old.id, at=AT + timedelta(days=29, hours=12), overlap=timedelta(days=10))
    assert found(store, text).terms == TERMS


def test_without_an_end_rotation_gives_none(store: ApiKeyStore) -> None:
    old, text = store.create("x", at=AT)
    new, _ = store.rotate(old.id, at=AT, overlap=timedelta())
    assert new.terms.expires_at is None
    assert not found(store, text).holds(AT), "no overlap: it has ended"


def test_what_has_ended_is_not_rotated(store: ApiKeyStore) -> None:
    key, _ = store.create("x", at=AT, terms=TERMS)
    with pytest.raises(SettingsError, match="ended"):
        store.rotate(key.id, at=AT + timedelta(days=30), overlap=timedelta())
    store.revoke(key.id, at=AT)
    with pytest.raises(SettingsError, match="ended"):
        store.rotate(key.id, at=AT, overlap=timedelta())
    with pytest.raises(SettingsError, match="no API key"):
        store.rotate(uuid4(), at=AT, overlap=timedelta())
    assert len(store.all()) == 1


def test_policies_are_set(store: ApiKeyStore) -> None:
    key, text = store.create("x", at=AT)
    changed = store.set_policies(key.id, [UUID(int=5)], must_match=True)
    assert found(store, text) == changed
    assert (changed.terms.policy_ids, changed.terms.policy_must_match) == ((UUID(int=5),), True)
    with pytest.raises(SettingsError, match="policies"):
        store.set_policies(key.id, [UUID(int=n) for n in range(11)], must_match=True)
    assert found(store, text) == changed


def test_who_asks_what_has_changed_is_told_that_alone(store: ApiKeyStore) -> None:
    assert store.since(0) == (0, {})
    key, text = store.create("x", at=AT)
    number, changed = store.since(0)
    assert list(changed) == [digest_of(text)]
    assert store.since(number) == (number, {})
    _, other = store.create("y", at=AT)
    later, changed = store.since(number)
    assert list(changed) == [digest_of(other)]
    assert later > number
    for change in (
        lambda: store.set_policies(key.id, [], must_match=True),
        lambda: store.rotate(key.id, at=AT, overlap=timedelta(days=1)),
        lambda: store.revoke(key.id, at=AT),
    ):
        before = store.since(0)[0]
        change()
        assert digest_of(text) in store.since(before)[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": frozenset()},
        {"scopes": frozenset({"attest", "everything"})},
        {"expires_at": datetime(2026, 3, 1)},  # noqa: DTZ001  that is what is wrong with it
        {"policy_ids": (UUID(int=1), UUID(int=1))},
        {"policy_ids": tuple(UUID(int=n) for n in range(11))},
        {"default_algorithm": "HS256"},
        {"profile": "Slim\n"},
        {"rate": 1.0},
        {"burst": 1},
        {"rate": 0.0, "burst": 1},
        {"rate": float("nan"), "burst": 1},
        {"rate": float("inf"), "burst": 1},
        {"rate": -1.0, "burst": 1},
        {"rate": 1.0, "burst": 0},
        {"rate": 1.0, "burst": 10**9},
    ],
)
def test_terms_that_no_key_can_have(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Terms(**wrong)


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
        assert found(store, text) == key
        texts.append(text)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts)) == len(store.all()) == 8
