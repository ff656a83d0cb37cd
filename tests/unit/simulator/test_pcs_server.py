"""The simulator's collateral service on the wire: addresses, parameters, headers, encodings, dialects."""

from __future__ import annotations

import contextlib
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from tests.unit.simulator.pcs_client import (
    AT,
    FMSPC,
    IDENTITY,
    PCK_CRL,
    PLATFORM,
    ROOT_CRL,
    TCB,
    connect,
    get,
    inner,
    serving,
    signed_by,
)

from ambergate.core.errors import SettingsError
from ambergate.simulator.pcs import Dialect, Shelf, SimulatedPcs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPSConnection

PKI = PLATFORM.state.pki
HARDWARE = PLATFORM.state.hardware
TCB_V3, TCB_V4 = "SGX-TCB-Info-Issuer-Chain", "TCB-Info-Issuer-Chain"
QE, CRL = "SGX-Enclave-Identity-Issuer-Chain", "SGX-PCK-CRL-Issuer-Chain"
NUMBERS = "TCB-Evaluation-Data-Numbers-Issuer-Chain"


@pytest.fixture(scope="module")
def pcs() -> Iterator[SimulatedPcs]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def pccs() -> Iterator[SimulatedPcs]:
    with serving(dialect=Dialect.PCCS) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "member", "header", "said"),
    [
        (TCB, "tcbInfo", TCB_V4, {"id": "SGX", "version": 3}),
        (TCB.replace("v4", "v3"), "tcbInfo", TCB_V3, {"version": 2}),
        (TCB.replace("/sgx", "/tdx"), "tcbInfo", TCB_V4, {"id": "TDX", "version": 3}),
        (IDENTITY, "enclaveIdentity", QE, {"id": "QE", "version": 2}),
        (IDENTITY.replace("v4", "v3"), "enclaveIdentity", QE, {"id": "QE", "version": 2}),
        (IDENTITY.replace("/sgx", "/tdx"), "enclaveIdentity", QE, {"id": "TD_QE"}),
        (IDENTITY.replace("/qe/", "/qve/"), "enclaveIdentity", QE, {"id": "QVE"}),
        ("/sgx/certification/v4/tcbevaluationdatanumbers", "tcbEvaluationDataNumbers", NUMBERS, {"id": "SGX"}),
        ("/tdx/certification/v4/tcbevaluationdatanumbers", "tcbEvaluationDataNumbers", NUMBERS, {"id": "TDX"}),
    ],
)
def test_statements_are_signed_over_their_exact_text(
    pcs: SimulatedPcs, target: str, member: str, header: str, said: dict[str, object]
) -> None:
    reply = get(pcs, target)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    chain = reply.chain(header)
    assert chain == [PKI.tcb_signing.certificate, PKI.root.certificate]
    text, signature = inner(reply.body, member)
    signed_by(chain[0], text, signature)
    assert said.items() <= json.loads(text).items()
    assert len(reply.headers["Request-ID"]) == 32


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
@pytest.mark.parametrize("document", ["tcb", "qe/identity"])
@pytest.mark.parametrize(
    ("parameter", "number"),
    [
        ("", 17),
        ("update=standard", 17),
        ("update=EARLY", 18),
        ("tcbEvaluationDataNumber=17", 17),
        ("tcbEvaluationDataNumber=18", 18),
    ],
)
def test_two_sets_are_published(pcs: SimulatedPcs, tee: str, document: str, parameter: str, number: int) -> None:
    body = json.loads(get(pcs, f"/{tee}/certification/v4/{document}?fmspc={FMSPC}&{parameter}").body)
    assert next(iter(body.values()))["tcbEvaluationDataNumber"] == number


