"""Transfer of a key: the order of its steps, and what it hands on to whom."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, Forge

from ambergate.core.errors import ReleaseRefused, SettingsError, TokenRejected, Unavailable
from ambergate.core.release.envelope import Envelope, open_sealed
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.core.token.check import KeySet, check_token
from ambergate.keymanagers.builtin import BuiltIn
from ambergate.services.keybroker.keyring import BUILT_IN, KeyRing
from ambergate.services.keybroker.ports import Decision, UnknownKey
from ambergate.services.keybroker.usecase import KeyTransfer
from ambergate.stores.engine import open_database
from ambergate.stores.sealing import Sealer
from ambergate.stores.secrets import SecretStore, StoredSecret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from ambergate.core.token.claims import AttestationClaims

KEY = UUID("ae6281b3-e4fe-3db5-82fd-000000000001")


class Uncounted:
    """No policy here bounds its releases."""

    def take(self, secret_id: UUID, limit: int) -> int | None:
        raise AssertionError(secret_id, limit)


UNCOUNTED = Uncounted()


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


@dataclass
class Issuer:
    """Checks tokens for real, at an instant of the test's choice."""

    keys: KeySet

    def claims(self, token: str, at: datetime) -> AttestationClaims:
        del at
        return check_token(token, self.keys, issuer=ISSUER, at=AT)


@pytest.fixture
def trust(forge: Forge) -> Issuer:
    return Issuer(KeySet.from_json(json.dumps(forge.key_set())))


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing[StoredSecret]]:
    engine = open_database(tmp_path / "broker.sqlite")
    store = SecretStore(engine, Sealer(b"k" * 32))
    store.add(KEY, b"secret", ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE}), at=AT)
    yield KeyRing(catalogue=store, managers={BUILT_IN: BuiltIn(secrets.token_bytes)})
    engine.dispose()


def test_the_decision_is_made_at_the_instant_of_the_request(
    ring: KeyRing[StoredSecret], trust: Issuer, forge: Forge
) -> None:
    """Whoever checked the token, and when: an expired one is refused by the decision too."""
    decisions: list[Decision] = []
    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=trust,
        audit=decisions.append,
        token_bytes=secrets.token_bytes,
    )
    claims = trust.claims(forge.token(), AT)
    assert isinstance(transfer(KEY, forge.token(), at=AT), Envelope)
    with pytest.raises(ReleaseRefused):
        transfer(KEY, forge.token(), at=claims.expires_at)
    released, refused = decisions
    assert released.error is None
    assert isinstance(refused.error, ReleaseRefused)
    assert [mismatch["rule"] for mismatch in refused.error.mismatches] == ["lifetime"]


def test_nothing_is_released_that_cannot_be_written_down(
    ring: KeyRing[StoredSecret], trust: Issuer, forge: Forge
) -> None:
    def full(decision: Decision) -> None:
        raise SettingsError("the disk is full", seen=decision.key_id)

    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=trust,
        audit=full,
        token_bytes=secrets.token_bytes,
    )
    with pytest.raises(SettingsError, match="disk is full"):
        transfer(KEY, forge.token(), at=AT)


def test_the_token_comes_before_the_key(ring: KeyRing[StoredSecret], trust: Issuer, forge: Forge) -> None:
    """Without a good token nobody learns whether a key exists; with one, it is told."""
    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=trust,
        audit=lambda _: None,
        token_bytes=secrets.token_bytes,
    )
    absent = UUID(int=0)
    with pytest.raises(TokenRejected):
        transfer(absent, forge.token(key=forge.other_key), at=AT)
    with pytest.raises(UnknownKey):
        transfer(absent, forge.token(), at=AT)


def test_no_randomness_is_used_twice(ring: KeyRing[StoredSecret], trust: Issuer, forge: Forge) -> None:
    asked: list[int] = []

    def counted(size: int) -> bytes:
        asked.append(size)
        return secrets.token_bytes(size)

    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=trust,
        audit=lambda _: None,
        token_bytes=counted,
    )
    one, two = (transfer(KEY, forge.token(), at=AT) for _ in range(2))
    assert asked == [32, 12, 32, 12]
    assert isinstance(one, Envelope)
    assert isinstance(two, Envelope)
    assert one.wrapped_key != two.wrapped_key


def test_what_cannot_be_decided_is_no_refusal(ring: KeyRing[StoredSecret], forge: Forge) -> None:
    """Where the issuer's keys cannot be had, nothing was said about the token: the caller comes again."""

    class Silent:
        def claims(self, token: str, at: datetime) -> AttestationClaims:
            raise Unavailable("no keys", seen=f"{len(token)} at {at}")

    decisions: list[Decision] = []
    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=Silent(),
        audit=decisions.append,
        token_bytes=secrets.token_bytes,
    )
    with pytest.raises(Unavailable):
        transfer(KEY, forge.token(), at=AT)
    assert decisions == []


def test_a_version_is_released_by_its_number(ring: KeyRing[StoredSecret], trust: Issuer, forge: Forge) -> None:
    decisions: list[Decision] = []
    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=trust,
        audit=decisions.append,
        token_bytes=secrets.token_bytes,
    )
    ring.catalogue.add_version(KEY, b"newer", number=2, at=AT)
    for version in (None, 1, 2):
        envelope = transfer(KEY, forge.token(), at=AT, version=version)
        assert isinstance(envelope, Envelope)
        secret = open_sealed(forge.workload_key, envelope.wrapped_key, envelope.wrapped_swk)
        assert secret == (b"secret" if version == 1 else b"newer")
    with pytest.raises(UnknownKey):
        transfer(KEY, forge.token(), at=AT, version=3)
    assert [decision.key_version for decision in decisions] == [2, 1, 2, None]


def test_a_disabled_version_is_not_released_and_no_other_in_its_stead(
    ring: KeyRing[StoredSecret], trust: Issuer, forge: Forge
) -> None:
    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=trust,
        audit=lambda _: None,
        token_bytes=secrets.token_bytes,
    )
    ring.catalogue.add_version(KEY, b"newer", number=2, at=AT)
    ring.catalogue.set_state(KEY, "disabled", at=AT, version=2)
    with pytest.raises(ReleaseRefused, match="disabled"):
        transfer(KEY, forge.token(), at=AT)
    assert isinstance(transfer(KEY, forge.token(), at=AT, version=1), Envelope)
    ring.catalogue.set_state(KEY, "enabled", at=AT, version=2)
    assert isinstance(transfer(KEY, forge.token(), at=AT), Envelope)


def test_a_destroyed_key_is_no_more(ring: KeyRing[StoredSecret], trust: Issuer, forge: Forge) -> None:
    decisions: list[Decision] = []
    transfer = KeyTransfer(
        secrets=ring,
        releases=UNCOUNTED,
        trust=trust,
        audit=decisions.append,
        token_bytes=secrets.token_bytes,
    )
    ring.catalogue.destroy(KEY, at=AT)
    with pytest.raises(UnknownKey) as caught:
        transfer(KEY, forge.token(), at=AT)
    assert caught.value.code == "key-destroyed"
    assert [decision.key_version for decision in decisions] == [1]
