"""[kbs] Intel's key broker, which pins an early connector for Go: a nonce for its callers, then a flat token."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, bound
from tests.integration.attestation.test_tdx import TD, td_bound
from tests.integration.clients.network import unique
from tests.integration.clients.test_go import Client as Connector

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service
    from tests.integration.clients.network import Network

USER_DATA: Final = b"its caller's public key, DER"


@dataclass(frozen=True)
class Broker:
    """What it does with quote, nonce and user data of a key transfer: bare attestation at the first paths."""

    connector: Connector

    def nonce(self) -> dict[str, str]:
        told = json.loads(self.connector.exchange("GET", "/appraisal/v1/nonce").body, object_pairs_hook=unique)
        assert set(told) == {"val", "iat", "signature"}
        return dict(told)

    def token(self, quote: bytes, nonce: dict[str, str], key_id: str) -> str:
        body = {
            "quote": b64encode(quote).decode(),
            "verifier_nonce": nonce,
            "runtime_data": b64encode(USER_DATA).decode(),
            "policy_ids": None,
            "event_log": None,
        }
        answer = self.connector.exchange("POST", "/appraisal/v1/attest", body, request_id=key_id)
        assert answer.header("request-id") == key_id, "the key's id is its request id"
        told = json.loads(answer.body, object_pairs_hook=unique)
        assert set(told) == {"token"}
        return str(told["token"])

    def claims(self, token: str) -> dict[str, Any]:
        """`AttestationTokenClaim`: flat, typed by Go's decoder."""
        claims = self.connector.verify(token)
        for name, kind in (("attester_type", str), ("attester_tcb_status", str), ("attester_held_data", str)):
            assert type(claims[name]) is kind
        assert b64decode(claims["attester_held_data"], validate=True) == USER_DATA
        return claims


@pytest.fixture
def broker(network: Network) -> Broker:
    return Broker(Connector(network))


def test_transfer_to_an_enclave(broker: Broker, service: Service) -> None:
    nonce = broker.nonce()
    token = broker.token(service.platform.quote(ENCLAVE, bound(nonce, USER_DATA)), nonce, str(uuid4()))
    claims = broker.claims(token)
    assert (claims["sgx_mrenclave"], claims["sgx_isvsvn"]) == (ENCLAVE.mr_enclave.hex(), 3)
    for name in ("sgx_isvprodid", "sgx_isvsvn"):
        assert 0 <= claims[name] <= 0xFFFF
        assert type(claims[name]) is int


def test_transfer_to_a_td(broker: Broker, service: Service) -> None:
    nonce = broker.nonce()
    token = broker.token(service.platform.td_quote(TD, td_bound(nonce, USER_DATA)), nonce, str(uuid4()))
    claims = broker.claims(token)
    for name in ("mrseam", "mrsignerseam", "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"):
        assert len(claims[f"tdx_{name}"]) == 96
    assert type(claims["tdx_seamsvn"]) is int


def test_its_own_check_of_the_status_passes_for_names_of_2022_alone(broker: Broker, service: Service) -> None:
    """`enforce_tcb_upto_date` compares with `OK`: docs/clients.md says to leave it off."""
    token = broker.token(service.platform.quote(ENCLAVE, bound(nonce := broker.nonce(), USER_DATA)), nonce, "k")
    assert broker.claims(token)["attester_tcb_status"] == "UpToDate"


def test_where_the_keys_are() -> None:
    """It is configured with the base URL, and asks below it."""
    assert not BASE_URL.endswith("/")