def test_the_numbers_listed_are_those_served(pcs: SimulatedPcs) -> None:
    listed = json.loads(get(pcs, "/sgx/certification/v4/tcbevaluationdatanumbers").body)
    numbers = [row["tcbEvaluationDataNumber"] for row in listed["tcbEvaluationDataNumbers"]["tcbEvalNumbers"]]
    assert numbers == [18, 17]
    assert {get(pcs, f"{TCB}&tcbEvaluationDataNumber={number}").status for number in numbers} == {200}


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/sgx/certification/v4/tcb", 400),
        ("/sgx/certification/v4/tcb?fmspc=00", 400),
        ("/sgx/certification/v4/tcb?fmspc=zzzzzzzzzzzz", 400),
        (f"{TCB}&fmspc={FMSPC}", 400),
        (f"{TCB}&" + "&".join(f"a{number}=1" for number in range(20)), 400),
        ("/sgx/certification/v4/tcb?fmspc=000000000000", 404),
        (f"{TCB}&update=early&tcbEvaluationDataNumber=18", 400),
        (f"{TCB}&update=soon", 400),
        (f"{TCB}&tcbEvaluationDataNumber=-17", 400),
        (f"{TCB}&tcbEvaluationDataNumber=seventeen", 400),
        (f"{TCB}&tcbEvaluationDataNumber={'9' * 5000}", 400),
        (f"{TCB}&tcbEvaluationDataNumber=16", 410),
        (f"{TCB}&tcbEvaluationDataNumber=19", 404),
        ("/sgx/certification/v4/pckcrl", 400),
        ("/sgx/certification/v4/pckcrl?ca=root", 400),
        ("/sgx/certification/v4/pckcrl?ca=platform&encoding=hex", 400),
        ("/sgx/certification/v4/fmspcs?platform=E7", 400),
        ("/sgx/certification/v5/tcb", 404),
        ("/tdx/certification/v3/qe/identity", 404),
        ("/sgx/certification/v3/tcbevaluationdatanumbers", 404),
        ("/sgx/certification/v4/qae/identity", 404),
        ("/tdx/certification/v4/pckcrl?ca=platform", 404),
        ("/", 404),
        ("?", 404),
    ],
)
def test_requests_are_read_strictly(pcs: SimulatedPcs, target: str, status: int) -> None:
    reply = get(pcs, target)
    assert (reply.status, reply.body) == (status, b"")
    assert ("Error-Code" in reply.headers, "Error-Message" in reply.headers) == (status == 400, status == 400)


@pytest.mark.parametrize("line", [b"GET http://[ HTTP/1.1", b"GET ? HTTP/1.1", b"GET %00 HTTP/1.1"])
def test_an_address_that_is_none_leads_nowhere(pcs: SimulatedPcs, line: bytes) -> None:
    with contextlib.closing(connect(pcs)) as connection:
        connection.connect()
        connection.send(line + b"\r\nHost: pcs\r\n\r\n")
        with contextlib.closing(HTTPResponse(connection.sock)) as response:
            response.begin()
            assert response.status == 404


