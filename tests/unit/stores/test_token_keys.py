"""Token keys as they are stored: begun once, changed in one transaction, sealed and bound to their certificates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from ambergate.core.errors import NotAuthorised, SettingsError
from ambergate.stores.engine import open_database, reading, writing
from ambergate.stores.sealing import Sealer
from ambergate.stores.signing_keys import SigningMaterialStore
from ambergate.stores.tables import signing_keys as rows
from ambergate.stores.token_keys import CHANGES, LEGACY, TokenKey, TokenKeyStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import Engine

AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEALER = Sealer(b"k" * 32)
ONE = TokenKey(
    id="11",
    kind="rsa",
    certificate=b"a certificate",
    private=b"the very secret key",
    published_at=AT,
    active_from=AT,
    lifetime=timedelta(minutes=5),
)
TWO = replace(ONE, id="22", active_from=None, published_at=AT + HOUR)


def begun(engine: Engine, *keys: TokenKey) -> TokenKeyStore:
    store = TokenKeyStore(engine, SEALER)
    store.begin(lambda _: keys)
    return store


def test_what_was_stored_comes_back(engine: Engine) -> None:
    revoked = replace(TWO, id="33", private=None, revoked_at=AT, reason="superseded")
    assert begun(engine, TWO, revoked, ONE).all() == (ONE, TWO, revoked), "the oldest comes first"


def test_keys_are_begun_once_by_whoever_comes_first(place: Path | str) -> None:
    engines = [open_database(place) for _ in range(4)]

    def begin(number: int) -> tuple[TokenKey, ...]:
        return begun(engines[number], replace(ONE, id=str(number))).all()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(begin, range(4)))
    assert len(found[0]) == 1
    assert all(each == found[0] for each in found)
    for engine in engines:
        engine.dispose()


def test_what_an_earlier_release_kept_is_taken_over_and_kept_once(engine: Engine) -> None:
    material = SigningMaterialStore(engine, SEALER)
    for name in (*LEGACY, "nonce.key"):
        material.ensure(name, lambda name=name: name.encode())  # type: ignore[misc]
    taken: list[Mapping[str, bytes]] = []

    def take(kept: Mapping[str, bytes]) -> list[TokenKey]:
        taken.append(kept)
        return [replace(ONE, private=kept["rsa.key"], certificate=kept["rsa.certificate"])]

    store = TokenKeyStore(engine, SEALER)
    store.begin(take)
    store.begin(take)
    assert taken == [{name: name.encode() for name in LEGACY}]
    assert [key.private for key in store.all()] == [b"rsa.key"]
    assert [material.find(name) for name in LEGACY] == [None] * len(LEGACY)
    assert material.find("nonce.key") == b"nonce.key"


def test_a_take_over_that_fails_leaves_what_was_there(engine: Engine) -> None:
    material = SigningMaterialStore(engine, SEALER)
    material.ensure("rsa.key", lambda: b"kept")

    def fail(kept: Mapping[str, bytes]) -> list[TokenKey]:
        raise SettingsError(str(len(kept)))

    store = TokenKeyStore(engine, SEALER)
    with pytest.raises(SettingsError):
        store.begin(fail)
    assert store.all() == ()
    assert material.find("rsa.key") == b"kept"


def test_a_change_replaces_all_that_there_is(engine: Engine) -> None:
    store = begun(engine, ONE, TWO)
    later = replace(TWO, active_from=AT + HOUR, lifetime=HOUR)
    third = replace(TWO, id="33")
    assert store.change(lambda _: (later, third)) == (later, third)
    assert store.all() == (later, third)
    over = replace(later, private=None, revoked_at=AT, reason="keyCompromise")
    store.change(lambda _: (over, third))
    assert store.all() == (over, third)
    with reading(engine) as connection:
        assert connection.scalar(select(rows.c.sealed).where(rows.c.id == "22")) is None, "destroyed"


def test_a_change_that_fails_changes_nothing(engine: Engine) -> None:
    store = begun(engine, ONE)

    def fail(keys: tuple[TokenKey, ...]) -> tuple[TokenKey, ...]:
        raise NotAuthorised(str(len(keys)))

    with pytest.raises(NotAuthorised):
        store.change(fail)
    assert store.all() == (ONE,)


def test_changes_are_numbered_and_what_is_none_is_not(engine: Engine) -> None:
    store = begun(engine, ONE)
    first, told = store.since(0)
    assert told == {CHANGES: (ONE,)}
    assert store.since(first) == (first, {})
    store.change(lambda keys: keys)
    assert store.since(first) == (first, {})
    store.change(lambda keys: (*keys, TWO))
    number, told = store.since(first)
    assert (number > first, told) == (True, {CHANGES: (ONE, TWO)})


def test_nothing_secret_is_readable_at_rest_and_nothing_shows_it(sqlite: Engine, tmp_path: Path) -> None:
    begun(sqlite, ONE)
    sqlite.dispose()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"a certificate" in kept, "this looks where the data is"
    assert b"very secret" not in kept
    assert "very secret" not in repr(ONE)


def test_a_key_cannot_be_put_under_another_certificate(engine: Engine) -> None:
    """Else whoever writes to the database could have tokens signed by a key that was revoked."""
    store = begun(engine, ONE, TWO)
    with writing(engine) as connection:
        sealed = connection.scalar(select(rows.c.sealed).where(rows.c.id == "11"))
        connection.execute(update(rows).where(rows.c.id == "22").values(sealed=sealed))
    with pytest.raises(SettingsError, match="was changed"):
        store.all()


@pytest.mark.parametrize("changed", [{"published_at": "yesterday"}, {"active_from": ""}, {"revoked_at": "2026-13-01"}])
def test_a_row_that_was_not_written_here_is_told(engine: Engine, changed: dict[str, str]) -> None:
    store = begun(engine, ONE)
    with writing(engine) as connection:
        connection.execute(update(rows).values(**changed))
    with pytest.raises(SettingsError, match="not what was written"):
        store.all()
