"""[py] Intel's client for Python, and its command line `trustauthority-pycli`."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

import jwt
import pytest
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, bound
from tests.integration.attestation.test_tdx import TD, td_bound
from tests.integration.attestation.test_v2 import azure_evidence
from tests.integration.clients import chain

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service
    from tests.integration.clients.network import Answer, Headers, Network

_LABEL: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?")
RETRIED: Final = {500, 503, 504}


def url_is_valid(url: str) -> bool:
    """As its library judges: addresses pass, names need a dot and a last label of two letters or more."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme.lower() not in ("https", "http"):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        last = labels[-1]
        return len(labels) > 1 and all(map(_LABEL.fullmatch, labels)) and len(last) > 1 and last.isalpha()
    return True


@dataclass(frozen=True)
class Client:
    """What the connector does with its configuration."""

    network: Network
    api_url: str = BASE_URL
    base_url: str = BASE_URL

    def __post_init__(self) -> None:
        key = self.network.service.api_key
        assert b64encode(b64decode(key)).decode() == key, "the key must be canonical base64"
        assert url_is_valid(self.api_url)
        assert url_is_valid(self.base_url)

    def headers(self, request_id: str | None = None) -> Headers:
        usual = [("User-Agent", "python-requests/2.32"), ("Accept", "application/json")]
        more = [] if request_id is None else [("Request-Id", request_id)]
        return [*usual, ("x-api-key", self.network.service.api_key), *more]

    def nonce(self) -> dict[str, str]:
        answer = self.network.exchange("GET", urljoin(self.api_url, "/appraisal/v2/nonce"), self.headers())
        assert answer.status not in RETRIED
        told = answer.object()
        for name in ("val", "iat", "signature"):
            assert b64encode(b64decode(told[name])).decode() == told[name], "it drops other characters in silence"
        return {name: told[name] for name in ("val", "iat", "signature")}

    def post(self, path: str, body: dict[str, Any], request_id: str | None = None) -> Answer:
        headers = [*self.headers(request_id), ("Content-Type", "application/json")]
        return self.network.exchange("POST", urljoin(self.api_url, path), headers, json.dumps(body).encode())

    def verify(self, token: str) -> dict[str, Any]:
        """The key by `kid` (the first match), the chain by names, both lists; then the token, without leeway."""
        at = self.network.service.clock.instant
        header = jwt.get_unverified_header(token)
        assert header["alg"] in ("PS384", "RS256")
        assert isinstance(header["kid"], str)
        answer = self.network.exchange("GET", urljoin(self.base_url, "/certs"), [("Accept", "application/json")])
        entry = next(key for key in answer.object()["keys"] if key["kid"] == header["kid"])
        leaf, intermediate, root = chain.by_name(chain.certificates(entry))
        chain.signed_by(leaf, intermediate)
        chain.signed_by(intermediate, root)
        for certificate, issuer in ((intermediate, root), (leaf, intermediate)):
            url = chain.list_address(certificate)
            assert url_is_valid(url), "the addresses in the certificates are judged as those of the configuration"
            chain.not_revoked(certificate, issuer, self.network.exchange("GET", url, [("Accept", "*/*")]).body, at)
        claims = chain.decoded(token, leaf.public_key(), ["PS384", "RS256"])
        chain.in_time(claims, at)
        return claims


