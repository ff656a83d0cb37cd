"""Collateral over real TLS from a server that answers as a PCCS does."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
import trustme
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedCollateral, SettingsError, TimedOut, Unavailable
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_quote
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.transport import MAX_RESPONSE
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("online"))
COLLATERAL = PLATFORM.collateral(at=AT)
CA = trustme.CA()

Answer = tuple[int, bytes, dict[str, str]]


def answers(*, hex_crls: bool) -> dict[str, Answer]:
    """What a PCCS answers to each path; CRLs as DER, or as hex text as Intel's does."""
    crl = COLLATERAL.pck_crl.encode() if hex_crls else bytes.fromhex(COLLATERAL.pck_crl)
    root = COLLATERAL.root_ca_crl.encode() if hex_crls else bytes.fromhex(COLLATERAL.root_ca_crl)
    tcb = f'{{"tcbInfo":{COLLATERAL.tcb_info},"signature":"{COLLATERAL.tcb_info_signature}"}}'
    qe = f'{{"enclaveIdentity":{COLLATERAL.qe_identity},"signature":"{COLLATERAL.qe_identity_signature}"}}'
    chain = quote(COLLATERAL.tcb_info_issuer_chain)
    return {
        "/sgx/certification/v4/tcb": (200, tcb.encode(), {"TCB-Info-Issuer-Chain": chain}),
        "/sgx/certification/v4/qe/identity": (200, qe.encode(), {"SGX-Enclave-Identity-Issuer-Chain": chain}),
        "/sgx/certification/v4/pckcrl": (
            200,
            crl,
            {"SGX-PCK-CRL-Issuer-Chain": quote(COLLATERAL.pck_crl_issuer_chain)},
        ),
        "/sgx/certification/v4/rootcacrl": (200, root, {}),
    }


@contextmanager
def pccs(table: dict[str, Answer], *, stall: threading.Event | None = None) -> Iterator[str]:
    """A PCCS on loopback; with `stall` it answers only once that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if stall is not None:
                stall.wait(10)
            status, body, headers = table.get(urlsplit(self.path).path, (404, b"", {}))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        if stall is not None:
            stall.set()
        server.shutdown()
        thread.join()
        server.server_close()


def trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


def fetch(url: str, *, timeout: float = 10.0, verify: ssl.SSLContext | None = None) -> object:
    with OnlineCollateral(url, verify=verify or trust(), timeout=timeout) as source:
        return source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")


@pytest.mark.parametrize("hex_crls", [False, True])
def test_what_it_fetches_verifies(hex_crls: bool) -> None:  # noqa: FBT001
    with (
        pccs(answers(hex_crls=hex_crls)) as url,
        OnlineCollateral(url, verify=trust()) as source,
    ):
        collateral = source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
    assert collateral == COLLATERAL
    raw = PLATFORM.quote(SPECIMEN, bytes(64))
    verify_quote(parse_quote(raw), collateral, at=AT, anchor=TrustAnchor.from_pem(PLATFORM.root_pem))


def test_an_unknown_platform_is_unavailable() -> None:
    table = answers(hex_crls=False)
    del table["/sgx/certification/v4/tcb"]
    with pccs(table) as url, pytest.raises(Unavailable, match="no such document"):
        fetch(url)


def test_a_redirect_is_not_followed() -> None:
    table = answers(hex_crls=False)
    table["/sgx/certification/v4/tcb"] = (302, b"", {"Location": "https://127.0.0.1:1/"})
    with pccs(table) as url, pytest.raises(Unavailable) as refusal:
        fetch(url)
    assert "302" in (refusal.value.seen or "")


@pytest.mark.parametrize(
    "answer",
    [
        (200, b'{"tcbInfo":{}}', {"TCB-Info-Issuer-Chain": "x"}),
        (200, b"\xff\xfe", {"TCB-Info-Issuer-Chain": "x"}),
        (200, b"{}", {}),
        (200, b"x" * (MAX_RESPONSE + 1), {"TCB-Info-Issuer-Chain": "x"}),
    ],
)
def test_replies_that_are_not_collateral(answer: Answer) -> None:
    with (
        pccs({**answers(hex_crls=False), "/sgx/certification/v4/tcb": answer}) as url,
        pytest.raises(MalformedCollateral),
    ):
        fetch(url)


def test_a_slow_service_times_out() -> None:
    with pccs(answers(hex_crls=False), stall=threading.Event()) as url, pytest.raises(TimedOut):
        fetch(url, timeout=0.2)


def test_tls_is_verified() -> None:
    with pccs(answers(hex_crls=False)) as url, pytest.raises(Unavailable, match="is not trusted"):
        fetch(url, verify=ssl.create_default_context())


def test_plain_http_is_refused() -> None:
    with pytest.raises(SettingsError):
        OnlineCollateral("http://127.0.0.1")
