"""[trustee] The key broker of confidential containers, with Intel Trust Authority as its verifier: serde, no nonce."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from tests.integration.attestation.scene import BASE_URL, ENCLAVE
from tests.integration.attestation.test_tdx import TD
from tests.integration.clients import chain

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service
    from tests.integration.clients.network import Answer, Network

RUNTIME: Final = json.dumps({"tee-pubkey": {"kty": "RSA", "n": "x"}, "nonce": "bm9uY2U="}).encode()


@dataclass(frozen=True)
class Client:
    """`IntelTrustAuthority::verify`."""

    network: Network

    def post(self, path: str, body: object) -> Answer:
        headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("x-api-key", self.network.service.api_key),
        ]
        return self.network.exchange("POST", f"{BASE_URL}{path}", headers, json.dumps(body).encode())

    def verify(self, answer: Answer) -> dict[str, Any]:
        if answer.status != 200:
            raise RuntimeError(answer.object()["error"])
        token = answer.object()["token"]
        header = jwt.get_unverified_header(token)
        certs = self.network.exchange("GET", f"{BASE_URL}/certs", [("accept", "*/*")]).object()
        entry = next(key for key in certs["keys"] if key["kid"] == header["kid"])
        claims = chain.decoded(token, jwt.PyJWK(entry, header["alg"]), ["PS384", "RS256"])
        assert "policy_ids_unmatched" not in claims, "its mere presence is a failure"
        return claims


@pytest.fixture
def client(network: Network) -> Client:
    return Client(network)


def evidence(service: Service, tee: str) -> dict[str, str]:
    """The runtime data's hash is SHA-256 for enclaves and SHA-512 for TDs, as its attesters do."""
    quote = (
        service.platform.quote(ENCLAVE, hashlib.sha256(RUNTIME).digest() + bytes(32))
        if tee == "sgx"
        else service.platform.td_quote(TD, hashlib.sha512(RUNTIME).digest())
    )
    return {"quote": b64encode(quote).decode(), "runtime_data": b64encode(RUNTIME).decode()}


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
def test_its_flat_request(client: Client, service: Service, tee: str) -> None:
    claims = client.verify(client.post("/appraisal/v1/attest", evidence(service, tee)))
    assert claims["attester_runtime_data"] == json.loads(RUNTIME)
    assert "verifier_nonce" not in claims


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
def test_its_composite_request(client: Client, service: Service, tee: str) -> None:
    claims = client.verify(client.post("/appraisal/v2/attest", {tee: evidence(service, tee)}))
    assert claims[tee]["attester_runtime_data"] == json.loads(RUNTIME)


@pytest.mark.parametrize("body", [{}, {"quote": "AAAA", "runtime_data": ""}, {"tpm": {}}, []])
def test_any_refusal_has_one_text(client: Client, body: object) -> None:
    for path in ("/appraisal/v1/attest", "/appraisal/v2/attest"):
        with pytest.raises(RuntimeError) as caught:
            client.verify(client.post(path, body))
        assert isinstance(caught.value.args[0], str)
        assert caught.value.args[0]
