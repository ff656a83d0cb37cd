"""The second version of the wire, the path of 2022, and profiles of tokens by endpoint and by request."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import jwt
import pytest
from tests.integration.attestation.scene import AT, BASE_URL, ENCLAVE, ISSUER, b64, bound
from tests.integration.attestation.test_refusals import refusal
from tests.integration.attestation.test_tdx import TD, td_bound

from ambergate.core.token.check import check_token
from ambergate.services.web.bodies import MAX_BODY

if TYPE_CHECKING:
    import httpx
    from tests.integration.attestation.scene import Service

    from ambergate.core.token.claims import AttestationClaims

V1, V2, OLD = "/appraisal/v1/attest", "/appraisal/v2/attest", "/appraisal/v1/appraise"
DATA = b"a public key"


def sgx(service: Service, nonce: dict[str, str] | None, data: bytes = DATA) -> dict[str, Any]:
    return service.evidence(nonce, data)


def tdx(service: Service, nonce: dict[str, str], data: bytes = DATA) -> dict[str, Any]:
    quote = service.platform.td_quote(TD, td_bound(nonce, data))
    return {"quote": b64(quote), "verifier_nonce": nonce, "runtime_data": b64(data)}


def believed(service: Service, answer: httpx.Response) -> AttestationClaims:
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["token"]
    token = answer.json()["token"]
    return check_token(token, service.keys(), issuer=ISSUER, at=AT, accept_simulated=True)


@pytest.mark.parametrize("given", ["/appraisal/v1/nonce", "/appraisal/v2/nonce"])
@pytest.mark.parametrize("path", [V1, V2, OLD])
def test_a_nonce_of_either_path_is_good_at_every_other(service: Service, given: str, path: str) -> None:
    nonce = service.client.get(given).json()
    assert set(nonce) == {"val", "iat", "signature"}
    answer = service.attest(sgx(service, nonce), path=path)
    assert believed(service, answer).held_data == DATA


@pytest.mark.parametrize(("kind", "made"), [("sgx", sgx), ("tdx", tdx)])
def test_one_evidence_in_a_composite_body(service: Service, kind: str, made: Any) -> None:  # noqa: ANN401
    nonce = service.nonce()
    claims = believed(service, service.attest({kind: made(service, nonce)}, path=V2))
    assert (claims.attester_type, claims.nonce, claims.raw["ver"]) == (kind.upper(), nonce, "2.0.0")
    assert claims.raw["appraisal"] == {"method": "default", "ver": 2}
    assert claims.held_data == DATA


@pytest.mark.parametrize(("kind", "made"), [("tdx", sgx), ("sgx", tdx)])
def test_the_quote_says_what_it_is(service: Service, kind: str, made: Any) -> None:  # noqa: ANN401
    """The Python client can only say `tdx`, also of an enclave."""
    claims = believed(service, service.attest({kind: made(service, service.nonce())}, path=V2))
    assert claims.attester_type == {"sgx": "TDX", "tdx": "SGX"}[kind]


def test_a_flat_body_at_the_second_version(service: Service) -> None:
    """The Go client's older call does so."""
    claims = believed(service, service.attest(sgx(service, service.nonce()), path=V2))
    assert (claims.raw["ver"], claims.mr_enclave) == ("2.0.0", ENCLAVE.mr_enclave.hex())


def test_options_stand_beside_the_evidence(service: Service) -> None:
    body = {
        "tdx": tdx(service, service.nonce()),
        "policy_ids": [],
        "policy_must_match": False,
        "token_signing_alg": "RS256",
    }
    answer = service.attest(body, path=V2)
    assert jwt.get_unverified_header(answer.json()["token"])["alg"] == "RS256"
    body["policy_ids"] = [str(uuid4())]
    assert refusal(service.attest(body, path=V2))["code"] == "unknown-policy"


NULLS = ["policy_ids", "token_signing_alg", "policy_must_match", "token_profile"]


