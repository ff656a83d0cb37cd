"""`/attest/SgxEnclave`: what a client of Azure Attestation sends, gets and checks."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from cryptography import x509
from tests.integration.attestation.scene import AT, BASE_URL, ENCLAVE, ISSUER, Service
from tests.integration.attestation.test_tdx import TD

from ambergate.core.errors import TokenRejected
from ambergate.core.token.check import check_token
from ambergate.services.attestation.azure import VERSIONS
from ambergate.services.web.bodies import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/attest/SgxEnclave?api-version=2022-08-01"
DATA = b"\xfb\xff\xbe enclave held data"


def b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def body_of(service: Service, data: bytes = DATA, kind: str = "Binary", **more: object) -> dict[str, Any]:
    quote = service.platform.quote(ENCLAVE, hashlib.sha256(data).digest() + bytes(32))
    return {"quote": b64url(quote), "runtimeData": {"data": b64url(data), "dataType": kind}, **more}


def claims_of(service: Service, answer: httpx.Response) -> dict[str, Any]:
    """As the published client does: RS256 only, the key by `kid` from the certificates at `/certs`."""
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["token"]
    token = answer.json()["token"]
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"], header["jku"]) == ("RS256", "JWT", f"{BASE_URL}/certs")
    entry = next(key for key in service.client.get("/certs").json()["keys"] if key["kid"] == header["kid"])
    leaf = x509.load_der_x509_certificate(urlsafe_b64decode(entry["x5c"][0].replace("+", "-").replace("/", "_")))
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(token, leaf.public_key(), algorithms=["RS256"], options=options)  # type: ignore[arg-type]
    return dict(claims)


def refused(answer: httpx.Response, status: int = 400) -> dict[str, str]:
    """An object with code and message: those clients read nothing else."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert list(told) == ["error"]
    assert set(told["error"]) == {"code", "message"}
    return dict(told["error"])


def test_from_a_quote_to_microsofts_claims(service: Service) -> None:
    claims = claims_of(service, service.attest(body_of(service, nonce="their nonce"), path=PATH))
    assert claims["iss"] == ISSUER
    assert (claims["x-ms-attestation-type"], claims["x-ms-ver"]) == ("sgx", "1.0")
    assert claims["x-ms-sgx-mrenclave"] == ENCLAVE.mr_enclave.hex()
    assert (claims["x-ms-sgx-is-debuggable"], claims["x-ms-sgx-svn"]) == (False, 3)
    assert urlsafe_b64decode(claims["x-ms-sgx-ehd"] + "==") == DATA
    assert claims["x-ms-sgx-report-data"] == hashlib.sha256(DATA).hexdigest() + "00" * 32
    assert claims["nonce"] == "their nonce"
    assert claims["tee_simulated"] is True


def test_json_is_told_as_json(service: Service) -> None:
    data = b'{"jwk" : {"kty":"EC"}}'
    claims = claims_of(service, service.attest(body_of(service, data, "JSON"), path=PATH))
    assert claims["x-ms-runtime"] == {"jwk": {"kty": "EC"}}
    assert "x-ms-sgx-ehd" not in claims


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions_of_the_interface(service: Service, version: str) -> None:
    claims_of(service, service.attest(body_of(service), path=f"/attest/SgxEnclave?api-version={version}"))


@pytest.mark.parametrize("query", ["", "?api-version=", "?api-version=2018-09-01-preview", "?api-version=2022-08-01x"])
def test_other_versions(service: Service, query: str) -> None:
    told = refused(service.attest(body_of(service), path=f"/attest/SgxEnclave{query}"))
    assert told["code"] == "malformed-request"


@pytest.mark.parametrize("half", [bytes(32), b"\xff" * 32])
def test_the_second_half_is_not_looked_at(service: Service, half: bytes) -> None:
    quote = service.platform.quote(ENCLAVE, hashlib.sha256(DATA).digest() + half)
    claims = claims_of(service, service.attest({**body_of(service), "quote": b64url(quote)}, path=PATH))
    assert claims["x-ms-sgx-report-data"].endswith(half.hex())


def test_other_data_is_not_bound(service: Service) -> None:
    told = refused(
        service.attest({**body_of(service), "runtimeData": {"data": "AAAA", "dataType": "Binary"}}, path=PATH)
    )
    assert told["code"] == "report-data-mismatch"
    assert "10.2.report_data" in told["message"]


