"""Stored signing keys that are not whole do not load; a use case without roots is none."""

from __future__ import annotations

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
from ambergate.services.attestation.nonces import Nonces
from ambergate.services.attestation.pki import TokenPki, make_material
from ambergate.services.attestation.usecase import Attestation, Issuer, Trust

if TYPE_CHECKING:
    from ambergate.services.attestation.decision import Decision

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def material() -> dict[str, bytes]:
    return make_material("https://attest.example", AT)


def test_what_was_made_loads(material: dict[str, bytes]) -> None:
    assert TokenPki(material).rsa.kid == TokenPki(material).rsa.kid
    assert len(material) == 8


@pytest.mark.parametrize("name", ["root.key", "ca.certificate", "rsa.key", "ec.certificate"])
def test_a_part_that_is_missing_or_broken(material: dict[str, bytes], name: str) -> None:
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    without = {each: value for each, value in material.items() if each != name}
    for broken in (
        without,
        {**material, name: b""},
        {**material, name: material[name][:-1]},
        {**material, name: edwards},
    ):
        with pytest.raises(SettingsError, match="cannot be read"):
            TokenPki(broken)


class Unasked:
    async def record(self, decision: Decision, /) -> None:
        raise AssertionError(decision)


@pytest.mark.parametrize("count", [0, 2])
def test_each_root_is_named_and_once(material: dict[str, bytes], count: int) -> None:
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
            keys=TokenPki(material),
            issuer=issuer,
            audit=Unasked(),
        )