def test_nulls_and_empty_strings_are_absent(service: Service) -> None:
    quote = b64(service.platform.quote(ENCLAVE, bound(None)))
    inside = {"quote": quote, "runtime_data": "", "user_data": None, "event_log": None, "verifier_nonce": None}
    others = dict.fromkeys(["sgx", "tpm", "nvgpu", "sevsnp", "gcp"])
    answer = service.attest({**dict.fromkeys(NULLS), **others, "tdx": inside}, path=V2)
    assert believed(service, answer).held_data is None
    blank = {"token_signing_alg": "", "token_profile": "", "sgx": {**inside, "runtime_data": None}}
    assert believed(service, service.attest(blank, path=V2)).attester_type == "SGX"


OTHERS: dict[str, Any] = {
    "nothing": {},
    "options alone": {"policy_ids": []},
    "tpm": {"tpm": {"quote": "QQ==", "signature": "QQ==", "pcrs": "QQ=="}},
    "nvgpu": {"nvgpu": {"gpu_nonce": "00", "arch": "hopper", "evidence_list": []}},
    "sevsnp": {"sevsnp": {"report": "QQ=="}},
    "gcp": {"gcp": {}},
}


@pytest.mark.parametrize("name", OTHERS)
def test_evidence_that_is_not_read_here(service: Service, name: str) -> None:
    told = refusal(service.attest(OTHERS[name], path=V2))
    assert (told["code"], told["wanted"]) == ("malformed-request", "sgx or tdx, alone")
    with_sgx = {**OTHERS[name], "sgx": sgx(service, service.nonce())}
    if name in ("nothing", "options alone"):
        believed(service, service.attest(with_sgx, path=V2))
    else:
        assert refusal(service.attest(with_sgx, path=V2))["seen"] == f"sgx and {name}", "no half of it is attested"


def test_two_evidences_are_not_one(service: Service) -> None:
    both = {"sgx": sgx(service, service.nonce()), "tdx": tdx(service, service.nonce())}
    assert refusal(service.attest(both, path=V2))["seen"] == "sgx and tdx"
    mixed = {**sgx(service, service.nonce()), "sgx": sgx(service, service.nonce())}
    assert "sgx" in refusal(service.attest(mixed, path=V2))["seen"]


@pytest.mark.parametrize("path", [V1, OLD])
def test_a_composite_body_belongs_to_the_second_version(service: Service, path: str) -> None:
    assert refusal(service.attest({"sgx": sgx(service, None)}, path=path))["code"] == "malformed-request"


def test_binding_holds_at_the_second_version_too(service: Service) -> None:
    nonce = service.nonce()
    for made in (sgx, tdx):
        for change in ({"runtime_data": b64(b"another")}, {"verifier_nonce": service.nonce()}, {"runtime_data": None}):
            body = {"tdx": {**made(service, nonce), **change}}
            assert refusal(service.attest(body, path=V2))["step"] == "10.2.report_data"


def test_user_data_alone_is_runtime_data(service: Service) -> None:
    nonce = service.nonce()
    body = {"quote": b64(service.platform.quote(ENCLAVE, bound(nonce, DATA))), "user_data": b64(DATA)}
    assert believed(service, service.attest({"sgx": {**body, "verifier_nonce": nonce}}, path=V2)).held_data == DATA


def test_the_path_of_2022(service: Service) -> None:
    nonce = service.nonce()
    body = {"quote": b64(service.platform.quote(ENCLAVE, bound(nonce, DATA)))}
    answer = service.attest({**body, "signed_nonce": nonce, "user_data": b64(DATA)}, path=OLD, accept="application/jwt")
    assert answer.headers["content-type"] == "application/jwt"
    claims = check_token(answer.text, service.keys(), issuer=ISSUER, at=AT, accept_simulated=True)
    assert (claims.raw["amber_tcb_status"], claims.raw["ver"], claims.tcb_status) == ("OK", "1.0", "UpToDate")
    assert "nbf" not in claims.raw


VERSIONS = {"v1": "1.0.0", "v2": "2.0.0", "amber-2022": "1.0", "slim": "1.0.0"}


@pytest.mark.parametrize("profile", VERSIONS)
@pytest.mark.parametrize("path", [V1, V2, OLD])
def test_a_request_may_choose_its_profile(service: Service, profile: str, path: str) -> None:
    claims = believed(service, service.attest({**sgx(service, None), "token_profile": profile}, path=path))
    assert claims.raw["ver"] == VERSIONS[profile]
    assert ("sgx_collateral" in claims.raw) is (profile == "v1")
    assert claims.simulated


