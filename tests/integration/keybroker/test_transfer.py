"""Passport mode over real TLS: who gets the secret, and what everyone else is told."""

from __future__ import annotations

import hashlib
import json
import ssl
from base64 import b64decode
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from tests.integration.keybroker.forge import AT, ISSUER, Forge
from tests.integration.keybroker.hostile import UNWELCOME, WORTHLESS
from tests.integration.keybroker.scene import KEY_ID, LOOSE, LOOSE_KEY_ID, SECRET, STRICT, Broker

from ambergate.core.release.envelope import open_sealed


def opened(forge: Forge, response: httpx.Response) -> bytes:
    body = response.json()
    parts = (b64decode(body[name], validate=True) for name in ("wrapped_key", "wrapped_swk"))
    return open_sealed(forge.workload_key, *parts)


def test_an_approved_enclave_gets_its_secret(broker: Broker, forge: Forge) -> None:
    response = broker.transfer(forge.token())
    assert response.status_code == 200
    assert set(response.json()) == {"wrapped_key", "wrapped_swk"}
    assert opened(forge, response) == SECRET


def test_the_answer_has_the_headers_of_passport_mode(broker: Broker, forge: Forge) -> None:
    """Attestation-Type is present and empty; nothing quoted, nothing cached."""
    headers = broker.transfer(forge.token()).headers
    assert headers["attestation-type"] == ""
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert not any('"' in value or "'" in value for value in headers.values())


def test_every_envelope_is_fresh(broker: Broker, forge: Forge) -> None:
    one, two = (broker.transfer(forge.token()).json() for _ in range(2))
    assert one["wrapped_key"] != two["wrapped_key"]
    assert one["wrapped_swk"] != two["wrapped_swk"]


@pytest.mark.parametrize("alg", ["PS384", "RS256"])
def test_the_algorithms_of_the_issuer(broker: Broker, forge: Forge, alg: str) -> None:
    assert broker.transfer(forge.token(alg=alg)).status_code == 200


def test_a_token_under_the_issuers_ec_key(broker: Broker, forge: Forge) -> None:
    token = forge.token(alg="ES256", key=forge.ec_key, header={"kid": forge.ec_kid})
    assert broker.transfer(token).status_code == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_tls_versions(broker: Broker, forge: Forge, ca: str, version: ssl.TLSVersion) -> None:
    """The original client speaks 1.2 only, modern ones 1.3."""
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = context.maximum_version = version
    url = f"https://127.0.0.1:{broker.port}/kbs/v1/keys/{KEY_ID}/transfer"
    response = httpx.post(url, json={"attestation_token": forge.token()}, verify=context, trust_env=False)
    assert opened(forge, response) == SECRET


def test_the_key_id_may_be_in_upper_case(broker: Broker, forge: Forge) -> None:
    assert broker.transfer(forge.token(), str(KEY_ID).upper()).status_code == 200


@pytest.mark.parametrize("name", WORTHLESS)
def test_a_worthless_token_gets_nothing(broker: Broker, forge: Forge, name: str) -> None:
    """Under the loosest policy too: what proves nothing is refused before any policy is asked."""
    token = WORTHLESS[name](forge)
    for key_id in (KEY_ID, LOOSE_KEY_ID):
        response = broker.transfer(token, key_id)
        assert_refused(broker, response, forge)
        assert response.json()["code"] not in {"release-refused", "unknown-key"}


@pytest.mark.parametrize("name", UNWELCOME)
def test_an_unwelcome_enclave_gets_nothing(broker: Broker, forge: Forge, name: str) -> None:
    """The one rule that refuses is named, and no other."""
    make, rule = UNWELCOME[name]
    response = broker.transfer(make(forge))
    assert_refused(broker, response, forge)
    assert response.json()["code"] == "release-refused"
    assert [mismatch["rule"] for mismatch in response.json()["mismatches"]] == [rule]


def assert_refused(broker: Broker, response: httpx.Response, forge: Forge) -> None:
    assert response.status_code == 401, response.text
    assert "wrapped" not in response.text
    assert response.json()["error"]
    assert SECRET.decode() not in response.text
    assert broker.decisions[-1]["verdict"] == "refused"
    assert forge.token().split(".")[0] not in response.text


def test_all_mismatches_are_told_at_once(broker: Broker, forge: Forge) -> None:
    token = forge.token(claims=forge.claims(sgx_isvsvn=1, sgx_mrenclave="00" * 32, sgx_is_debuggable=True))
    rules = {mismatch["rule"] for mismatch in broker.transfer(token).json()["mismatches"]}
    assert rules == {"mr_enclave", "isv_svn", "debug"}


