"""Signing keys that are not whole do not load; a use case without roots is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.attestation.scene import Shelf
from tests.unit.simulator.stream import stream

from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.errors import SettingsError
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.services.attestation.key_making import first_keys
from ambergate.services.attestation.nonces import Nonces
from ambergate.services.attestation.pki import TokenPki
from ambergate.services.attestation.usecase import Attestation, Issuer, Trust

if TYPE_CHECKING:
    from ambergate.services.attestation.decision import Decision
    from ambergate.stores.token_keys import TokenKey

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys() -> tuple[TokenKey, ...]:
    return first_keys({}, "https://attest.example", AT, timedelta(minutes=5))


def test_what_was_made_loads(keys: tuple[TokenKey, ...]) -> None:
    assert TokenPki(keys, AT).rsa.kid == TokenPki(keys, AT).rsa.kid
    assert [key.kind for key in keys] == ["root", "ca", "rsa", "ec"]


@pytest.mark.parametrize("kind", ["root", "ca", "rsa", "ec"])
def test_a_key_that_is_missing_or_broken(keys: tuple[TokenKey, ...], kind: str) -> None:
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    (key,) = (key for key in keys if key.kind == kind)
    others = [each for each in keys if each is not key]
    for broken in (b"", (key.private or b"")[:-1], edwards):
        with pytest.raises(SettingsError, match="cannot be read"):
            TokenPki([*others, replace(key, private=broken)], AT)
    for without in ([], [replace(key, private=None)]):
        with pytest.raises(SettingsError, match=r"is not there|no key to sign"):
            TokenPki([*others, *without], AT)


class Unasked:
    async def record(self, decision: Decision, /) -> None:
        raise AssertionError(decision)


@pytest.mark.parametrize("count", [0, 2])
def test_each_root_is_named_and_once(keys: tuple[TokenKey, ...], count: int) -> None:
    """Else one root could be both genuine and simulated, and the last word would win."""
    roots = [Trust(anchor=TrustAnchor.intel(), collateral=Shelf(), simulated=n > 0) for n in range(count)]
    issuer = Issuer(
        base_url="https://attest.example",
        instance_id=UUID(int=1),
        token_lifetime=timedelta(seconds=300),
        new_id=uuid4,
    )
    nonces = Nonces(bytes(32), lifetime=timedelta(seconds=120), token_bytes=stream("x"))
    with pytest.raises(SettingsError, match="each root"):
        Attestation(
            roots=roots,
            policy=AppraisalPolicy(),
            nonces=nonces,
            keys=TokenPki(keys, AT),
            issuer=issuer,
            audit=Unasked(),
        )
