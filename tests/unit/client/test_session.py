"""The session's exchanges, request by request, against a scripted TLS server."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.client.conftest import HOST, TlsServer, plain

from ambergate.client.attempt import Attempt
from ambergate.client.session import MAX_SECRET, Session
from ambergate.client.settings import Settings
from ambergate.core.errors import (
    Malformed,
    NotGenuine,
    ReleaseRefused,
    SettingsError,
    TokenRejected,
    TooLarge,
    Unavailable,
)
from ambergate.core.release.envelope import decode_held_key, seal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NONCE = {"val": b"val" * 8, "iat": b"2026-01-02 03:04:05 +0000 UTC", "signature": b"s" * 384}
API_KEY = "bm90LWEtcmVhbC1rZXk="


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Source:
    """Quotes that are nothing but the report data that was asked for."""

    tee = "SGX"

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def quote(self, report_data: bytes, /) -> bytes:
        self.asked.append(report_data)
        return b"quote:" + report_data


class Services:
    """Both services behind one port: answers as the protocol says, unless a test puts another answer in place."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.life = timedelta(minutes=5)
        self.secret = b"the secret"
        self.held = b""
        self.instead: dict[str, Callable[[], bytes]] = {}

    def __call__(self, connection: ssl.SSLSocket, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode().rsplit("/", 1)[1]
        connection.sendall(self.instead.get(path, lambda: self._answer(path, body))())

    def _answer(self, path: str, body: bytes) -> bytes:
        if path == "nonce":
            return plain(json.dumps({name: b64(part) for name, part in NONCE.items()}).encode())
        document = json.loads(body)
        if path == "attest":
            self.held = base64.b64decode(document.get("runtime_data", ""))
            claims = {"exp": (NOW + self.life).timestamp(), "jti": len(self.tokens), "attester_tcb_status": "UpToDate"}
            self.tokens.append(f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln")
            return plain(json.dumps({"token": self.tokens[-1]}).encode(), headers="trace-id: t7\r\n")
        assert path == "transfer"
        return plain(self.sealed(self.secret))

    def sealed(self, secret: bytes) -> bytes:
        if len(self.held) != 388:
            return b'{"wrapped_key": "", "wrapped_swk": ""}'
        envelope = seal(secret, decode_held_key(self.held, tee="SGX"), swk=bytes(32), nonce=bytes(12))
        return json.dumps({"wrapped_key": b64(envelope.wrapped_key), "wrapped_swk": b64(envelope.wrapped_swk)}).encode()


@pytest.fixture
def services(server: TlsServer) -> Services:
    scripted = Services()
    server.answer = scripted
    return scripted


@pytest.fixture
def settings(server: TlsServer) -> Settings:
    base = f"https://{HOST}:{server.port}"
    values = {
        "endpoint_url": f"{base}/appraisal/v1/",
        "endpoint_ip": "127.0.0.1",
        "endpoint_apikey": API_KEY,
        "cacerts": server.roots,
        "timeout": "10",
    }
    made = Settings()
    for name, value in values.items():
        made = made.changed(name, value.encode())
    return made


@pytest.fixture
def broker(settings: Settings, server: TlsServer) -> Settings:
    made = settings.changed("kbs_url", f"https://{HOST}:{server.port}/kbs/v1/keys/".encode())
    return made.changed("kbs_ip", b"127.0.0.1").changed("kbs_keyid", b"k1")


def session(settings: Settings, source: Source, *, now: Callable[[], datetime] = lambda: NOW) -> Session:
    return Session(settings, source, now=now, token_bytes=bytes)


def test_a_token_is_asked_as_the_protocol_says(server: TlsServer, services: Services, settings: Settings) -> None:
    source = Source()
    attempt = Attempt()
    with_data = settings.changed("userdata", b"data\n")
    token = session(with_data, source).token(with_data, attempt)
    assert token == services.tokens[0]
    nonce, attest = server.requests
    assert nonce.startswith(b"GET /appraisal/v1/nonce HTTP/1.1\r\n")
    assert attest.startswith(b"POST /appraisal/v1/attest HTTP/1.1\r\n")
    for request in (nonce, attest):
        assert f"x-api-key: {API_KEY}\r\n".encode() in request
        assert b"request-id: amber-0000000000000000\r\n" in request
        assert b"Accept: application/json\r\n" in request
    bound = hashlib.sha256(NONCE["val"] + NONCE["iat"] + b"data\n").digest() + bytes(32)
    assert source.asked == [bound]
    assert json.loads(attest.partition(b"\r\n\r\n")[2]) == {
        "quote": b64(b"quote:" + bound),
        "verifier_nonce": {name: b64(part) for name, part in NONCE.items()},
        "runtime_data": b64(b"data\n"),
    }
    assert attempt.notes == {"step": "attest", "http_status": "200", "trace_id": "t7", "tcb_status": "UpToDate"}
    assert server.connections == 1


def test_without_data_and_broker_nothing_is_held(services: Services, server: TlsServer, settings: Settings) -> None:
    session(settings, Source()).token()
    assert services.held == b""
    assert "runtime_data" not in json.loads(server.requests[1].partition(b"\r\n\r\n")[2])


def test_without_an_api_key_none_is_sent(services: Services, server: TlsServer, settings: Settings) -> None:
    del services
    session(settings.changed("endpoint_apikey", b""), Source()).token()
    assert b"x-api-key" not in b"".join(server.requests).lower()


def test_each_token_is_fresh(services: Services, settings: Settings) -> None:
    client = session(settings, Source())
    assert client.token() != client.token()
    assert len(services.tokens) == 2


def test_a_secret_is_sealed_for_the_sessions_own_key(services: Services, server: TlsServer, broker: Settings) -> None:
    client = session(broker, Source())
    assert client.secret() == b"the secret"
    transfer = server.requests[2]
    assert transfer.startswith(b"POST /kbs/v1/keys/k1/transfer HTTP/1.1\r\n")
    assert b"Accept: application/json\r\n" in transfer
    assert b"Content-Type: application/json\r\n" in transfer
    assert b"x-api-key" not in transfer.lower()
    assert json.loads(transfer.partition(b"\r\n\r\n")[2]) == {"attestation_token": services.tokens[0]}
    assert decode_held_key(services.held, tee="SGX").key_size == 3072


def test_the_key_lasts_as_long_as_the_session(services: Services, broker: Settings) -> None:
    client = session(broker, Source())
    client.token()
    held = services.held
    client.token()
    assert services.held == held
    session(broker, Source()).token()
    assert services.held != held


def test_a_secret_is_asked_with_a_token_that_is_still_good(services: Services, broker: Settings) -> None:
    client = session(broker, Source())
    client.token()
    client.secret()
    client.secret()
    assert len(services.tokens) == 1


def test_a_token_about_to_end_is_not_sent_again(services: Services, broker: Settings) -> None:
    services.life = timedelta(seconds=10)
    client = session(broker, Source())
    client.secret()
    client.secret()
    assert len(services.tokens) == 2


@pytest.mark.parametrize(
    ("name", "value"), [("endpoint_apikey", b"other"), ("endpoint_ip", b"127.0.0.1 ::1"), ("userdata", b"x")]
)
def test_a_token_asked_with_other_settings_is_not_sent(
    services: Services, broker: Settings, name: str, value: bytes
) -> None:
    client = session(broker, Source())
    client.token()
    client.secret(broker.changed(name, value))
    assert len(services.tokens) == 2


def test_a_kept_token_that_the_broker_rejects_is_replaced_once(services: Services, broker: Settings) -> None:
    client = session(broker, Source())
    client.token()
    rejected = json.dumps({"error": "401: expired", "code": "token-rejected"}).encode()

    def first_rejected() -> bytes:
        del services.instead["transfer"]
        return plain(rejected, status="401 Unauthorized")

    services.instead["transfer"] = first_rejected
    assert client.secret() == b"the secret"
    services.instead["transfer"] = lambda: plain(rejected, status="401 Unauthorized")
    with pytest.raises(TokenRejected):
        client.secret()
    assert len(services.tokens) == 3


def test_with_the_applications_data_the_brokers_answer_comes_as_it_is(services: Services, broker: Settings) -> None:
    raw = b'{"wrapped_key": "AA==", "wrapped_swk":"AA=="}'
    services.instead["transfer"] = lambda: plain(raw)
    assert session(broker.changed("userdata", b"the app's key"), Source()).secret() == raw
    assert services.held == b"the app's key"


def test_a_changed_envelope_gives_no_secret(services: Services, broker: Settings) -> None:
    def changed() -> bytes:
        document = json.loads(services.sealed(b"the secret"))
        key = bytearray(base64.b64decode(document["wrapped_key"]))
        key[-1] ^= 1
        return plain(json.dumps({**document, "wrapped_key": b64(bytes(key))}).encode())

    services.instead["transfer"] = changed
    with pytest.raises(Malformed):
        session(broker, Source()).secret()


@pytest.mark.parametrize("document", [{}, {"wrapped_key": "AA=="}, {"wrapped_key": 1, "wrapped_swk": "AA=="}])
def test_an_answer_without_an_envelope_is_a_bad_reply(services: Services, broker: Settings, document: object) -> None:
    services.instead["transfer"] = lambda: plain(json.dumps(document).encode())
    with pytest.raises(Unavailable) as caught:
        session(broker, Source()).secret()
    assert caught.value.code == "bad-reply"


def test_a_secret_beyond_the_limit_is_too_large(services: Services, broker: Settings) -> None:
    services.instead["transfer"] = lambda: plain(b'{"a": "' + b"x" * MAX_SECRET + b'"}')
    with pytest.raises(TooLarge):
        session(broker.changed("userdata", b"x"), Source()).secret()


def test_a_refusal_of_the_evidence_names_its_step(services: Services, settings: Settings) -> None:
    refusal = json.dumps({"error": "the PCK is revoked (step 2.9)", "code": "pck-revoked", "step": "2.9"}).encode()
    services.instead["attest"] = lambda: plain(refusal, status="400 Bad Request")
    attempt = Attempt()
    with pytest.raises(NotGenuine) as caught:
        session(settings, Source()).token(settings, attempt)
    assert caught.value.step == "2.9"
    assert attempt.notes["step"] == "attest"
    assert attempt.notes["http_status"] == "400"


def test_a_refusal_of_the_broker_is_a_refusal(services: Services, broker: Settings) -> None:
    refusal = json.dumps({"error": "no", "code": "release-refused", "mismatches": [{"rule": "r"}]}).encode()
    services.instead["transfer"] = lambda: plain(refusal, status="403 Forbidden")
    with pytest.raises(ReleaseRefused):
        session(broker, Source()).secret()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "endpoint_url"),
        ({"endpoint_url": b"https://host/"}, "kbs_url"),
        ({"endpoint_url": b"https://host/", "kbs_url": b"https://host/"}, "kbs_keyid"),
    ],
)
def test_a_missing_setting_is_named(settings: dict[str, bytes], named: str) -> None:
    made = Settings()
    for name, value in settings.items():
        made = made.changed(name, value)
    client = session(made, Source())
    with pytest.raises(SettingsError) as caught:
        client.token() if named == "endpoint_url" else client.secret()
    assert caught.value.code == f"settings-{named}"