@pytest.mark.parametrize("profile", ["V1", "v3", "azure", "amber", "x" * 500])
def test_profiles_that_are_not_offered(service: Service, profile: str) -> None:
    told = refusal(service.attest({**sgx(service, None), "token_profile": profile}))
    assert told["wanted"] == "v1 or v2 or amber-2022 or slim"
    assert len(told["seen"]) <= 32


def test_a_slim_answer_fits_the_smallest_buffer(service: Service) -> None:
    answer = service.attest({**sgx(service, service.nonce()), "token_profile": "slim"})
    assert believed(service, answer).nonce is not None
    assert len(answer.content) <= 4095
    too_much = service.evidence(None, b"x" * 3000)
    told = refusal(service.attest({**too_much, "token_profile": "slim"}), 413)
    assert "less runtime data" in told["hint"]


def test_where_the_keys_are_can_be_discovered(service: Service) -> None:
    told = service.client.get("/.well-known/openid-configuration", headers={"x-api-key": "not a key"}).json()
    assert told == {
        "issuer": BASE_URL,
        "jwks_uri": f"{BASE_URL}/certs",
        "revocation_endpoint": f"{BASE_URL}/crl/ats-ca-crl.der",
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["PS384", "RS256"],
    }
    path = told["jwks_uri"].removeprefix(BASE_URL)
    assert {key["alg"] for key in service.client.get(path).json()["keys"]} == {"PS384", "RS256"}


@pytest.mark.parametrize("path", [V2, OLD, "/appraisal/v1/attest/azure/tdxvm", "/appraisal/v2/attest/azure"])
def test_limits_are_the_same_everywhere(service: Service, path: str) -> None:
    assert refusal(service.attest(b" " * (MAX_BODY + 1), path=path), 413)["wanted"] == "at most 500000 bytes"
    assert refusal(service.attest({}, path=path, **{"content-type": "text/plain"}), 415)["code"] == "http-415"
    assert refusal(service.attest({}, path=path, accept="text/html"), 415)["code"] == "http-415"
    for body in (b"", b"{", b"[]", b"null", b"1", b'{"quote":"QQ==","quote":"QQ=="}'):
        assert refusal(service.attest(body, path=path))["code"] == "malformed-request"


# --- TDs on Azure: the paravisor binds its runtime JSON, and in it what the TD chose


def azure_evidence(
    service: Service, nonce: dict[str, str] | None, user_data: bytes = b"", *, told: str | None = None
) -> dict[str, Any]:
    fresh = b"" if nonce is None else b64decode(nonce["val"]) + b64decode(nonce["iat"])
    chosen = hashlib.sha512(fresh + user_data).hexdigest().upper() if told is None else told
    runtime = b'{"keys":[],"vm-configuration":{},"user-data":"' + chosen.encode() + b'"}'
    quote = service.platform.td_quote(TD, hashlib.sha256(runtime).digest() + bytes(32))
    body: dict[str, Any] = {"quote": b64(quote), "runtime_data": b64(runtime)}
    if nonce is not None:
        body["verifier_nonce"] = nonce
    if user_data:
        body["user_data"] = b64(user_data)
    return body


FLAT_AZURE, V2_AZURE = "/appraisal/v1/attest/azure/tdxvm", "/appraisal/v2/attest/azure"


def at_azure(service: Service, body: dict[str, Any], path: str, *, flat: bool) -> httpx.Response:
    return service.attest(body if flat else {"tdx": body}, path=path)


PLACES = [(FLAT_AZURE, True), (V2_AZURE, False), (V2_AZURE, True), (V2, False), (V2, True)]


@pytest.mark.parametrize(("path", "flat"), PLACES)
@pytest.mark.parametrize("user_data", [b"", b'{"a":1}'])
def test_a_td_on_azure(service: Service, path: str, user_data: bytes, *, flat: bool) -> None:
    """Its own endpoints; and the plain one of the second version, where the published clients send it."""
    nonce = service.nonce()
    claims = believed(service, at_azure(service, azure_evidence(service, nonce, user_data), path, flat=flat))
    assert claims.runtime_data is not None
    assert set(claims.runtime_data) == {"keys", "vm-configuration", "user-data"}
    assert claims.nonce == nonce
    about = claims.raw if path == FLAT_AZURE else claims.raw["tdx"]
    assert isinstance(about, dict)
    assert about.get("attester_user_data") == ({"a": 1} if user_data else None)
    if path != FLAT_AZURE:
        assert claims.raw["appraisal"] == {"method": "azure", "ver": 2}


