"""Every refusal: its status, a JSON body that says what failed, and never a token."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from tests.integration.attestation.scene import (
    AT,
    ENCLAVE,
    INTEL,
    SIMULATED,
    Service,
    Shelf,
    b64,
    bound,
    configure,
    new_platform,
    serving,
    shelf_root,
    started,
)
from tests.unit.simulator.stream import stream

from ambergate.core.appraise.policy import ACCEPTED
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.verify.steps import BY_ID
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.nonces import Nonces
from ambergate.services.web.bodies import MAX_BODY
from ambergate.simulator.faults import FAULTS, Fault
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.web.server import TlsFiles


def refusal(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert isinstance(body["error"], str)
    assert "token" not in body
    return dict(body)


def changed(quote: bytes, offset: int) -> bytes:
    return quote[:offset] + bytes([quote[offset] ^ 1]) + quote[offset + 1 :]


# What is changed in an honest quote, and the step that must notice.
TAMPERED = {
    "mrenclave": (48 + 64, "8.1.quote_signature"),
    "isvsvn": (48 + 258, "8.1.quote_signature"),
    "debug bit": (48 + 48, "8.1.quote_signature"),
    "user data of the header": (28, "8.1.quote_signature"),
    "signature": (48 + 384 + 4 + 10, "8.1.quote_signature"),
    "attestation key": (48 + 384 + 4 + 64 + 10, "1.3.attestation_key"),
    "report of the quoting enclave": (48 + 384 + 4 + 128 + 64, "7.1.qe_report_signature"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_byte_is_found_at_its_step(service: Service, name: str) -> None:
    offset, step = TAMPERED[name]
    quote = changed(service.platform.quote(ENCLAVE, bytes(64)), offset)
    body = refusal(service.attest({"quote": b64(quote)}))
    assert body["step"] == step
    assert step in body["error"], "clients show nothing but this member"
    assert body["code"]


@pytest.mark.parametrize("quote", [b"", b"\x03\x00", bytes(1000), b"not a quote" * 100])
def test_what_is_no_quote(service: Service, quote: bytes) -> None:
    told = refusal(service.attest({"quote": b64(quote)}))
    assert (told["step"], told["code"]) == ("1.1.quote_format", "malformed-evidence")


def test_a_truncated_quote(service: Service) -> None:
    quote = service.platform.quote(ENCLAVE, bytes(64))
    for size in (47, 48, 431, 436, 600, len(quote) - 1):
        refusal(service.attest({"quote": b64(quote[:size])}))


def test_a_quote_is_not_good_for_another_nonce(service: Service) -> None:
    old = service.evidence(service.nonce(), b"data")
    service.claims(service.attest(old))
    body = refusal(service.attest({**old, "verifier_nonce": service.nonce()}))
    assert (body["step"], body["code"]) == ("10.2.report_data", "report-data-mismatch")


def test_a_quote_binds_its_runtime_data(service: Service) -> None:
    honest = service.evidence(service.nonce(), b"data")
    for data in ("", b64(b"datA"), b64(b"data "), None):
        assert refusal(service.attest({**honest, "runtime_data": data}))["code"] == "report-data-mismatch"
    assert refusal(service.attest({**service.evidence(None), "runtime_data": b64(b"x")}))["step"] == "10.2.report_data"


def test_a_nonce_with_no_binding(service: Service) -> None:
    """The quote of a client that fetched a nonce, sent it, and forgot to hash it."""
    body = {"quote": b64(service.platform.quote(ENCLAVE, bound(None, b"data"))), "runtime_data": b64(b"data")}
    service.claims(service.attest(body))
    assert refusal(service.attest({**body, "verifier_nonce": service.nonce()}))["code"] == "report-data-mismatch"


@pytest.mark.parametrize("offset", [0, 31, 32, 63])
def test_report_data_is_compared_whole(service: Service, offset: int) -> None:
    """The last 32 bytes must be zero: they are no place for a second story."""
    nonce = service.nonce()
    report_data = changed(bound(nonce), offset)
    body = {"quote": b64(service.platform.quote(ENCLAVE, report_data)), "verifier_nonce": nonce}
    told = refusal(service.attest(body))
    assert (told["code"], told["seen"], told["wanted"]) == (
        "report-data-mismatch",
        report_data.hex(),
        bound(nonce).hex(),
    )


def test_nonce_and_data_are_in_their_order(service: Service) -> None:
    nonce = service.nonce()
    swapped = {"val": nonce["iat"], "iat": nonce["val"]}
    quote = service.platform.quote(ENCLAVE, bound(swapped))
    assert refusal(service.attest({"quote": b64(quote), "verifier_nonce": nonce}))["code"] == "report-data-mismatch"


def test_an_old_nonce(service: Service) -> None:
    body = service.evidence(service.nonce())
    service.clock.instant = AT + timedelta(seconds=119)
    service.claims(service.attest(body))
    service.clock.instant = AT + timedelta(seconds=121)
    told = refusal(service.attest(body))
    assert (told["step"], told["code"]) == ("10.1.nonce", "nonce-expired")


def test_a_nonce_of_another_service(service: Service) -> None:
    other = Nonces(bytes(32), lifetime=timedelta(seconds=120), token_bytes=stream("another service")).make(AT)
    nonce = {"val": other.val, "iat": other.iat, "signature": other.signature}
    told = refusal(service.attest(service.evidence(nonce)))
    assert (told["step"], told["code"]) == ("10.1.nonce", "nonce-unknown")


def test_a_nonce_that_says_another_time(service: Service) -> None:
    nonce = service.nonce()
    later = {**nonce, "iat": b64(b"2026-03-01 12:40:15 +0000 UTC")}
    assert refusal(service.attest(service.evidence(later)))["code"] == "nonce-unknown"


def test_a_nonce_that_is_none(service: Service) -> None:
    for nonce in ({"val": "*", "iat": "*", "signature": "*"}, {"val": "é", "iat": "", "signature": ""}):
        assert (
            refusal(service.attest({**service.evidence(None), "verifier_nonce": nonce}))["code"] == "malformed-request"
        )


PROTECTED = [
    ("GET", "/appraisal/v1/nonce"),
    ("GET", "/appraisal/v2/nonce"),
    ("POST", "/appraisal/v1/attest"),
    ("POST", "/appraisal/v1/appraise"),
    ("POST", "/appraisal/v1/attest/azure/tdxvm"),
    ("POST", "/appraisal/v2/attest"),
    ("POST", "/appraisal/v2/attest/azure"),
    ("GET", "/appraisal/v1/version"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("key", [None, "", "wrong", "A" * 44, "A" * 5000, "é".encode().decode("latin-1")])
def test_without_a_good_key_nothing_is_done(service: Service, method: str, path: str, key: str | None) -> None:
    headers = {} if key is None else {"x-api-key": key.encode("latin-1")}
    with httpx.Client(base_url=service.client.base_url, verify=service.context(), trust_env=False) as stranger:
        answer = stranger.request(method, path, headers=headers)  # type: ignore[arg-type]
    told = refusal(answer, 401)
    assert told["error"] == told["message"], "gateways say `message`, and some clients look for that"
    assert told["code"] == "bad-api-key"


@pytest.mark.parametrize("size", [MAX_BODY + 1, MAX_BODY * 2])
def test_a_body_over_the_limit(service: Service, size: int) -> None:
    told = refusal(service.attest(b" " * size), 413)
    assert told["wanted"] == "at most 500000 bytes"


def test_a_body_at_the_limit(service: Service) -> None:
    body = json.dumps(service.evidence(None)).encode()
    assert service.claims(service.attest(body + b" " * (MAX_BODY - len(body)))).simulated


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/appraisal",
        "/appraisal/v1/attest/",
        "/appraisal/v3/attest",
        "/appraisal/v2/version",
        "/attest/OpenEnclave",
        "/appraisal/v1/nonce/x",
        "/certs/",
        "/crl/x.der",
    ],
)
def test_unknown_routes(service: Service, path: str) -> None:
    assert refusal(service.client.get(path), 404)["code"] == "http-404"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/appraisal/v1/nonce"),
        ("GET", "/appraisal/v1/attest"),
        ("GET", "/appraisal/v1/appraise"),
        ("PUT", "/appraisal/v2/attest"),
        ("GET", "/attest/SgxEnclave"),
        ("PUT", "/appraisal/v1/attest"),
        ("DELETE", "/certs"),
    ],
)
def test_other_methods(service: Service, method: str, path: str) -> None:
    answer = service.client.request(method, path)
    assert refusal(answer, 405)["code"] == "http-405"
    assert answer.headers["allow"]


@pytest.mark.parametrize("kind", ["text/plain", "application/jwt", "application/x-www-form-urlencoded", "json", ""])
def test_other_content_types(service: Service, kind: str) -> None:
    assert refusal(service.attest(service.evidence(None), **{"content-type": kind}), 415)["code"] == "http-415"


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json;"])
def test_json_by_other_spellings(service: Service, kind: str) -> None:
    assert service.claims(service.attest(service.evidence(None), **{"content-type": kind})).simulated


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*, text/plain"])
def test_an_accept_that_cannot_be_met(service: Service, accept: str) -> None:
    assert refusal(service.attest(service.evidence(None), accept=accept), 415)["code"] == "http-415"


def test_a_policy_that_is_not_here(service: Service) -> None:
    """Evidence is not judged by less than what the caller asked for."""
    wanted = [str(uuid4()), str(uuid4())]
    told = refusal(service.attest({**service.evidence(None), "policy_ids": wanted}))
    assert told["code"] == "unknown-policy"
    assert [mismatch["seen"] for mismatch in told["mismatches"]] == wanted


def test_runtime_data_that_no_token_could_hold(service: Service) -> None:
    told = refusal(service.attest(service.evidence(None, b"x" * 60_000)), 413)
    assert "runtime data" in told["hint"]


def test_a_debug_enclave_is_not_welcome(service: Service) -> None:
    told = refusal(service.attest(service.evidence(service.nonce(), enclave=replace(ENCLAVE, debug=True))))
    assert told["code"] == "not-welcome"
    assert told["mismatches"] == [{"rule": "debug", "seen": "True", "wanted": "False"}]
    assert "debug" in told["error"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPlatform:
    return new_platform(tmp_path_factory.mktemp("platform"), "refusals")


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf()


LENIENT = '[policy]\ntcb_statuses = ["UpToDate", "OutOfDate"]\n'


@pytest.fixture(scope="module")
def on_the_shelf(
    tls: TlsFiles, shelf: Shelf, platform: SimulatedPlatform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service under the default policy whose collateral each test puts there."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "root_ca.pem").write_text(platform.root_pem)
    config = configure(folder, tls)
    with open_state(config, at=AT) as state, serving(config, state, shelf_root(platform, shelf), platform) as service:
        yield service


def test_an_old_platform_is_taken_by_a_policy_that_lists_it(
    on_the_shelf: Service, shelf: Shelf, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    platform = on_the_shelf.platform
    shelf.held = platform.collateral(at=AT, status=TcbStatus.OUT_OF_DATE)
    told = refusal(on_the_shelf.attest(on_the_shelf.evidence(None)))
    assert [mismatch["rule"] for mismatch in told["mismatches"]] == ["tcb_status"]
    assert told["mismatches"][0]["seen"] == "OutOfDate"
    folder = tmp_path_factory.mktemp("lenient")
    (folder / "root_ca.pem").write_text(platform.root_pem)
    config = configure(folder, tls, SIMULATED + LENIENT)
    with open_state(config, at=AT) as state, serving(config, state, shelf_root(platform, shelf), platform) as lenient:
        assert lenient.claims(lenient.attest(lenient.evidence(None))).tcb_status == "OutOfDate"
        debug = lenient.evidence(None, enclave=replace(ENCLAVE, debug=True))
        assert [m["rule"] for m in refusal(lenient.attest(debug))["mismatches"]] == ["debug"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_every_lie_is_answered_400_and_every_truth_as_the_policy_has_it(
    on_the_shelf: Service, shelf: Shelf, fault: Fault
) -> None:
    """Whatever is sent, nothing permanent answers 5xx; the failing step is named."""
    raw, shelf.held = fault.apply(on_the_shelf.platform, AT, random=stream(fault.name))
    answer = on_the_shelf.attest({"quote": b64(raw)})
    if fault.expected_step is not None:
        told = refusal(answer)
        assert (told["step"], told["code"]) == (fault.expected_step, BY_ID[fault.expected_step].code)
        assert fault.expected_step in told["error"]
        return
    if fault.expected_status not in ACCEPTED or "debug" in fault.name:
        assert refusal(answer)["code"] == "not-welcome"
    else:
        assert fault.expected_status is not None
        assert on_the_shelf.claims(answer).tcb_status == fault.expected_status.value


def test_collateral_that_is_not_there(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The only 503: it goes away when the operator refreshes, so clients may come again."""
    with started(tmp_path_factory.mktemp("missing"), tls) as service:
        (path,) = sorted((service.folder / "collateral").glob("sgx-*.json"))
        path.unlink()
        told = refusal(service.attest(service.evidence(None)), 503)
        assert str(service.folder) not in str(told), "the operator's paths stay in the log"
        path.write_text("{")
        assert refusal(service.attest(service.evidence(None)), 503)["code"] == "malformed-collateral"
        service.platform.save_collateral(service.folder, at=AT)
        assert service.claims(service.attest(service.evidence(None))).simulated