@pytest.fixture
def client(network: Network) -> Client:
    return Client(network)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def flat(quote: bytes, nonce: dict[str, str] | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """`TokenRequest`: whatever is not set is an explicit null, but for `user_data`."""
    unset = dict.fromkeys(["runtime_data", "policy_ids", "event_log", "token_signing_alg", "policy_must_match"])
    return {"quote": b64(quote), "verifier_nonce": nonce, **unset, **more}


@pytest.mark.parametrize("alg", [None, "PS384", "RS256"])
@pytest.mark.parametrize("user_data", [b"", b"user data"])
def test_attest_of_an_enclave(client: Client, service: Service, alg: str | None, user_data: bytes) -> None:
    nonce = client.nonce()
    quote = service.platform.quote(ENCLAVE, bound(nonce, user_data))
    body = flat(quote, nonce, token_signing_alg=alg, runtime_data=b64(user_data))
    answer = client.post("/appraisal/v1/attest", body, "req-1")
    claims = client.verify(answer.object()["token"])
    assert (claims["verifier_nonce"], claims["ver"]) == (nonce, "1.0.0")
    assert claims.get("attester_held_data") == (b64(user_data) if user_data else None)


def test_attest_of_a_td(client: Client, service: Service) -> None:
    nonce = client.nonce()
    quote = service.platform.td_quote(TD, td_bound(nonce, b""))
    assert client.verify(client.post("/appraisal/v1/attest", flat(quote, nonce)).object()["token"])["tdx_mrtd"]


def composite(quote: bytes, nonce: dict[str, str] | None, runtime_data: str | None) -> dict[str, Any]:
    """`get_token_v2` as the command line calls it: all options, and `tdx` whatever the quote is of."""
    inside = {"runtime_data": runtime_data, "quote": b64(quote), "event_log": None, "verifier_nonce": nonce}
    return {"policy_ids": None, "token_signing_alg": None, "policy_must_match": False, "tdx": inside}


@pytest.mark.parametrize("runtime_data", ["", None])
def test_attest_v2_of_a_td(client: Client, service: Service, runtime_data: str | None) -> None:
    nonce = client.nonce()
    quote = service.platform.td_quote(TD, td_bound(nonce, b""))
    answer = client.post("/appraisal/v2/attest", composite(quote, nonce, runtime_data))
    claims = client.verify(answer.object()["token"])
    assert (claims["tdx"]["tdx_mrtd"], claims["ver"]) == (TD.mr_td.hex(), "2.0.0")


def test_attest_v2_of_an_enclave_arrives_under_tdx(client: Client, service: Service) -> None:
    nonce = client.nonce()
    body = composite(service.platform.quote(ENCLAVE, bound(nonce)), nonce, "")
    claims = client.verify(client.post("/appraisal/v2/attest", body).object()["token"])
    assert claims["sgx"]["sgx_mrenclave"] == ENCLAVE.mr_enclave.hex()
    assert "tdx" not in claims


def test_a_td_without_nonce_and_data_hashes_nothing(client: Client, service: Service) -> None:
    for report_data in (hashlib.sha512(b"").digest(), bytes(64)):
        quote = service.platform.td_quote(TD, report_data)
        client.verify(client.post("/appraisal/v2/attest", composite(quote, None, None)).object()["token"])


@pytest.mark.parametrize("path", ["/appraisal/v1/attest/azure/tdxvm", "/appraisal/v2/attest"])
def test_its_adapter_for_azure(client: Client, service: Service, path: str) -> None:
    """The quote comes as the metadata service gives it: base64url without padding."""
    nonce = client.nonce()
    evidence = azure_evidence(service, nonce, b"mine")
    evidence["quote"] = evidence["quote"].replace("+", "-").replace("/", "_").rstrip("=")
    if path.endswith("tdxvm"):
        body = {**flat(b"", nonce), **evidence}
    else:
        body = {"policy_ids": [], "policy_must_match": False, "token_signing_alg": None, "tdx": evidence}
    claims = client.verify(client.post(path, body).object()["token"])
    assert "attester_runtime_data" in (claims if path.endswith("tdxvm") else claims["tdx"])


def test_the_command_line_reads_headers_by_replacing_quotes(client: Client, service: Service) -> None:
    body = flat(service.platform.quote(ENCLAVE, bytes(64)), None)
    answer = client.post("/appraisal/v1/attest", body, "a/b_c.d-1")
    headers = json.loads(str(dict(answer.headers)).replace("'", '"'))
    assert headers["request-id"] == "a/b_c.d-1"
    assert headers["trace-id"]


def test_an_empty_request_id_is_sent_as_it_is(client: Client, service: Service) -> None:
    body = flat(service.platform.quote(ENCLAVE, bytes(64)), None)
    assert client.post("/appraisal/v1/attest", body, "").status == 200


@pytest.mark.parametrize("body", [b"{}", b"", b'{"quote":"AAAA"}'])
def test_nothing_permanent_is_retried(client: Client, body: bytes) -> None:
    headers = [*client.headers(), ("Content-Type", "application/json")]
    answer = client.network.exchange("POST", f"{BASE_URL}/appraisal/v2/attest", headers, body)
    assert answer.status not in RETRIED
    assert isinstance(answer.object()["error"], str)


@pytest.mark.parametrize(
    ("url", "passes"),
    [
        ("https://attest.example:8443", True),
        ("https://127.0.0.1:8443", True),
        ("https://[::1]:8443", True),
        ("https://localhost:8443", False),
        ("https://ita:8443", False),
        ("https://ita.c1", False),
    ],
)
def test_which_addresses_it_takes(url: str, *, passes: bool) -> None:
    """docs/clients.md says so: the public URL must be one of the first kind."""
    assert url_is_valid(url) is passes


def test_a_path_prefix_is_dropped_unless_it_ends_in_a_slash() -> None:
    assert urljoin("https://a.example/x", "appraisal/v1/nonce") == "https://a.example/appraisal/v1/nonce"