@pytest.mark.parametrize(("path", "flat"), PLACES)
def test_a_td_on_azure_binds_nonce_and_user_data(service: Service, path: str, *, flat: bool) -> None:
    honest = azure_evidence(service, service.nonce(), b"mine")
    for change in ({"user_data": b64(b"yours")}, {"verifier_nonce": service.nonce()}, {"user_data": None}):
        told = refusal(at_azure(service, {**honest, **change}, path, flat=flat))
        assert (told["step"], told["code"]) == ("10.2.report_data", "report-data-mismatch")


@pytest.mark.parametrize(("path", "flat"), PLACES)
def test_a_td_on_azure_binds_its_runtime_data(service: Service, path: str, *, flat: bool) -> None:
    nonce = service.nonce()
    honest, other = azure_evidence(service, nonce), azure_evidence(service, None)
    told = refusal(at_azure(service, {**honest, "quote": other["quote"]}, path, flat=flat))
    assert told["step"] == "10.2.report_data"


@pytest.mark.parametrize("runtime", [b"no JSON", b"[]", b'{"user-data":1}', b'{"user-data":"0"}', b'{"other":"x"}'])
def test_what_the_paravisor_would_not_say(service: Service, runtime: bytes) -> None:
    quote = service.platform.td_quote(TD, hashlib.sha256(runtime).digest() + bytes(32))
    body = {"quote": b64(quote), "runtime_data": b64(runtime), "verifier_nonce": service.nonce()}
    for path, flat in PLACES:
        refusal(at_azure(service, body, path, flat=flat))


def test_a_member_twice_in_the_runtime_json_is_no_binding(service: Service) -> None:
    """Or one reader would see the honest value, and another a chosen one."""
    good = hashlib.sha512(b"").hexdigest()
    runtime = f'{{"user-data":"{good}","user-data":"00"}}'.encode()
    quote = service.platform.td_quote(TD, hashlib.sha256(runtime).digest() + bytes(32))
    body = {"quote": b64(quote), "runtime_data": b64(runtime)}
    assert refusal(service.attest(body, path=FLAT_AZURE))["code"] == "malformed-request"


def test_the_upper_half_is_zero_on_azure(service: Service) -> None:
    runtime = b'{"user-data":"00"}'
    quote = service.platform.td_quote(TD, hashlib.sha256(runtime).digest() + bytes(31) + b"\x01")
    body = {"quote": b64(quote), "runtime_data": b64(runtime)}
    for path, flat in PLACES:
        assert refusal(at_azure(service, body, path, flat=flat))["step"] == "10.2.report_data"


def test_azures_rule_is_not_for_enclaves_nor_for_the_plain_first_version(service: Service) -> None:
    runtime = b'{"user-data":"00"}'
    report_data = hashlib.sha256(runtime).digest() + bytes(32)
    enclave = {"quote": b64(service.platform.quote(ENCLAVE, report_data)), "runtime_data": b64(runtime)}
    assert refusal(service.attest(enclave, path=FLAT_AZURE))["seen"] == "SGX"
    td = {"quote": b64(service.platform.td_quote(TD, report_data)), "runtime_data": b64(runtime)}
    assert refusal(service.attest(td))["step"] == "10.2.report_data"
    believed(service, service.attest(td, path=FLAT_AZURE))


def test_evidence_from_azure_has_runtime_data(service: Service) -> None:
    quote = b64(service.platform.td_quote(TD, bytes(64)))
    for body in ({"quote": quote}, {"quote": quote, "user_data": b64(b"x")}, {"quote": quote, "runtime_data": ""}):
        assert refusal(service.attest(body, path=FLAT_AZURE))["wanted"] == "runtime_data"


def test_unpadded_base64url_as_azures_metadata_service_gives_it(service: Service) -> None:
    body = azure_evidence(service, service.nonce())
    body["quote"] = body["quote"].replace("+", "-").replace("/", "_").rstrip("=")
    believed(service, service.attest(body, path=FLAT_AZURE))
