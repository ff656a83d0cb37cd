"""What surrounds attestation: headers, key set, revocation lists, TLS, health, and a restart."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from base64 import b64decode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.attestation.scene import (
    AT,
    BASE_URL,
    SIMULATED,
    Service,
    configure,
    directory_roots,
    new_platform,
    serving,
    started,
)

from ambergate.core.errors import SettingsError
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.certificates import CRL_LIFETIME
from ambergate.services.attestation.pki import TokenPki

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.services.web.server import TlsFiles

CRLS = ["/crl/root-ca-crl.der", "/crl/ats-ca-crl.der"]


def exchange(service: Service, request: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers and body as they are on the wire."""
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=10) as plain,
        service.context().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    return status, headers, body


def request(
    service: Service, method: str, path: str, headers: dict[str, str] | None = None, *, body: bytes = b""
) -> bytes:
    usual = {
        "Host": "attest.example",  # the oldest client leaves out the port
        "x-api-key": service.api_key,
        "Accept": "application/json",
        "Request-Id": "a b/c_d.e-1",
        "Connection": "close",
        **({"Content-Type": "application/json", "Content-Length": str(len(body))} if body else {}),
    }
    all_headers = {**usual, **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in all_headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def every_kind_of_request(service: Service) -> list[bytes]:
    body = json.dumps(service.evidence(service.nonce())).encode()
    return [
        request(service, "GET", "/appraisal/v1/nonce"),
        request(service, "POST", "/appraisal/v1/attest", body=body),
        request(service, "POST", "/appraisal/v1/attest", body=b"{}"),
        request(service, "GET", "/certs"),
        request(service, "GET", CRLS[0]),
        request(service, "GET", "/nothing"),
        request(service, "GET", "/appraisal/v1/nonce", {"x-api-key": "x"}),
    ]


def test_headers_as_the_pickiest_client_reads_them(service: Service) -> None:
    """It turns the header block into JSON by replacing quotes, and looks for these two names in lower case."""
    traces = set()
    for each in every_kind_of_request(service):
        status, headers, body = exchange(service, each)
        assert status.startswith(b"HTTP/1.1 ")
        assert headers[b"request-id"] == b"a b/c_d.e-1"
        traces.add(headers[b"trace-id"])
        assert not any(quote in value for value in headers.values() for quote in (b"'", b'"'))
        assert b"etag" not in {name.lower() for name in headers}
        assert b"server" not in {name.lower() for name in headers}
        assert int(headers[b"content-length"]) == len(body)
        assert b"transfer-encoding" not in {name.lower() for name in headers}
        assert len(b"".join(headers)) + len(b"".join(headers.values())) < 2048
    assert len(traces) == 7


def test_an_empty_request_id_is_taken(service: Service) -> None:
    """One client always sends the header."""
    status, headers, _ = exchange(service, request(service, "GET", "/appraisal/v1/nonce", {"Request-Id": ""}))
    assert status == b"HTTP/1.1 200 OK"
    assert b"request-id" not in headers


def test_answers_fit_the_smallest_buffers(service: Service) -> None:
    """The first client of this protocol holds 4095 bytes of a token's answer, and as many of a nonce's."""
    assert len(service.client.get("/appraisal/v1/nonce").content) < 4096
    answer = service.attest(service.evidence(None, b"held"))
    assert len(answer.content) <= 4095


def test_tokens_and_nonces_are_not_kept_by_caches(service: Service) -> None:
    assert service.client.get("/appraisal/v1/nonce").headers["cache-control"] == "no-store"
    assert service.attest(service.evidence(None)).headers["cache-control"] == "no-store"
    assert service.client.get("/certs").headers["cache-control"] == "max-age=300"


def test_the_version_endpoint_of_old_clients(service: Service) -> None:
    assert set(service.client.get("/appraisal/v1/version").json()) == {"name", "version", "commit", "buildDate"}


def test_the_key_set_is_open_to_all(service: Service) -> None:
    with httpx.Client(base_url=service.client.base_url, verify=service.context(), trust_env=False) as stranger:
        rsa, ec = (
            stranger.get(path, headers={"content-type": "application/json", "x-api-key": "(null)"}).json()
            for path in ("/certs", "/certs/es256")
        )
    assert set(rsa) == set(ec) == {"keys"}
    # Those that stand by come to them within minutes.
    assert {(key["alg"], key["kty"]) for key in rsa["keys"]} == {("PS384", "RSA"), ("RS256", "RSA")}
    assert {(key["alg"], key["kty"]) for key in ec["keys"]} == {("ES256", "EC")}


def test_the_profile_that_tokens_name_is_there(service: Service) -> None:
    profile = service.claims(service.attest(service.evidence(None))).raw["eat_profile"]
    assert isinstance(profile, str)
    answer = service.client.get(profile.removeprefix(BASE_URL))
    assert answer.status_code == 200
    assert "1.0.0" in answer.text


def chain(service: Service) -> list[x509.Certificate]:
    """Leaf, signing CA, root."""
    entry = service.client.get("/certs").json()["keys"][0]
    return [x509.load_der_x509_certificate(b64decode(text)) for text in entry["x5c"]]


def crl(service: Service, path: str, **headers: str) -> x509.CertificateRevocationList:
    answer = service.client.get(path, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pkix-crl"
    return x509.load_der_x509_crl(answer.content)


def test_the_certificates_name_where_the_lists_are(service: Service) -> None:
    leaf, signing, _ = chain(service)
    for certificate, path in ((signing, CRLS[0]), (leaf, CRLS[1])):
        (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert [name.value for name in point.full_name or ()] == [BASE_URL + path]


@pytest.mark.parametrize(("path", "issuer"), [(CRLS[0], 2), (CRLS[1], 1)])
def test_a_revocation_list_is_its_issuers_and_in_date(service: Service, path: str, issuer: int) -> None:
    certificates = chain(service)
    key = certificates[issuer].public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    found = crl(service, path)
    assert found.is_signature_valid(key)
    assert found.issuer == certificates[issuer].subject
    assert found.next_update_utc is not None
    assert found.last_update_utc < AT < found.next_update_utc
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number > 0
    named = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == x509.SubjectKeyIdentifier.from_public_key(key).digest
    assert all(found.get_revoked_certificate_by_serial_number(c.serial_number) is None for c in certificates)


@pytest.mark.parametrize("path", CRLS)
def test_a_revocation_list_never_runs_out(service: Service, path: str) -> None:
    """It stays the same for half its time, is then signed again with a higher number, and is always in date."""

    def at(instant: datetime) -> tuple[int, datetime]:
        service.clock.instant = instant
        found = crl(service, path)
        assert found.next_update_utc is not None
        assert found.last_update_utc <= instant < found.next_update_utc
        return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number, found.next_update_utc

    first = at(AT)
    assert at(AT + CRL_LIFETIME / 2 - timedelta(seconds=1)) == first
    second = at(AT + CRL_LIFETIME / 2)
    assert second[0] > first[0]
    assert second[1] > first[1]
    years_later = at(AT + timedelta(days=1000))
    assert years_later[0] > second[0]
    assert at(AT)[0] == first[0], "a clock that was set back is followed"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html"])
def test_a_revocation_list_is_given_whatever_is_accepted(service: Service, accept: str) -> None:
    assert crl(service, CRLS[0], accept=accept).issuer == chain(service)[2].subject


def test_health(service: Service) -> None:
    with httpx.Client(base_url=service.client.base_url, verify=service.context(), trust_env=False) as stranger:
        assert stranger.get("/healthz").json() == {"status": "ok"}
        told = stranger.get("/readyz").json()
    assert told["status"] == "ready"
    assert {name: check["ok"] for name, check in told["checks"].items()} == dict.fromkeys(
        ("database", "audit", "signing-keys", "collateral"), True
    )


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_tls_versions(service: Service, version: ssl.TLSVersion) -> None:
    context = service.context()
    context.minimum_version = context.maximum_version = version
    headers = {"x-api-key": service.api_key}
    with httpx.Client(base_url=service.client.base_url, verify=context, trust_env=False, headers=headers) as client:
        answer = client.post("/appraisal/v1/attest", json=service.evidence(None))
    assert service.claims(answer).simulated


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_older_tls_is_refused(service: Service) -> None:
    """With everything that would let this side speak it: so it is the service that does not."""
    shake_hands(service, ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError) as caught:
        shake_hands(service, ssl.TLSVersion.TLSv1_1)
    assert "NO_PROTOCOLS_AVAILABLE" not in str(caught.value), "that would be this side's refusal"


def shake_hands(service: Service, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=10) as plain,
        context.wrap_socket(plain) as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_everything_survives_a_restart(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keys, chain, API keys, and nonces that were given out before it."""
    folder = tmp_path_factory.mktemp("restart")
    platform = new_platform(folder)
    config = configure(folder, tls)
    with open_state(config, at=AT) as state, serving(config, state, directory_roots(config), platform) as before:
        keys, api_key = before.client.get("/certs").json(), before.api_key
        nonce = before.nonce()
        token = before.attest(before.evidence(nonce)).json()["token"]
        assert repr(state) == "State(...)"
    later = AT + timedelta(days=100)
    with open_state(config, at=later) as state, serving(config, state, directory_roots(config), platform) as after:
        assert after.client.get("/certs").json() == keys
        evidence = after.evidence(nonce)
        answer = after.client.post("/appraisal/v1/attest", json=evidence, headers={"x-api-key": api_key})
        claims = after.claims(answer)
        assert claims.raw["verifier_instance_ids"] == instance_ids(token)
    for file in ("attestation.sqlite", "attestation.kek"):
        assert (folder / file).stat().st_mode & 0o077 == 0


def instance_ids(token: str) -> object:
    payload = token.split(".")[1]
    return json.loads(b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_"))["verifier_instance_ids"]


def test_the_database_is_nothing_without_its_key(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("kek")
    new_platform(folder)
    config = configure(folder, tls)
    with open_state(config, at=AT) as state:
        rsa = TokenPki(state.token_keys.store.all(), AT).rsa
        kid = rsa.kid
        assert kid == hashlib.sha384(rsa.chain[0]).hexdigest()
    (folder / "attestation.kek").rename(folder / "kept aside")
    with pytest.raises(SettingsError, match="another key-encryption key"), open_state(config, at=AT):
        pass
    (folder / "kept aside").rename(folder / "attestation.kek")
    with open_state(config, at=AT) as state:
        assert TokenPki(state.token_keys.store.all(), AT).rsa.kid == kid


def test_an_address_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path, tls: TlsFiles) -> None:
    limits = "[limits]\nrequests_per_second = 0.001\nburst = 2\n"
    with started(tmp_path, tls, SIMULATED + limits) as service:
        answers = [service.client.get(path) for path in ("/version", "/appraisal/v1/nonce", "/certs")]
    assert [answer.status_code for answer in answers[1:]] == [200, 429]
    assert int(answers[2].headers["retry-after"]) > 900
