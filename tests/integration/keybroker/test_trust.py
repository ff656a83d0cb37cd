"""Where the issuer's keys come from, and what happens when they do not come."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.integration.keybroker.forge import AT, ISSUER, Forge, jwk
from tests.integration.keybroker.scene import LOOSE, SECRET, STRICT, Broker, KeySetServer, running_broker

from ambergate.services.keybroker.fetch import KeySetUrl
from ambergate.services.keybroker.trust import RETRY_AFTER, IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.web.server import TlsFiles, running
from ambergate.stores.engine import writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def issuer(forge: Forge) -> KeySetServer:
    return KeySetServer(forge.key_set())


@pytest.fixture
def lone(issuer: KeySetServer, tls: TlsFiles, ca: Path, tmp_path: Path) -> Iterator[Broker]:
    """A broker that trusts one issuer, whose key set the test can change."""
    with running(issuer.app(), tls) as port:
        keys = IssuerKeys(KeySetUrl(f"https://127.0.0.1:{port}/certs", cacerts=ca))
        with running_broker(TrustedIssuers([TrustedIssuer(issuer=ISSUER, keys=keys)]), tls, tmp_path) as broker:
            yield broker


def test_keys_are_fetched_ahead_and_kept(lone: Broker, issuer: KeySetServer, forge: Forge) -> None:
    assert issuer.asked == 1
    for _ in range(3):
        assert lone.transfer(forge.token()).status_code == 200
    assert issuer.asked == 1


def test_the_service_fetches_ahead_while_it_serves(tls: TlsFiles, tmp_path: Path, forge: Forge) -> None:
    """For each issuer, until it stops."""
    keys = IssuerKeys(lambda: json.dumps(forge.key_set()))
    before = set(threading.enumerate())
    with running_broker(TrustedIssuers([TrustedIssuer(issuer=ISSUER, keys=keys)]), tls, tmp_path):
        mine = [each for each in set(threading.enumerate()) - before if each.name == "issuer's keys"]
        assert len(mine) == 1
    mine[0].join(30)
    assert not mine[0].is_alive()


def test_a_new_key_of_the_issuer_is_believed(lone: Broker, issuer: KeySetServer, forge: Forge) -> None:
    token = forge.token(key=forge.other_key, header={"kid": "77" * 48})
    assert lone.transfer(token).status_code == 401
    issuer.body = {"keys": [jwk(forge.other_key.public_key(), "77" * 48, "PS384")]}
    lone.clock.instant = AT + RETRY_AFTER
    assert lone.transfer(token).status_code == 200
    assert lone.transfer(forge.token()).status_code == 401  # the old key is not served any more


def test_a_broker_without_keys_says_so_and_recovers(tls: TlsFiles, ca: Path, tmp_path: Path, forge: Forge) -> None:
    """It starts, is alive, is not ready, tells clients to come again, and releases nothing."""
    issuer = KeySetServer(forge.key_set(), status=500)
    with running(issuer.app(), tls) as port:
        keys = IssuerKeys(KeySetUrl(f"https://127.0.0.1:{port}/certs", cacerts=ca))
        with running_broker(TrustedIssuers([TrustedIssuer(issuer=ISSUER, keys=keys)]), tls, tmp_path) as broker:
            assert broker.client.get("/healthz").status_code == 200
            assert broker.client.get("/readyz").status_code == 503
            response = broker.transfer(forge.token())
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert str(port) not in response.text  # addresses of the operator's network stay in the log
            assert broker.decisions == []  # nothing was decided
            issuer.status = 200
            broker.clock.instant = AT + RETRY_AFTER
            assert broker.client.get("/readyz").status_code == 200
            assert broker.transfer(forge.token()).status_code == 200


def test_an_untrusted_issuer_is_not_worth_a_fetch(lone: Broker, issuer: KeySetServer, forge: Forge) -> None:
    lone.clock.instant = AT + timedelta(minutes=1)
    token = forge.token(claims=forge.claims(iss="https://evil.example"), header={"kid": "unknown"})
    assert lone.transfer(token).json()["code"] == "untrusted-issuer"
    assert issuer.asked == 1


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_addresses_in_a_token_are_never_asked(broker: Broker, forge: Forge, tls: TlsFiles, member: str) -> None:
    """A stranger serves the key set that would make the token good; nobody comes."""
    stranger = KeySetServer({"keys": [jwk(forge.other_key.public_key(), "99" * 48, "PS384")]})
    with running(stranger.app(), tls) as port:
        header = {member: f"https://127.0.0.1:{port}/certs", "kid": "99" * 48}
        assert broker.transfer(forge.token(key=forge.other_key, header=header)).status_code == 401
    assert stranger.asked == 0


def test_a_policy_loosened_in_the_database_releases_nothing(broker: Broker, forge: Forge) -> None:
    """The decision would be yes; the secret does not open under a policy that it was not stored with."""
    key_id = UUID("11111111-1111-4111-8111-111111111111")
    broker.store.add(key_id, SECRET, STRICT, at=AT)
    with writing(broker.store._engine) as connection:
        statement = text("UPDATE broker_secrets SET policy = :policy WHERE id = :id")
        connection.execute(statement, {"policy": LOOSE.to_json(), "id": str(key_id)})
    response = broker.transfer(forge.token(claims=forge.claims(sgx_is_debuggable=True)), key_id)
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert broker.decisions[-1]["verdict"] == "refused"
