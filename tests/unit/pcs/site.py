"""A collateral service on loopback, over real TLS, whose answers a test writes down; and a platform to ask about."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import trustme
from tests.unit.simulator.stream import stream

from ambergate.core.verify.anchors import TrustAnchor
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ambergate.core.collateral.bundle import Collateral

AT: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM: Final = SimulatedPlatform.create(at=AT, random=stream("pcs"))
ANCHOR: Final = TrustAnchor.from_pem(PLATFORM.root_pem)
CA: Final = trustme.CA()
FOUR: Final = 4  # documents, and so requests, for one family

Crl = "Callable[[str], bytes]"  # from hex of DER to what is sent


@dataclass
class Answer:
    """What one path answers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None  # Content-Length, when it is not the body's; below 0: none


def der(text: str) -> bytes:
    return bytes.fromhex(text)


def answers(
    collateral: Collateral, *, api: str = "v4", tee: str = "sgx", crl: Callable[[str], bytes] = der
) -> dict[str, Answer]:
    """What a PCCS answers to each path."""
    tcb = f'{{"tcbInfo":{collateral.tcb_info},"signature":"{collateral.tcb_info_signature}"}}'
    qe = f'{{"enclaveIdentity":{collateral.qe_identity},"signature":"{collateral.qe_identity_signature}"}}'
    tcb_chain = "TCB-Info-Issuer-Chain" if api == "v4" else "SGX-TCB-Info-Issuer-Chain"
    family, sgx = f"/{tee}/certification/{api}", f"/sgx/certification/{api}"
    return {
        f"{family}/tcb": Answer(body=tcb.encode(), headers={tcb_chain: quote(collateral.tcb_info_issuer_chain)}),
        f"{family}/qe/identity": Answer(
            body=qe.encode(), headers={"SGX-Enclave-Identity-Issuer-Chain": quote(collateral.qe_identity_issuer_chain)}
        ),
        f"{sgx}/pckcrl": Answer(
            body=crl(collateral.pck_crl),
            headers={
                "SGX-PCK-CRL-Issuer-Chain": quote(collateral.pck_crl_issuer_chain),
                "Content-Type": "application/x-pem-file",
            },
        ),
        f"{sgx}/rootcacrl": Answer(body=crl(collateral.root_ca_crl)),
    }


TCB: Final = "/sgx/certification/v4/tcb"
QE: Final = "/sgx/certification/v4/qe/identity"
PCK_CRL: Final = "/sgx/certification/v4/pckcrl"
ROOT_CRL: Final = "/sgx/certification/v4/rootcacrl"


class Site:
    """The service: what it answers, and what it was asked."""

    def __init__(self, table: dict[str, Answer]) -> None:
        self.table = table
        self.script: dict[str, list[Answer]] = {}  # answered first, each once
        self.asked: list[str] = []
        self.url = ""
        self.gate = threading.Event()  # nothing is answered until it is set
        self.gate.set()
        self.arrived = threading.Semaphore(0)  # released at every request, before the gate
        self.lock = threading.Lock()

    def answer(self, target: str) -> Answer:
        with self.lock:
            self.asked.append(target)
        self.arrived.release()
        self.gate.wait(30)
        path = urlsplit(target).path
        with self.lock:
            if self.script.get(path):
                return self.script[path].pop(0)
            return self.table.get(path, Answer(404))

    def count(self, path: str) -> int:
        with self.lock:
            return sum(urlsplit(target).path == path for target in self.asked)


@contextmanager
def site(table: dict[str, Answer]) -> Iterator[Site]:
    """A running service."""
    running = Site(table)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = running.answer(self.path)
            self.send_response_only(answer.status)
            announced = len(answer.body) if answer.announced is None else answer.announced
            length = {} if announced < 0 else {"Content-Length": str(announced)}
            for name, value in {**length, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that goes away is no fault here."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    running.url = f"https://127.0.0.1:{server.server_port}"
    try:
        yield running
    finally:
        running.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


class Clock:
    """A clock that a test turns; its `sleep` turns it too, and remembers."""

    def __init__(self, instant: datetime = AT) -> None:
        self.instant = instant
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.instant

    def seconds(self) -> float:
        return (self.instant - AT).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.instant += timedelta(seconds=seconds)

    def turn(self, **by: float) -> None:
        self.instant += timedelta(**by)
