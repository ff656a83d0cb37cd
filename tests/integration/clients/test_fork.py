"""[fork] The first client in Gramine, of 2023: HTTP by hand over TLS 1.2, buffers of 4096 bytes, no nonce sent back."""

from __future__ import annotations

import hashlib
import json
import ssl
from base64 import b64encode, urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from tests.integration.attestation.scene import BASE_URL, ENCLAVE
from tests.integration.attestation.test_issuer import service_with
from tests.integration.clients.network import Answer, Headers, Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.attestation.scene import Service

    from ambergate.services.web.server import TlsFiles

URL: Final = f"{BASE_URL}/appraisal/v1/"
MAX_ANSWER: Final = 4095  # bytes of a body, and of a token
MAX_HEAD: Final = 2048
MAX_REQUEST: Final = 1023  # bytes of a GET
MAX_STATUS: Final = 1023
USER_DATA: Final = b'{"type":"RSA","key":{"n":"AQAB","e":"AQAB"}}'


@dataclass(frozen=True)
class Client:
    """`/dev/amber/token` of that time."""

    network: Network
    url: str = URL

    def __post_init__(self) -> None:
        assert self.url.endswith("/")
        assert len(self.network.service.api_key) <= 511

    def exchange(self, method: str, name: str, body: bytes | None = None) -> Answer:
        """`Host` has no port; a POST announces its length itself, and its kind."""
        headers: Headers = [
            ("User-Agent", "Ambergra/0.2"),
            ("Host", str(urlsplit(self.url).hostname)),
            ("Accept", "application/json"),
            ("x-api-key", self.network.service.api_key),
        ]
        if body is None:
            path = urlsplit(self.url).path
            request = f"{method} {path}{name} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers)
            assert len(request) + 2 <= MAX_REQUEST
        else:
            headers.append(("Content-Type", "application/json"))
        context = self.network.context(ssl.TLSVersion.TLSv1_2)
        answer = self.network.exchange(method, self.url + name, headers, body, context=context)
        assert sum(len(name) + len(value) + 4 for name, value in answer.headers) < MAX_HEAD
        assert "Transfer-Encoding" not in dict(answer.headers)
        return answer

    def fetch_nonce(self) -> None:
        """It fetches one, looks at its size, and does not use it."""
        answer = self.exchange("GET", "nonce")
        assert answer.status == 200
        assert len(answer.body) <= MAX_ANSWER
        told = answer.object()
        assert len(told["val"]) * 3 // 4 + len(told["iat"]) * 3 // 4 <= 256

    def token(self, quote: bytes, user_data: bytes) -> str:
        body: dict[str, Any] = {"quote": b64encode(quote).decode()}
        if user_data:
            body["runtime_data"] = b64encode(user_data).decode()
        answer = self.exchange("POST", "attest", json.dumps(body).encode())
        assert answer.status == 200, self.status(answer)
        assert len(answer.body) <= MAX_ANSWER, "cut off there, and no JSON any more"
        assert answer.body.count(b":") + answer.body.count(b",") <= 5, "ten jsmn tokens"
        return str(answer.object()["token"])

    def status(self, answer: Answer) -> str:
        """What a reader of `/dev/amber/status` sees."""
        told = answer.object()
        text = str(told.get("error", told.get("message")))
        assert len(text) <= MAX_STATUS
        return text


def quote_of(service: Service, user_data: bytes) -> bytes:
    return service.platform.quote(ENCLAVE, hashlib.sha256(user_data).digest() + bytes(32))


def payload(token: str) -> dict[str, Any]:
    text = token.split(".")[1]
    return dict(json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))))


@pytest.fixture(scope="module")
def slim(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that gives slim tokens where nobody says otherwise: this client cannot say."""
    with service_with('[tokens]\nprofile = "slim"\n', tls, tmp_path_factory) as service:
        yield service


@pytest.mark.parametrize("user_data", [b"", b"plain words", USER_DATA])
def test_from_nonce_to_token(slim: Service, user_data: bytes) -> None:
    client = Client(Network(slim, slim.ca))
    client.fetch_nonce()
    claims = payload(client.token(quote_of(slim, user_data), user_data))
    assert claims["sgx_mrenclave"] == ENCLAVE.mr_enclave.hex()
    assert claims.get("attester_runtime_data") == (json.loads(user_data) if user_data == USER_DATA else None)
    assert claims["sgx_report_data"] == hashlib.sha256(user_data).hexdigest() + "00" * 32
    assert claims["tee_simulated"] is True


def test_what_would_not_fit_is_an_error_that_it_can_show(slim: Service) -> None:
    client = Client(Network(slim, slim.ca))
    data = b"x" * 3000
    body = {"quote": b64encode(quote_of(slim, data)).decode(), "runtime_data": b64encode(data).decode()}
    answer = client.exchange("POST", "attest", json.dumps(body).encode())
    assert answer.status == 413
    assert client.status(answer) == "the token would be too long"


def test_errors_are_in_the_member_that_it_reads(slim: Service) -> None:
    client = Client(Network(slim, slim.ca))
    answer = client.exchange("POST", "attest", b'{"quote":"AAAA"}')
    assert answer.status == 400
    assert "1.1.quote_format" in client.status(answer)
