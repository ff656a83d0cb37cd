"""[java] Intel's client for Java: Jackson refuses unknown members; the chain is checked in the order of the array."""

from __future__ import annotations

import itertools
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, bound
from tests.integration.attestation.test_tdx import TD, td_bound
from tests.integration.attestation.test_v2 import azure_evidence
from tests.integration.clients import chain
from tests.integration.clients.network import Answer, Headers, Network, unique

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service


@dataclass(frozen=True)
class Client:
    """The connector: the first version's paths only."""

    network: Network

    def exchange(self, method: str, url: str, body: object = None) -> Answer:
        assert url.startswith("https://")
        headers: Headers = [
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
            ("x-api-key", self.network.service.api_key),
            ("request-id", "1234"),
            ("User-Agent", "Java-http-client/17.0.9"),
        ]
        content = None if body is None else json.dumps(body).encode()
        answer = self.network.exchange(method, url, headers, content)
        assert answer.status == 200, answer.body
        return answer

    def nonce(self) -> dict[str, str]:
        told = json.loads(self.exchange("GET", f"{BASE_URL}/appraisal/v1/nonce").body, object_pairs_hook=unique)
        assert set(told) == {"val", "iat", "signature"}
        assert all(b64decode(value, validate=True) for value in told.values())
        return dict(told)

    def token(self, path: str, body: object) -> str:
        told = json.loads(self.exchange("POST", f"{BASE_URL}{path}", body).body)
        assert set(told) <= {"token", "headers"}
        return str(told["token"])

    def verify(self, token: str) -> dict[str, Any]:
        """Leaf, issuing CA, ..., root in this order; key and algorithm from the entry, which must be the leaf's."""
        at = self.network.service.clock.instant
        header = jwt.get_unverified_header(token)
        keys = self.exchange("GET", f"{BASE_URL}/certs").object()["keys"]
        assert all(isinstance(key["alg"], str) for key in keys), "it fails over a key without"
        entry = next(key for key in keys if key["kid"] == header["kid"])
        assert {key["alg"] for key in keys if key["kid"] == header["kid"]} == {"PS384", "RS256"}
        found = chain.certificates(entry)
        assert len(found) >= 3
        found[-1].verify_directly_issued_by(found[-1])
        for certificate, issuer in itertools.pairwise(found):
            certificate.verify_directly_issued_by(issuer)
            der = self.exchange("GET", chain.list_address(certificate)).body
            chain.not_revoked(certificate, issuer, der, at)
        key = jwt.PyJWK(entry, header["alg"])
        leaf = found[0].public_key()
        assert isinstance(leaf, rsa.RSAPublicKey)
        assert isinstance(key.key, rsa.RSAPublicKey)
        assert key.key.public_numbers() == leaf.public_numbers()
        return chain.decoded(token, key, [header["alg"]])


@pytest.fixture
def client(network: Network) -> Client:
    return Client(network)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


@pytest.mark.parametrize("alg", ["PS384", "RS256"])
def test_attest_of_an_enclave(client: Client, service: Service, alg: str) -> None:
    nonce = client.nonce()
    body: dict[str, Any] = {
        "quote": b64(service.platform.quote(ENCLAVE, bound(nonce, b"data"))),
        "verifier_nonce": nonce,
        "runtime_data": b64(b"data"),
        "policy_ids": [],
        "event_log": None,
        "token_signing_alg": alg,
        "policy_must_match": False,
    }
    claims = client.verify(client.token("/appraisal/v1/attest", body))
    assert claims["sgx_report_data"] == bound(nonce, b"data").hex()


def test_attest_of_a_td(client: Client, service: Service) -> None:
    nonce = client.nonce()
    body = {"quote": b64(service.platform.td_quote(TD, td_bound(nonce, b"d"))), "verifier_nonce": nonce}
    claims = client.verify(client.token("/appraisal/v1/attest", {**body, "runtime_data": b64(b"d")}))
    assert claims["tdx_mrtd"] == TD.mr_td.hex()


def test_attest_on_azure(client: Client, service: Service) -> None:
    body = azure_evidence(service, client.nonce(), b"mine")
    assert client.verify(client.token("/appraisal/v1/attest/azure/tdxvm", body))["attester_type"] == "TDX"
