"""Nonce, quote, attest, token, check: what an honest client does, in every dialect that deployed clients speak."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, urlsafe_b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from tests.integration.attestation.scene import AT, BASE_URL, ENCLAVE, ISSUER, Service, b64, bound

from ambergate.core.errors import TokenRejected
from ambergate.core.token.check import check_token
from ambergate.simulator.cpu import SIMULATED_SIGNER

if TYPE_CHECKING:
    from ambergate.core.token.claims import AttestationClaims


def attested(service: Service, data: bytes = b"", **more: object) -> AttestationClaims:
    body = service.evidence(service.nonce(), data)
    return service.claims(service.attest({**body, **more}))


def test_from_nonce_to_claims(service: Service) -> None:
    nonce = service.nonce()
    assert set(nonce) == {"val", "iat", "signature"}
    claims = service.claims(service.attest(service.evidence(nonce)))
    assert claims.issuer == ISSUER
    assert claims.simulated
    assert (claims.mr_enclave, claims.mr_signer) == (ENCLAVE.mr_enclave.hex(), SIMULATED_SIGNER.hex())
    assert (claims.isv_prod_id, claims.isv_svn, claims.debug) == (0, 3, False)
    assert (claims.tcb_status, claims.attester_type, claims.advisory_ids) == ("UpToDate", "SGX", ())
    assert claims.nonce == nonce
    assert claims.raw["sgx_report_data"] == bound(nonce).hex()
    assert (claims.held_data, claims.runtime_data) == (None, None)


def test_a_token_is_about_now(service: Service) -> None:
    claims = attested(service)
    assert claims.issued_at == AT.replace(microsecond=0), "never ahead of the reader's clock"
    assert claims.raw["nbf"] == claims.raw["iat"]
    assert claims.expires_at - claims.issued_at == timedelta(seconds=300)
    token = service.attest(service.evidence(None)).json()["token"]
    with pytest.raises(TokenRejected, match="expired"):
        check_token(token, service.keys(), issuer=ISSUER, at=AT + timedelta(seconds=300), accept_simulated=True)


def test_a_token_does_not_outlive_what_it_rests_on(service: Service) -> None:
    """The simulator's collateral is good for thirty days; the token of its last minute is good for a minute."""
    ends = (AT + timedelta(days=30)).replace(microsecond=0)
    service.clock.instant = ends - timedelta(seconds=60)
    claims = attested(service)
    assert claims.expires_at == ends
    assert claims.issued_at == ends - timedelta(seconds=60)


def test_every_token_is_another(service: Service) -> None:
    body = service.evidence(None)
    one, two = (service.claims(service.attest(body)).raw for _ in range(2))
    assert one["jti"] != two["jti"]
    assert one["verifier_instance_ids"] == two["verifier_instance_ids"]


def test_others_libraries_believe_it_too(service: Service) -> None:
    """PyJWT with its defaults, but for the clock: no `aud`, whole numbers, text ids."""
    token = service.attest(service.evidence(service.nonce())).json()["token"]
    header = jwt.get_unverified_header(token)
    assert header["jku"] == f"{BASE_URL}/certs"
    entry = next(key for key in service.client.get("/certs").json()["keys"] if key["alg"] == header["alg"])
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    assert jwt.decode(token, jwt.PyJWK(entry), algorithms=["PS384"], options=options)["ver"] == "1.0.0"


@pytest.mark.parametrize("alg", ["PS384", "RS256", "ES256"])
def test_the_algorithm_is_the_callers_choice(service: Service, alg: str) -> None:
    answer = service.attest({**service.evidence(service.nonce()), "token_signing_alg": alg})
    assert jwt.get_unverified_header(answer.json()["token"])["alg"] == alg
    assert service.claims(answer).simulated


def test_ps384_is_the_default(service: Service) -> None:
    assert jwt.get_unverified_header(service.attest(service.evidence(None)).json()["token"])["alg"] == "PS384"