def test_a_token_is_worth_nothing_after_it_expired(broker: Broker, forge: Forge) -> None:
    token = forge.token()
    assert broker.transfer(token).status_code == 200
    try:
        broker.clock.instant = AT + timedelta(seconds=290)
        assert_refused(broker, broker.transfer(token), forge)
    finally:
        broker.clock.instant = AT


def test_simulated_needs_the_word_of_operator_and_owner(broker: Broker, forge: Forge) -> None:
    """The configuration must accept the issuer's simulations, and the key's policy too."""
    lab = forge.token(claims=forge.claims(iss=f"{ISSUER}/lab", tee_simulated=True))
    main = forge.token(claims=forge.claims(tee_simulated=True))
    refused = broker.transfer(lab)
    assert [mismatch["rule"] for mismatch in refused.json()["mismatches"]] == ["simulated"]
    assert opened(forge, broker.transfer(lab, LOOSE_KEY_ID)) == SECRET
    assert broker.transfer(main, LOOSE_KEY_ID).status_code == 401


def test_debug_is_released_only_where_the_policy_says_so(broker: Broker, forge: Forge) -> None:
    token = forge.token(claims=forge.claims(sgx_is_debuggable=True, dbgstat="enabled"))
    assert broker.transfer(token, LOOSE_KEY_ID).status_code == 200
    assert broker.transfer(token, KEY_ID).status_code == 401


@pytest.mark.parametrize(
    "key_id",
    [
        "00000000-0000-4000-8000-000000000000",
        "not-a-uuid",
        KEY_ID.hex,
        f"{{{KEY_ID}}}",
        f"urn:uuid:{KEY_ID}",
        f"{KEY_ID}0",
        "..",
    ],
)
def test_an_unknown_key_is_404_to_whom_we_know(broker: Broker, forge: Forge, key_id: str) -> None:
    assert broker.transfer(forge.token(), key_id).status_code == 404


def test_who_has_no_good_token_learns_nothing_about_keys(broker: Broker, forge: Forge) -> None:
    """The same answer for a key that exists and one that does not."""
    token = forge.token(key=forge.other_key)
    known = broker.transfer(token)
    unknown = broker.transfer(token, "00000000-0000-4000-8000-000000000000")
    told = [{name: value for name, value in each.json().items() if name != "trace_id"} for each in (known, unknown)]
    assert (known.status_code, told[0]) == (unknown.status_code, told[1])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"token"',
        b"{}",
        b'{"attestation_token": null}',
        b'{"attestation_token": 1}',
        b'{"attestation_token": ["a.b.c"]}',
        b'{"token": "a.b.c"}',
        b'{"attestation_token": "a.b.c", "more": 1}',
        b'{"attestation_token": "\xff"}',
        b'{"attestation_token": "a.b.c"} trailing',
        b'{"quote": "AAAA", "nonce": {}, "user_data": ""}',
        b"[" * 50_000,
    ],
)
def test_a_bad_body_is_400(broker: Broker, body: bytes) -> None:
    response = broker.client.post(
        f"/kbs/v1/keys/{KEY_ID}/transfer", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["code"] == "malformed-request"


def test_evidence_is_taken_only_where_there_is_somebody_to_ask_about_it(broker: Broker) -> None:
    body = {"quote": "AAAA", "nonce": {"val": "AA==", "iat": "AA==", "signature": "AA=="}, "user_data": "AAAA"}
    path = f"/kbs/v1/keys/{KEY_ID}/transfer"
    response = broker.client.post(path, json=body, headers={"attestation-type": "SGX"})
    assert (response.status_code, response.json()["error"]) == (400, "this broker takes tokens only")


def test_a_token_may_come_with_what_it_speaks_of(broker: Broker, forge: Forge) -> None:
    """As older clients send it; it must be so, then."""
    assert broker.transfer(forge.token(), **{"attestation-type": "SGX"}).status_code == 200
    other = broker.transfer(forge.token(), **{"attestation-type": "TDX"})
    assert (other.status_code, other.json()["code"]) == (401, "attester-type")
    assert broker.transfer(forge.token(), **{"attestation-type": "sgx"}).status_code == 400


def test_an_empty_attestation_type_is_none(broker: Broker, forge: Forge) -> None:
    assert broker.transfer(forge.token(), **{"attestation-type": ""}).status_code == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.5", 200),
        ("Application/JSON", 200),
        ("application/jwt", 415),
        ("text/html", 415),
    ],
)
def test_accept(broker: Broker, forge: Forge, accept: str, status: int) -> None:
    assert broker.transfer(forge.token(), accept=accept).status_code == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/json; charset=utf-8", 200), ("text/plain", 415), ("application/x-pem-file", 415), ("", 415)],
)
def test_content_type(broker: Broker, forge: Forge, kind: str, status: int) -> None:
    assert broker.transfer(forge.token(), **{"content-type": kind}).status_code == status


