"""[go] Intel's client for Go (connector, adapters, command line) and [gtpm]'s use of it: strict decoders throughout."""

from __future__ import annotations

import json
import re
import ssl
from base64 import b64decode, b64encode, urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, bound
from tests.integration.attestation.test_tdx import TD, td_bound
from tests.integration.attestation.test_v2 import azure_evidence
from tests.integration.clients import chain
from tests.integration.clients.network import Answer, Headers, Network, unique

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service

MAX_NONCE: Final = 4096  # bytes of the body
MAX_TOKEN: Final = 64 * 1024
# Of TLS 1.2 its command line offers these two alone.
SUITES: Final = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
REQUEST_ID: Final = re.compile(r"[a-zA-Z0-9_ /.-]{1,128}")


@dataclass(frozen=True)
class Client:
    """The connector."""

    network: Network
    version: ssl.TLSVersion | None = None

    def __post_init__(self) -> None:
        key = self.network.service.api_key
        assert len(key) % 4 == 0
        assert urlsafe_b64decode(key) == b64decode(key, validate=True), "both alphabets must read it alike"

    def exchange(self, method: str, path: str, body: object = None, *, request_id: str = "") -> Answer:
        """`request-id` is sent even when it is empty."""
        headers: Headers = [
            ("User-Agent", "Go-http-client/1.1"),
            ("X-Api-Key", self.network.service.api_key),
            ("Accept", "application/json"),
            ("Request-Id", request_id),
            ("Accept-Encoding", "gzip"),
        ]
        content = None
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            headers.append(("Content-Type", "application/json"))
        context = self.network.context(self.version, SUITES)
        answer = self.network.exchange(method, f"{BASE_URL}{path}", headers, content, context=context)
        assert answer.status == 200, answer.body
        assert answer.body
        return answer

    def nonce(self) -> dict[str, str]:
        answer = self.exchange("GET", "/appraisal/v2/nonce")
        assert len(answer.body) <= MAX_NONCE
        told = json.loads(answer.body, object_pairs_hook=unique)
        assert set(told) == {"val", "iat", "signature"}, "unknown members are refused"
        for value in told.values():
            assert b64encode(b64decode(value, validate=True)).decode() == value
        return dict(told)

    def token(self, path: str, body: object, *, request_id: str = "") -> str:
        answer = self.exchange("POST", path, body, request_id=request_id)
        assert len(answer.body) <= MAX_TOKEN
        told = json.loads(answer.body, object_pairs_hook=unique)
        assert set(told) == {"token"}, "unknown members are refused"
        return str(told["token"])

    def verify(self, token: str) -> dict[str, Any]:
        """The key from n and e; the chain by names, its certificates in date, lists of version 2."""
        at = self.network.service.clock.instant
        header = jwt.get_unverified_header(token)
        assert header["alg"] in ("PS384", "RS256")
        keys = json.loads(self.exchange("GET", "/certs").body)["keys"]
        entry = next(key for key in keys if key["kid"] == header["kid"])
        found = chain.certificates(entry)
        leaf, intermediate, root = chain.by_name(found)
        for each in (leaf, intermediate, root):
            assert each.not_valid_before_utc <= at <= each.not_valid_after_utc
        for each in (intermediate, root):
            assert each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            assert each.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
        _may_serve(leaf)
        for certificate, issuer in ((intermediate, root), (leaf, intermediate)):
            certificate.verify_directly_issued_by(issuer)
            path = chain.list_address(certificate).removeprefix(BASE_URL)
            chain.not_revoked(certificate, issuer, self.exchange("GET", path).body, at)
        claims = chain.decoded(token, jwt.PyJWK(entry, header["alg"]), [header["alg"]])
        assert at.timestamp() < claims["exp"]
        assert claims["nbf"] <= at.timestamp(), "without leeway"
        return claims


def _may_serve(leaf: x509.Certificate) -> None:
    """Go's verifier asks for serverAuth by default, where the certificate names any use at all."""
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    assert ExtendedKeyUsageOID.SERVER_AUTH in uses


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def client(network: Network, request: pytest.FixtureRequest) -> Client:
    return Client(network, request.param)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def test_the_composite_call_of_a_td(client: Client, service: Service) -> None:
    """The builder leaves out what is unset, but for `runtime_data`, which is null where there is none."""
    nonce = client.nonce()
    quote = service.platform.td_quote(TD, td_bound(nonce, b""))
    body = {"tdx": {"quote": b64(quote), "runtime_data": None, "verifier_nonce": nonce}}
    claims = client.verify(client.token("/appraisal/v2/attest", body))
    assert claims["verifier_nonce"] == nonce
    assert claims["tdx"]["attester_type"] == "TDX"


def test_the_composite_call_of_an_enclave_with_all_options(client: Client, service: Service) -> None:
    nonce = client.nonce()
    quote = service.platform.quote(ENCLAVE, bound(nonce, b"data"))
    body = {
        "policy_must_match": True,
        "token_signing_alg": "RS256",
        "sgx": {"quote": b64(quote), "runtime_data": b64(b"data"), "verifier_nonce": nonce},
    }
    token = client.token("/appraisal/v2/attest", body, request_id="req 1/a")
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert client.verify(token)["sgx"]["attester_held_data"] == b64(b"data")


def test_the_older_call_posts_a_flat_body_to_the_second_version(client: Client, service: Service) -> None:
    nonce = client.nonce()
    quote = service.platform.td_quote(TD, td_bound(nonce, b"data"))
    body = {"quote": b64(quote), "verifier_nonce": nonce, "runtime_data": b64(b"data"), "policy_ids": None}
    assert client.verify(client.token("/appraisal/v2/attest", body))["tdx"]["tdx_mrtd"] == TD.mr_td.hex()


@pytest.mark.parametrize("path", ["/appraisal/v2/attest/azure", "/appraisal/v2/attest"])
@pytest.mark.parametrize("flat", [True, False], ids=["legacy", "composite"])
def test_its_adapter_for_azure(client: Client, service: Service, path: str, *, flat: bool) -> None:
    """The legacy adapter forgets its type, and arrives at the plain path."""
    evidence = azure_evidence(service, client.nonce(), b"mine")
    claims = client.verify(client.token(path, evidence if flat else {"tdx": evidence}))
    assert claims["appraisal"]["method"] == "azure"


def test_the_ids_of_a_request(client: Client, service: Service) -> None:
    """It looks both names up as Go spells them, which is by any case."""
    body = {"sgx": {"quote": b64(service.platform.quote(ENCLAVE, bytes(64))), "runtime_data": None}}
    answer = client.exchange("POST", "/appraisal/v2/attest", body, request_id="req-7")
    assert answer.header("request-id") == "req-7"
    assert answer.header("trace-id")
    assert REQUEST_ID.fullmatch("req-7")


def test_the_first_versions_of_it_posted_to_the_first_paths(client: Client, service: Service) -> None:
    """v1.0.0 to v1.6.1, which Intel's key broker still holds."""
    nonce = json.loads(client.exchange("GET", "/appraisal/v1/nonce").body)
    quote = service.platform.quote(ENCLAVE, bound(nonce, b"data"))
    body = {"quote": b64(quote), "verifier_nonce": nonce, "runtime_data": b64(b"data"), "policy_ids": None}
    assert client.verify(client.token("/appraisal/v1/attest", body))["ver"] == "1.0.0"
