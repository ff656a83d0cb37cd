"""Keys over their life, with the built-in key manager and with one outside."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ambergate.core.errors import Malformed, NotFound, SettingsError, Unavailable
from ambergate.core.release.material import OPAQUE, KeyKind, kind_of
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.keymanagers.builtin import BuiltIn
from ambergate.services.keybroker.keyring import BUILT_IN, KeyRing
from ambergate.services.keybroker.keys import Keys
from ambergate.services.keybroker.ports import UnknownKey
from ambergate.stores.engine import open_database
from ambergate.stores.sealing import Sealer
from ambergate.stores.secrets import SecretStore, StoredSecret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.services.keybroker.ports import Change, KeyManager

AT = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = ResourcePolicy.from_mapping({"mr_enclave": "0a" * 32})
WORKLOAD = rsa.generate_private_key(65537, 3072).public_key()
AES = KeyKind.of("AES", bits=256)


@dataclass
class Outside:
    """A key manager in memory, that can be told not to answer."""

    held: dict[bytes, bytes] = field(default_factory=dict)
    silent: bool = False

    def create(self, name: str, kind: KeyKind) -> bytes:
        return self.keep(name, kind, secrets.token_bytes((kind.bits or 256) // 8))

    def keep(self, name: str, kind: KeyKind, material: bytes) -> bytes:
        del kind
        self._answer()
        self.held[name.encode()] = material
        return name.encode()

    def take(self, reference: bytes, kind: KeyKind, workload_key: WorkloadKey) -> bytes:
        del kind, workload_key
        self._answer()
        if reference not in self.held:
            raise NotFound("gone", code="key-gone")
        return self.held[reference]

    def adopt(self, known_as: str, kind: KeyKind) -> bytes:
        del kind
        self._answer()
        if known_as.encode() not in self.held:
            raise NotFound("none", code="key-gone")
        return known_as.encode()

    def destroy(self, reference: bytes) -> None:
        self._answer()
        self.held.pop(reference, None)

    def check(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.silent:
            raise Unavailable("it does not answer")


@dataclass
class Written:
    """Keeps what is written down, in memory."""

    changes: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> AbstractContextManager[None]:
        self.changes.append(change)
        return contextlib.nullcontext()


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def keys(tmp_path: Path, outside: Outside) -> Iterator[Keys[StoredSecret]]:
    engine = open_database(tmp_path / "broker.sqlite")
    managers: dict[str, KeyManager] = {BUILT_IN: BuiltIn(secrets.token_bytes), "outside": outside}
    yield Keys(
        ring=KeyRing(catalogue=SecretStore(engine, Sealer(b"k" * 32)), managers=managers), journal=Written(), by="me"
    )
    engine.dispose()


def taken(keys: Keys[StoredSecret], key: UUID, version: int | None = None) -> bytes:
    found = keys.ring.find(key, version)
    assert found is not None
    material = keys.ring.take(found, WORKLOAD)
    assert isinstance(material, bytes)
    return material


@pytest.mark.parametrize(
    "kind",
    [
        AES,
        KeyKind.of("AES", bits=128),
        KeyKind.of("RSA", bits=2048),
        KeyKind.of("EC", curve="secp256r1"),
        KeyKind.of("EC", curve="secp384r1"),
        KeyKind.of("EC", curve="secp521r1"),
        OPAQUE,
    ],
    ids=str,
)
def test_a_key_of_each_kind_is_made_and_rotated(keys: Keys[StoredSecret], kind: KeyKind) -> None:
    key = uuid4()
    keys.create(key, kind, POLICY, at=AT)
    assert keys.rotate(key, at=AT) == 2
    first, second = taken(keys, key, 1), taken(keys, key)
    assert first != second
    for material in (first, second):
        assert kind.canonical(material) == material
        if kind.algorithm in {"RSA", "EC"}:
            assert kind_of(material) == kind


def test_a_given_key_has_to_be_one(keys: Keys[StoredSecret]) -> None:
    key = uuid4()
    with pytest.raises(Malformed):
        keys.add(key, b"short", POLICY, at=AT, kind=AES)
    keys.add(key, b"k" * 32, POLICY, at=AT, kind=AES)
    with pytest.raises(Malformed):
        keys.rotate(key, at=AT, material=b"short")
    assert keys.rotate(key, at=AT, material=b"n" * 32) == 2
    assert (taken(keys, key), taken(keys, key, 1)) == (b"n" * 32, b"k" * 32)


def test_a_key_stays_with_its_manager(keys: Keys[StoredSecret], outside: Outside) -> None:
    key = uuid4()
    keys.create(key, AES, POLICY, at=AT, manager="outside")
    keys.rotate(key, at=AT)
    assert set(outside.held) == {f"{key}/1".encode(), f"{key}/2".encode()}
    assert taken(keys, key, 1) == outside.held[f"{key}/1".encode()]


def test_a_manager_that_does_not_answer_changes_nothing(keys: Keys[StoredSecret], outside: Outside) -> None:
    key = uuid4()
    keys.create(key, AES, POLICY, at=AT, manager="outside")
    outside.silent = True
    for deed in (
        lambda: keys.rotate(key, at=AT),
        lambda: keys.destroy(key, at=AT),
        lambda: keys.remove(key, at=AT),
        lambda: taken(keys, key),
        lambda: keys.create(uuid4(), AES, POLICY, at=AT, manager="outside"),
    ):
        with pytest.raises(Unavailable):
            deed()
    outside.silent = False
    assert [one.state for one in keys.ring.catalogue.versions(key)] == ["enabled"]
    assert len(taken(keys, key)) == 32


def test_destroyed_is_destroyed_outside_too(keys: Keys[StoredSecret], outside: Outside) -> None:
    key = uuid4()
    keys.create(key, AES, POLICY, at=AT, manager="outside")
    keys.rotate(key, at=AT)
    assert keys.destroy(key, at=AT, version=1) == (1,)
    assert set(outside.held) == {f"{key}/2".encode()}
    with pytest.raises(UnknownKey) as caught:
        taken(keys, key, 1)
    assert caught.value.code == "key-destroyed"
    assert keys.destroy(key, at=AT) == (1, 2)
    assert not outside.held
    with pytest.raises(NotFound):
        keys.destroy(uuid4(), at=AT)


def test_a_key_that_went_from_its_manager_is_no_more(keys: Keys[StoredSecret], outside: Outside) -> None:
    key = uuid4()
    keys.create(key, AES, POLICY, at=AT, manager="outside")
    outside.held.clear()
    with pytest.raises(UnknownKey) as caught:
        taken(keys, key)
    assert caught.value.code == "key-gone"


def test_a_manager_that_is_not_there_any_more(keys: Keys[StoredSecret]) -> None:
    key = uuid4()
    keys.create(key, AES, POLICY, at=AT, manager="outside")
    without = KeyRing(catalogue=keys.ring.catalogue, managers={BUILT_IN: BuiltIn(secrets.token_bytes)})
    found = without.find(key)
    assert found is not None
    with pytest.raises(SettingsError, match="no key manager"):
        without.take(found, WORKLOAD)


@pytest.mark.parametrize("name", ["", "x" * 513, "two\nlines"])
def test_what_is_no_name_is_not_asked_for(keys: Keys[StoredSecret], outside: Outside, name: str) -> None:
    outside.held[name.encode()] = b"k" * 32
    with pytest.raises(Malformed) as caught:
        keys.adopt(uuid4(), name, POLICY, at=AT, manager="outside", kind=AES)
    assert caught.value.code == "malformed-key-name"


def test_a_key_that_a_manager_has_is_adopted(keys: Keys[StoredSecret], outside: Outside) -> None:
    outside.held[b"theirs"] = b"k" * 32
    key = uuid4()
    keys.adopt(key, "theirs", POLICY, at=AT, manager="outside", kind=AES)
    assert taken(keys, key) == b"k" * 32
    with pytest.raises(NotFound):
        keys.adopt(uuid4(), "none", POLICY, at=AT, manager="outside", kind=AES)
    with pytest.raises(Malformed):
        keys.adopt(uuid4(), "theirs", POLICY, at=AT, manager=BUILT_IN, kind=AES)


def test_an_id_that_is_taken_makes_no_key(keys: Keys[StoredSecret], outside: Outside) -> None:
    key = uuid4()
    keys.add(key, b"x", POLICY, at=AT)
    with pytest.raises(SettingsError, match="exists already"):
        keys.create(key, AES, POLICY, at=AT, manager="outside")
    assert not outside.held


def test_a_removed_id_can_be_used_again(keys: Keys[StoredSecret]) -> None:
    key = uuid4()
    keys.add(key, b"x", POLICY, at=AT)
    keys.remove(key, at=AT)
    with pytest.raises(NotFound):
        keys.remove(key, at=AT)
    keys.add(key, b"y", POLICY, at=AT)
    assert taken(keys, key) == b"y"


def test_a_version_that_comes_while_the_others_go_stays_whole(keys: Keys[StoredSecret], outside: Outside) -> None:
    """In the catalogue and at its manager: destroyed in one of them alone it would stay, known to none."""
    key = uuid4()
    keys.create(key, AES, POLICY, at=AT, manager="outside")
    destroy = outside.destroy

    def meanwhile(reference: bytes) -> None:
        outside.destroy = destroy  # type: ignore[method-assign]
        keys.rotate(key, at=AT)
        destroy(reference)

    outside.destroy = meanwhile  # type: ignore[method-assign]
    with pytest.raises(SettingsError, match="not destroyed"):
        keys.remove(key, at=AT)
    assert set(outside.held) == {f"{key}/2".encode()}
    assert taken(keys, key) == outside.held[f"{key}/2".encode()]
    keys.remove(key, at=AT)
    assert not outside.held


def test_every_change_is_written_down_without_the_key(keys: Keys[StoredSecret]) -> None:
    key = uuid4()
    keys.add(key, b"the secret", POLICY, at=AT, label="database")
    keys.rotate(key, at=AT, material=b"the newer")
    keys.disable(key, at=AT, version=1)
    keys.enable(key, at=AT)
    keys.set_policy(key, POLICY, at=AT)
    keys.destroy(key, at=AT, version=1)
    keys.remove(key, at=AT)
    assert isinstance(keys.journal, Written)
    verbs = ["create", "rotate", "disable", "enable", "set-policy", "destroy", "delete"]
    assert [change.what for change in keys.journal.changes] == [f"key.{verb}" for verb in verbs]
    assert {(change.subject, change.by) for change in keys.journal.changes} == {(str(key), "me")}
    told = str(keys.journal.changes)
    assert "database" in told
    assert "the secret" not in told
    assert "the newer" not in told