def test_a_body_too_large_is_413(broker: Broker) -> None:
    assert broker.transfer("x" * 600_000).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/kbs/v1/keys/{KEY_ID}/transfer", 405),
        ("PUT", f"/kbs/v1/keys/{KEY_ID}/transfer", 405),
        ("POST", "/kbs/v1/keys//transfer", 404),
        ("GET", "/", 404),
    ],
)
def test_nothing_else_is_there(broker: Broker, method: str, path: str, status: int) -> None:
    response = broker.client.request(method, path)
    assert response.status_code == status
    assert "error" in response.json()


def test_version_and_health(broker: Broker) -> None:
    assert set(broker.client.get("/kbs/v1/version").json()) == {"name", "version", "gitHash", "buildDate"}
    assert broker.client.get("/healthz").status_code == 200
    assert broker.client.get("/readyz").status_code == 200


def test_every_decision_is_written_down(broker: Broker, forge: Forge) -> None:
    before = len(broker.decisions)
    broker.transfer(forge.token(), **{"request-id": "spring cleaning"})
    broker.transfer(forge.token(claims=forge.claims(sgx_isvsvn=1)))
    broker.transfer("a.b.c")
    broker.transfer(forge.token(), "00000000-0000-4000-8000-000000000000")
    released, refused, worthless, unknown = broker.decisions[before:]
    assert (released["verdict"], released["request_id"]) == ("released", "spring cleaning")
    assert released["token"]["mr_enclave"] == forge.claims()["sgx_mrenclave"]
    assert released["token"]["jti"] == released["jti"] == forge.claims()["jti"]
    assert (released["key_id"], released["key_version"]) == (str(KEY_ID), 1)
    assert released["policy_hash"] == hashlib.sha256(STRICT.to_json().encode()).hexdigest()
    assert (refused["verdict"], refused["code"]) == ("refused", "release-refused")
    assert [mismatch["rule"] for mismatch in refused["mismatches"]] == ["isv_svn"]
    assert (worthless["verdict"], worthless["token"], worthless["policy_hash"]) == ("refused", None, None)
    assert (unknown["verdict"], unknown["code"], unknown["key_version"]) == ("refused", "unknown-key", None)
    written = json.dumps(broker.decisions)
    assert SECRET.decode() not in written
    assert forge.token().split(".")[1] not in written


def test_an_older_version_is_asked_for_by_number(broker: Broker, forge: Forge) -> None:
    key = uuid4()
    broker.store.add(key, b"first", LOOSE, at=AT)
    broker.store.add_version(key, b"second", number=2, at=AT)
    for query, secret in (("", b"second"), ("?version=2", b"second"), ("?version=1", b"first")):
        answer = broker.client.post(f"/kbs/v1/keys/{key}/transfer{query}", json={"attestation_token": forge.token()})
        wrapped = (b64decode(answer.json()[name]) for name in ("wrapped_key", "wrapped_swk"))
        assert open_sealed(forge.workload_key, *wrapped) == secret
    absent = broker.client.post(f"/kbs/v1/keys/{key}/transfer?version=3", json={"attestation_token": forge.token()})
    assert absent.status_code == 404


@pytest.mark.parametrize("query", ["version=0", "version=", "version=01", "version=1&version=2", "version=9999999999"])
def test_what_is_no_version(broker: Broker, forge: Forge, query: str) -> None:
    answer = broker.client.post(f"/kbs/v1/keys/{KEY_ID}/transfer?{query}", json={"attestation_token": forge.token()})
    assert answer.status_code == 400


def test_a_disabled_key_is_refused_and_a_destroyed_one_is_no_more(broker: Broker, forge: Forge) -> None:
    key = uuid4()
    broker.store.add(key, b"first", LOOSE, at=AT)
    broker.store.set_state(key, "disabled", at=AT)
    refused = broker.transfer(forge.token(), key)
    assert (refused.status_code, refused.json()["code"]) == (401, "key-disabled")
    broker.store.destroy(key, at=AT)
    gone = broker.transfer(forge.token(), key)
    assert (gone.status_code, gone.json()["code"]) == (404, "key-destroyed")