def test_a_service_of_intels_root_takes_no_simulation(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    with started(tmp_path_factory.mktemp("intel"), tls, INTEL) as service:
        told = refusal(service.attest(service.evidence(service.nonce())))
        assert told["step"] == "2.2.pck_chain_anchor"
        assert told["wanted"] == "Intel SGX Root CA"


def test_both_roots_where_both_are_named(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    with started(tmp_path_factory.mktemp("both"), tls, INTEL + SIMULATED) as service:
        claims = service.claims(service.attest(service.evidence(service.nonce())))
        assert claims.simulated, "and says so, under another issuer"
        stranger = SimulatedPlatform.create(at=AT, random=stream("a stranger"))
        told = refusal(service.attest({"quote": b64(stranger.quote(ENCLAVE, bytes(64)))}))
        assert told["step"] == "2.2.pck_chain_anchor"
        assert "Intel SGX Root CA or " in told["wanted"]


def test_anybody_may_ask_where_the_configuration_says_so(
    tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory
) -> None:
    more = SIMULATED + "[tokens]\ninsecure_allow_anonymous = true\n"
    with (
        started(tmp_path_factory.mktemp("anonymous"), tls, more) as service,
        httpx.Client(base_url=service.client.base_url, verify=service.context(), trust_env=False) as anybody,
    ):
        assert anybody.get("/appraisal/v1/nonce").status_code == 200
        assert service.claims(anybody.post("/appraisal/v1/attest", json=service.evidence(None))).simulated
        refusal(anybody.get("/appraisal/v1/nonce", headers={"x-api-key": "wrong"}), 401)