@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_a_pcs_has_revocation_lists_as_pem_or_der(pcs: SimulatedPcs, ca: str) -> None:
    pem = get(pcs, f"/sgx/certification/v4/pckcrl?ca={ca}")
    der = get(pcs, f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der")
    assert (pem.headers["Content-Type"], der.headers["Content-Type"]) == (
        "application/x-pem-file",
        "application/pkix-crl",
    )
    crl = x509.load_der_x509_crl(der.body)
    assert crl == x509.load_pem_x509_crl(pem.body)
    issuer, root = der.chain(CRL)
    assert crl.is_signature_valid(getattr(PKI, f"{ca}_ca").key.public_key())
    assert (issuer, root) == (getattr(PKI, f"{ca}_ca").certificate, PKI.root.certificate)


@pytest.mark.parametrize("path", [ROOT_CRL, ROOT_CRL.replace("v4", "v3"), "/IntelSGXRootCA.der"])
def test_a_pcs_has_the_roots_list_as_der(pcs: SimulatedPcs, path: str) -> None:
    reply = get(pcs, path)
    assert reply.headers["Content-Type"] == "application/pkix-crl"
    assert x509.load_der_x509_crl(reply.body).is_signature_valid(PKI.root.key.public_key())


@pytest.mark.parametrize(
    ("target", "content_type"),
    [
        (ROOT_CRL, "application/pkix-crl"),
        ("/sgx/certification/v4/pckcrl?ca=platform", "application/x-pem-file"),
        ("/sgx/certification/v3/pckcrl?ca=platform&encoding=pem", "application/x-pem-file"),
    ],
)
def test_a_pccs_has_hex_whatever_the_content_type_says(pccs: SimulatedPcs, target: str, content_type: str) -> None:
    reply = get(pccs, target)
    assert reply.headers["Content-Type"] == content_type
    x509.load_der_x509_crl(bytes.fromhex(reply.body.decode("ascii")))


def test_a_pccs_gives_der_when_asked(pccs: SimulatedPcs) -> None:
    x509.load_der_x509_crl(get(pccs, "/sgx/certification/v4/pckcrl?ca=platform&encoding=der").body)


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/sgx/certification/v4/tcb?fmspc=0", 400, b"Invalid request parameters."),
        ("/sgx/certification/v4/tcb?fmspc=000000000000", 404, b"No cache data for this platform."),
        ("/sgx/certification/v4/fmspcs", 404, b"No cache data for this platform."),
        ("/sgx/certification/v4/tcbevaluationdatanumbers", 404, b"No cache data for this platform."),
        ("/IntelSGXRootCA.der", 404, b"No cache data for this platform."),
        (f"{TCB}&update=soon", 400, b"Invalid request parameters."),
    ],
)
def test_a_pccs_explains_in_words(pccs: SimulatedPcs, target: str, status: int, words: bytes) -> None:
    reply = get(pccs, target)
    assert (reply.status, reply.body) == (status, words)
    assert "Error-Code" not in reply.headers


def test_a_pccs_passes_over_evaluation_numbers(pccs: SimulatedPcs) -> None:
    body = json.loads(get(pccs, f"{TCB}&tcbEvaluationDataNumber=18").body)
    assert body["tcbInfo"]["tcbEvaluationDataNumber"] == 17
    early = json.loads(get(pccs, f"{TCB}&update=Early").body)
    assert early["tcbInfo"]["tcbEvaluationDataNumber"] == 18


def _pckcert(**changed: str) -> str:
    given = {
        "encrypted_ppid": HARDWARE.ppid.hex().ljust(768, "0"),
        "qeid": PLATFORM.state.platform_id.hex(),
        "cpusvn": HARDWARE.cpu_svn.hex(),
        "pcesvn": HARDWARE.pce_svn.to_bytes(2, "little").hex(),
        "pceid": HARDWARE.pce_id.hex(),
    } | changed
    return "/sgx/certification/v4/pckcert?" + "&".join(f"{name}={value}" for name, value in given.items())


@pytest.mark.parametrize("changed", [{}, {"pcesvn": "ffff"}, {"cpusvn": "ff" * 16}])
@pytest.mark.parametrize("dialect", Dialect)
def test_the_platforms_own_certificate(dialect: Dialect, changed: dict[str, str]) -> None:
    with serving(dialect=dialect) as server:
        reply = get(server, _pckcert(**changed))
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/x-pem-file")
    assert x509.load_pem_x509_certificate(reply.body) == PKI.pck.certificate
    assert reply.chain("SGX-PCK-Certificate-Issuer-Chain")[0] == PKI.pck_ca.certificate
    assert reply.headers["SGX-TCBm"].lower() == HARDWARE.cpu_svn.hex() + "0d00"
    assert reply.headers["SGX-FMSPC"].lower() == FMSPC
    assert reply.headers["SGX-PCK-Certificate-CA-Type"] == "platform"


