"""The attestation service remembers which kinds of platforms gave genuine evidence, welcome or not: no more."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from tests.integration.collateral.site import NOW, OTHER, PLATFORM, Site, said
from tests.unit.simulator.stream import stream

from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import NotGenuine, NotWelcome
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.services.attestation.audit import AuditTrail
from ambergate.services.attestation.evidence import Evidence
from ambergate.services.attestation.key_making import first_keys
from ambergate.services.attestation.nonces import Nonces
from ambergate.services.attestation.pki import TokenPki
from ambergate.services.attestation.ports import ANYBODY
from ambergate.services.attestation.usecase import Attestation, Issuer, Trust
from ambergate.simulator.faults import SPECIMEN
from ambergate.stores.audit import AuditLog
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import open_database
from ambergate.stores.platforms import PlatformStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Engine

    from ambergate.simulator.platform import SimulatedPlatform


@pytest.fixture(scope="module")
def keys() -> TokenPki:
    return TokenPki(first_keys({}, "https://attest.example", NOW, timedelta(minutes=5)), NOW)


@pytest.fixture
def engine(site: Site) -> Iterator[Engine]:
    engine = open_database(site.folder / "attestation.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def seen(engine: Engine) -> PlatformStore:
    return PlatformStore(engine)


@pytest.fixture
def log(engine: Engine) -> Iterator[AuditLog]:
    log = AuditLog(engine, CheckpointSigner("attest.example", bytes(32)), now=lambda: NOW)
    yield log
    log.close()


@pytest.fixture
def attestation(site: Site, keys: TokenPki, seen: PlatformStore, log: AuditLog) -> Attestation:
    anchor = TrustAnchor.from_pem(PLATFORM.root_pem)
    lifetime = timedelta(seconds=300)
    return Attestation(
        roots=[Trust(anchor=anchor, collateral=DirectoryCollateral(site.kept), simulated=True)],
        policy=AppraisalPolicy(),
        nonces=Nonces(bytes(32), lifetime=lifetime, token_bytes=stream("nonces")),
        keys=keys,
        issuer=Issuer(
            base_url="https://attest.example", instance_id=UUID(int=1), token_lifetime=lifetime, new_id=uuid4
        ),
        audit=AuditTrail(log, lambda: (None, None)),
        seen=seen,
    )


def evidence(data: bytes = b"data", *, bound: bytes = b"data", platform: SimulatedPlatform = PLATFORM) -> Evidence:
    quote = platform.quote(SPECIMEN, hashlib.sha256(bound).digest() + bytes(32))
    return Evidence(quote=quote, nonce=None, runtime_data=data, policy_ids=(), algorithm="ES256")


def attest(attestation: Attestation, sent: Evidence, *, at: datetime) -> str:
    return asyncio.run(attestation.told(attestation.judge(sent, ANYBODY, at=at)))


def test_each_kind_is_one_row_however_often_it_attests(attestation: Attestation, seen: PlatformStore) -> None:
    for seconds in (0, 10, 120):
        attest(attestation, evidence(), at=NOW + timedelta(seconds=seconds))
    (row,) = seen.all()
    assert (row.kind.tee, row.kind.fmspc, row.kind.ca) == ("SGX", PLATFORM.fmspc, "platform")
    assert row.kind.anchor == hashlib.sha256(TrustAnchor.from_pem(PLATFORM.root_pem).key).digest()
    assert (row.first_seen, row.last_seen) == (NOW, NOW + timedelta(seconds=120))


def test_a_platform_that_the_policy_refuses_is_seen(attestation: Attestation, seen: PlatformStore, site: Site) -> None:
    site.keep(site.kept, said(status=TcbStatus.OUT_OF_DATE))
    with pytest.raises(NotWelcome):
        attest(attestation, evidence(), at=NOW)
    assert len(seen.all()) == 1


def test_what_is_not_genuine_or_not_fresh_is_not(attestation: Attestation, seen: PlatformStore) -> None:
    for wrong in (evidence(bound=b"other data"), evidence(platform=OTHER)):
        with pytest.raises(NotGenuine):
            attest(attestation, wrong, at=NOW)
    assert seen.all() == ()
