"""A TLS server on loopback that answers as a test tells it to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import trustme

from ambergate.client.settings import Url
from ambergate.client.transport import Peer

HOST = "service.example"

Answer = Callable[[ssl.SSLSocket, bytes], None]


def plain(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """A complete HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@dataclass
class TlsServer:
    """Requests as they came, and what is answered to each."""

    port: int
    roots: str
    answer: Answer
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    names: list[str] = field(default_factory=list)  # as SNI gave them
    released: threading.Event = field(default_factory=threading.Event)  # set when the test is over

    def peer(self, *, host: str = HOST, addresses: tuple[str, ...] = ("127.0.0.1",), timeout: float = 10.0) -> Peer:
        url = Url(host=host, port=self.port, path="/base/")
        return Peer(url=url, addresses=addresses, roots=self.roots, timeout=timeout)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def tls_server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    return context


@pytest.fixture
def server(authority: trustme.CA, tls_server_context: ssl.SSLContext) -> Iterator[TlsServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = TlsServer(
            port=listener.getsockname()[1],
            roots=authority.cert_pem.bytes().decode(),
            answer=lambda connection, _request: connection.sendall(plain(b"{}")),
        )

        def name_seen(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            running.names.append(name or "")

        tls_server_context.sni_callback = name_seen
        accepting = threading.Thread(target=_accept, args=(listener, tls_server_context, running))
        accepting.start()
        yield running
        running.released.set()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


def _accept(listener: socket.socket, context: ssl.SSLContext, server: TlsServer) -> None:
    threads: list[threading.Thread] = []
    with contextlib.suppress(OSError):  # the listener was shut down
        while True:
            connection, _ = listener.accept()
            threads.append(threading.Thread(target=_serve, args=(connection, context, server)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def _serve(connection: socket.socket, context: ssl.SSLContext, server: TlsServer) -> None:
    connection.settimeout(10)
    server.connections += 1
    with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
        while request := _request(secured):
            server.requests.append(request)
            server.answer(secured, request)


def _request(connection: ssl.SSLSocket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        request += chunk
    head, _, body = request.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