@pytest.mark.parametrize("accept", ["application/jwt", "application/jwt;q=0.9", "text/plain, APPLICATION/JWT"])
def test_the_oldest_clients_get_the_bare_token(service: Service, accept: str) -> None:
    answer = service.attest(service.evidence(service.nonce()), accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwt"
    check_token(answer.text, service.keys(), issuer=ISSUER, at=AT, accept_simulated=True)


@pytest.mark.parametrize(
    "accept", ["application/json", "*/*", "", "application/json, application/jwt", "application/*"]
)
def test_all_others_get_json(service: Service, accept: str) -> None:
    answer = service.attest(service.evidence(None), accept=accept)
    assert answer.headers["content-type"] == "application/json"
    assert service.claims(answer).simulated


def test_nulls_are_absent(service: Service) -> None:
    """As the Python client sends them."""
    nulls = dict.fromkeys(["policy_ids", "token_signing_alg", "policy_must_match", "runtime_data", "event_log"])
    assert service.claims(service.attest({**nulls, **service.evidence(service.nonce())})).held_data is None


@pytest.mark.parametrize("name", ["nonce", "signed_nonce"])
def test_old_names(service: Service, name: str) -> None:
    nonce = service.nonce()
    body = {"quote": b64(service.platform.quote(ENCLAVE, bound(nonce, b"data")))}
    claims = service.claims(service.attest({**body, name: nonce, "user_data": b64(b"data")}))
    assert (claims.nonce, claims.held_data) == (nonce, b"data")


def test_unpadded_base64url(service: Service) -> None:
    data = b"\xfb\xff\xbe\x01"
    quote = service.platform.quote(ENCLAVE, bound(None, data))
    body = {"quote": raw_url(quote), "runtime_data": raw_url(data)}
    assert "=" not in body["quote"]
    assert service.claims(service.attest(body)).held_data == data


def raw_url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def test_without_nonce_the_data_alone_is_bound(service: Service) -> None:
    claims = service.claims(service.attest(service.evidence(None, b"public key")))
    assert (claims.nonce, claims.held_data) == (None, b"public key")
    assert claims.raw["sgx_report_data"] == hashlib.sha256(b"public key").hexdigest() + "00" * 32


@pytest.mark.parametrize("report_data", [bytes(64), hashlib.sha256(b"").digest() + bytes(32), bytes(range(64))])
def test_without_nonce_and_data_nothing_can_be_checked(service: Service, report_data: bytes) -> None:
    """The first client of this protocol did so, and others put what they like there."""
    claims = service.claims(service.attest({"quote": b64(service.platform.quote(ENCLAVE, report_data))}))
    assert claims.raw["sgx_report_data"] == report_data.hex()


def test_a_nonce_is_bound_with_empty_data(service: Service) -> None:
    nonce = service.nonce()
    claims = service.claims(service.attest({**service.evidence(nonce), "runtime_data": ""}))
    assert claims.nonce == nonce


@pytest.mark.parametrize("data", [b"\x00\xff bytes", b"[1]", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":' + b"[" * 400])
def test_bytes_are_held_data(service: Service, data: bytes) -> None:
    claims = attested(service, data)
    assert (claims.held_data, claims.runtime_data) == (data, None)
    assert b64decode(str(claims.raw["attester_held_data"])) == data


def test_a_json_object_is_runtime_data(service: Service) -> None:
    """What is hashed is its bytes, white space and all."""
    data = b' {"type": "RSA", "key": {"n": "\xc3\xa9"}} '
    claims = attested(service, data)
    assert (claims.held_data, claims.runtime_data) == (None, json.loads(data))


def test_a_quote_in_a_larger_buffer(service: Service) -> None:
    quote = service.platform.quote(ENCLAVE, bytes(64))
    assert service.claims(service.attest({"quote": b64(quote + bytes(1000))})).mr_enclave == ENCLAVE.mr_enclave.hex()


def test_an_event_log_has_no_meaning_here_and_does_no_harm(service: Service) -> None:
    assert attested(service, event_log="bG9n", policy_must_match=True, policy_ids=[]).simulated