@pytest.mark.parametrize(
    ("changed", "at_pcs", "at_pccs"),
    [
        ({"encrypted_ppid": "00" * 384, "qeid": "00" * 16}, 404, 461),
        ({"pceid": "0700"}, 404, 461),
        ({"pcesvn": "0000"}, 404, 462),
        ({"cpusvn": "00" * 16}, 404, 462),
        ({"cpusvn": "00"}, 400, 400),
        ({"encrypted_ppid": "", "qeid": ""}, 400, 400),
    ],
)
def test_nobody_elses_certificate(
    pcs: SimulatedPcs, pccs: SimulatedPcs, changed: dict[str, str], at_pcs: int, at_pccs: int
) -> None:
    assert (get(pcs, _pckcert(**changed)).status, get(pccs, _pckcert(**changed)).status) == (at_pcs, at_pccs)


@pytest.mark.parametrize(("query", "listed"), [("", 1), ("?platform=all", 1), ("?platform=E5", 1), ("?platform=E3", 0)])
def test_the_families_known(pcs: SimulatedPcs, query: str, listed: int) -> None:
    reply = get(pcs, f"/sgx/certification/v4/fmspcs{query}")
    assert json.loads(reply.body) == [{"fmspc": FMSPC.upper(), "platform": "E5"}] * listed


def test_documents_stay_the_same_for_a_day_and_are_signed_anew_then() -> None:
    clock = [AT]
    with serving(now=lambda: clock[0]) as server:
        first = get(server, TCB)
        clock[0] = AT + timedelta(hours=23)
        same = get(server, TCB)
        clock[0] = AT + timedelta(days=1)
        later = get(server, TCB)
        clock[0] = AT
        earlier = get(server, TCB)
    assert first.body == same.body != later.body
    issued = [json.loads(reply.body)["tcbInfo"]["issueDate"] for reply in (first, later, earlier)]
    assert issued[0] == issued[2] < issued[1]
    assert first.headers["Date"] == "Sun, 01 Mar 2026 12:30:15 GMT"


def test_every_request_is_counted_by_its_path() -> None:
    with serving("http-503") as server:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: get(server, TCB), range(64)))
            get(server, "/nowhere?a=b")
            get(server, "/nowhere/else")
        counted = server.requests
        counted.clear()  # a copy
        assert server.requests == {"/sgx/certification/v4/tcb": 64, "elsewhere": 2}


def test_one_connection_serves_many_requests() -> None:
    with serving() as server, contextlib.closing(connect(server)) as connection:
        statuses = []
        for target in (TCB, IDENTITY, PCK_CRL, ROOT_CRL):
            connection.request("GET", target)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
    assert statuses == [200] * 4


def test_only_who_was_given_the_authority_trusts_it() -> None:
    with serving() as server, serving() as other:
        stranger = connect(server, other.client_context())
        with contextlib.closing(stranger), pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", TCB)
        assert get(server, TCB).status == 200
        assert get(server, TCB.replace("v4", "v3")).status == 200


@pytest.mark.parametrize("faults", [(), ("slow",)])
def test_leaving_cuts_the_connections_that_are_open(faults: tuple[str, ...]) -> None:
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        server = stack.enter_context(serving(*faults, drip=3600.0))
        connection = connect(server)
        connection.request("GET", TCB)
        response = connection.getresponse()
        left = pool.submit(stack.pop_all().close)  # waits for every thread of the server
        left.result(timeout=60)
    with contextlib.closing(connection), pytest.raises((OSError, HTTPException)):
        _again(connection, response)


def _again(connection: HTTPSConnection, response: HTTPResponse) -> None:
    """Read to the end, and ask once more."""
    response.read()
    connection.request("GET", TCB)
    connection.getresponse()


def test_an_address_that_is_taken_is_our_error() -> None:
    shelf = Shelf(PLATFORM, now=lambda: AT, random=bytes)
    with serving() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(SettingsError, match="cannot listen"), SimulatedPcs(shelf, port=port):
            pass