def test_without_runtime_data_there_is_none_in_the_token(service: Service) -> None:
    nothing: list[dict[str, Any] | None] = [None, {}, {"data": "", "dataType": "Binary"}]
    for more in [{}, *({"runtimeData": each} for each in nothing)]:
        body = {"quote": body_of(service)["quote"], **more}
        claims = claims_of(service, service.attest(body, path=PATH))
        assert not {"x-ms-sgx-ehd", "x-ms-runtime", "nonce"} & set(claims)


BAD: dict[str, dict[str, Any]] = {
    "draft policy": {"draftPolicyForAttestation": "version= 1.0;"},
    "init time data": {"initTimeData": {"data": "AAAA", "dataType": "Binary"}},
    "kind of data": {"runtimeData": {"data": "AAAA", "dataType": "binary"}},
    "no base64": {"runtimeData": {"data": "*", "dataType": "Binary"}},
    "a long nonce": {"nonce": "x" * 1025},
    "an unknown member": {"policy_ids": []},
    "no quote": {"quote": None},
    "a number": {"nonce": 1},
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_understood(service: Service, name: str) -> None:
    assert refused(service.attest({**body_of(service), **BAD[name]}, path=PATH))["code"] == "malformed-request"


@pytest.mark.parametrize("data", [b"no JSON", b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":' + b"[" * 400])
def test_json_that_is_none(service: Service, data: bytes) -> None:
    assert refused(service.attest(body_of(service, data, "JSON"), path=PATH))["code"] == "malformed-request"


def test_a_td_is_no_enclave(service: Service) -> None:
    quote = service.platform.td_quote(TD, hashlib.sha256(DATA).digest() + bytes(32))
    refused(service.attest({**body_of(service), "quote": b64url(quote)}, path=PATH))


def test_a_forged_quote(service: Service) -> None:
    body = body_of(service)
    raw = bytearray(urlsafe_b64decode(body["quote"] + "=="))
    raw[112] ^= 1
    told = refused(service.attest({**body, "quote": b64url(bytes(raw))}, path=PATH))
    assert "8.1.quote_signature" in told["message"]


@pytest.fixture
def stranger(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.client.base_url, verify=service.context(), trust_env=False) as client:
        yield client


def test_the_key_may_be_a_bearer_token(service: Service, stranger: httpx.Client) -> None:
    for scheme in ("Bearer", "bearer"):
        answer = stranger.post(PATH, json=body_of(service), headers={"authorization": f"{scheme} {service.api_key}"})
        assert claims_of(service, answer)["tee"] == "sgx"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Basic QQ=="},
        {"x-api-key": "wrong", "authorization": "KEY"},
    ],
)
def test_without_a_good_key(service: Service, stranger: httpx.Client, headers: dict[str, str]) -> None:
    sent = {name: value.replace("KEY", f"Bearer {service.api_key}") for name, value in headers.items()}
    assert refused(stranger.post(PATH, json=body_of(service), headers=sent), 401)["code"] == "bad-api-key"


def test_a_bearer_is_no_key_elsewhere(service: Service, stranger: httpx.Client) -> None:
    answer = stranger.get("/appraisal/v1/nonce", headers={"authorization": f"Bearer {service.api_key}"})
    assert answer.status_code == 401


def test_limits(service: Service) -> None:
    assert refused(service.attest(b" " * (MAX_BODY + 1), path=PATH), 413)["code"] == "too-large"
    assert refused(service.attest({}, path=PATH, **{"content-type": "text/plain"}), 415)["code"] == "http-415"
    for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000):
        assert refused(service.attest(body, path=PATH))["code"] == "malformed-request"


def test_our_relying_party_does_not_take_such_a_token(service: Service) -> None:
    """It says nothing under the names that our policies are about."""
    token = service.attest(body_of(service), path=PATH).json()["token"]
    with pytest.raises(TokenRejected, match="lacks the claim attester_type"):
        check_token(token, service.keys(), issuer=ISSUER, at=AT, accept_simulated=True)


def test_the_body_may_be_in_any_order_and_spelling_of_base64(service: Service) -> None:
    body = body_of(service)
    padded = {name: body[name] for name in reversed(body)}
    padded["quote"] += "=" * (-len(padded["quote"]) % 4)
    assert claims_of(service, service.attest(json.dumps(padded).encode(), path=PATH))["tee"] == "sgx"
