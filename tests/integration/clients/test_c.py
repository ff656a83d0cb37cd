"""[c] Intel's client for C: curl, jansson, libjwt, OpenSSL; bounded buffers, and keys that must have every member."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, bound
from tests.integration.attestation.test_tdx import TD, td_bound
from tests.integration.attestation.test_v2 import azure_evidence
from tests.integration.clients import chain

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service
    from tests.integration.clients.network import Answer, Headers, Network

API_URL: Final = re.compile(r"(https)://[a-zA-Z0-9.-]+(:[0-9]+)?(/[a-zA-Z0-9./_-]*)*")
MAX_URL, MAX_KEY, MAX_DECODED = 128, 256, 1024
MAX_BODY: Final = 256 * 1024
SUITES: Final = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"


@dataclass(frozen=True)
class Client:
    """The connector."""

    network: Network

    def __post_init__(self) -> None:
        assert API_URL.fullmatch(BASE_URL)
        assert len(BASE_URL) <= MAX_URL
        key = self.network.service.api_key
        assert len(key) <= MAX_KEY
        assert len(key) % 4 == 0

    def exchange(self, method: str, url: str, *, key: str, body: object = None) -> Answer:
        headers: Headers = [
            ("User-Agent", "Intel Trust Authority API Client"),
            ("Accept", "application/json"),
            ("x-api-key", key),
        ]
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers.append(("Content-Type", "application/json"))
        context = self.network.context(ssl.TLSVersion.TLSv1_2, SUITES)
        answer = self.network.exchange(method, url, headers, content, context=context)
        assert answer.status == 200, answer.body
        assert len(answer.body) < MAX_BODY
        return answer

    def nonce(self) -> dict[str, str]:
        told = self.exchange("GET", f"{BASE_URL}/appraisal/v2/nonce", key=self.network.service.api_key).object()
        for name in ("val", "iat", "signature"):
            assert len(told[name]) % 4 == 0, "padding is required"
            assert 1 <= len(b64decode(told[name])) <= MAX_DECODED
        return {name: told[name] for name in ("val", "iat", "signature")}

    def token(self, path: str, body: object) -> str:
        answer = self.exchange("POST", f"{BASE_URL}{path}", key=self.network.service.api_key, body=body)
        token = answer.object()["token"]
        assert isinstance(token, str)
        return token

    def verify(self, token: str) -> dict[str, Any]:
        """Without a key, it sends the words `(null)`; lists are asked for as JSON. `x5c[0]` is the leaf."""
        at = self.network.service.clock.instant
        header = jwt.get_unverified_header(token)
        keys = self.exchange("GET", f"{BASE_URL}/certs", key="(null)").object()["keys"]
        for entry in keys:
            assert {"alg", "kty", "kid", "n", "e"} <= set(entry), "it reads through a null pointer otherwise"
        entry = next(key for key in keys if key["kid"] == header["kid"])
        found = chain.certificates(entry)
        leaf, intermediate, root = chain.by_name(found)
        assert found[0] == leaf
        for certificate, issuer in ((intermediate, root), (leaf, intermediate)):
            certificate.verify_directly_issued_by(issuer)
            assert certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
            der = self.exchange("GET", chain.list_address(certificate), key="(null)").body
            chain.not_revoked(certificate, issuer, der, at)
        return chain.decoded(token, leaf.public_key(), ["PS384", "RS256"])


@pytest.fixture
def client(network: Network) -> Client:
    return Client(network)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


OPTIONS: Final[dict[str, Any]] = {"policy_ids": [], "policy_must_match": False}  # always sent


def test_collect_token_of_an_enclave(client: Client, service: Service) -> None:
    nonce = client.nonce()
    body = {"quote": b64(service.platform.quote(ENCLAVE, bound(nonce, b"data"))), "verifier_nonce": nonce}
    claims = client.verify(client.token("/appraisal/v1/attest", {**body, "runtime_data": b64(b"data"), **OPTIONS}))
    assert claims["attester_held_data"] == b64(b"data")


def test_collect_token_of_a_td_on_azure(client: Client, service: Service) -> None:
    body = {**azure_evidence(service, client.nonce(), b"mine"), **OPTIONS}
    assert client.verify(client.token("/appraisal/v1/attest/azure/tdxvm", body))["attester_runtime_data"]


@pytest.mark.parametrize("kind", ["sgx", "tdx"])
def test_attest_evidence(client: Client, service: Service, kind: str) -> None:
    nonce = client.nonce()
    quote = (
        service.platform.quote(ENCLAVE, bound(nonce, b"data"))
        if kind == "sgx"
        else service.platform.td_quote(TD, td_bound(nonce, b"data"))
    )
    inside = {"quote": b64(quote), "verifier_nonce": nonce, "runtime_data": b64(b"data")}
    body = {kind: inside, "token_signing_alg": "PS384", **OPTIONS}
    assert client.verify(client.token("/appraisal/v2/attest", body))[kind]["attester_held_data"] == b64(b"data")


def test_its_one_suite_of_tls_13(network: Network) -> None:
    """`TLS_AES_256_GCM_SHA384` and no other; Python cannot ask for that alone, OpenSSL's own client can."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    told = subprocess.run(
        [
            *(openssl, "s_client", "-connect", f"127.0.0.1:{network.service.port}", "-CAfile", str(network.ca)),
            *("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384", "-verify_return_error", "-brief"),
        ],
        input=b"",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert b"TLS_AES_256_GCM_SHA384" in told.stdout + told.stderr
