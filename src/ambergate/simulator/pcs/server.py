"""The web server: real sockets and real TLS, a thread for each connection, and an end that waits for nobody."""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError
from ambergate.simulator.pcs.answers import Desk, Dialect
from ambergate.simulator.pcs.faults import Armed, Fault, Manner, Misfortune
from ambergate.simulator.pcs.request import path_of, route_of
from ambergate.simulator.pcs.tls import server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from ambergate.simulator.pcs.answers import Answer
    from ambergate.simulator.pcs.shelf import Shelf

LOOPBACK: Final = "127.0.0.1"
ELSEWHERE: Final = "elsewhere"  # what requests that lead nowhere are counted as
DRIP: Final = 0.5  # seconds between two bytes of a dripping body
_IDLE: Final = 60.0  # seconds without a request, after which a connection is closed
_BACKLOG: Final = 256  # connections that wait to be accepted


class SimulatedPcs:
    """A collateral service of one simulated platform, on a port of its own, from entering to leaving.

    It speaks HTTPS under a certificate made at the start for the host it listens on and for `localhost`.

    Args:
        shelf: the documents, their signers and their clock.
        dialect: whose manners to have.
        faults: what goes wrong, in order (see `Misfortune`).
        host: where to listen.
        port: any free one when 0.
        drip: seconds between two bytes of a dripping body.
        report: called after each answer with the request's target, the status and the fault met.
    """

    def __init__(  # noqa: PLR0913  each is a choice of its own
        self,
        shelf: Shelf,
        *,
        dialect: Dialect = Dialect.PCS,
        faults: Iterable[Armed] = (),
        host: str = LOOPBACK,
        port: int = 0,
        drip: float = DRIP,
        report: Callable[[str, int, Fault | None], None] | None = None,
    ) -> None:
        self.desk = Desk(shelf, dialect)
        self.now: Callable[[], datetime] = shelf.now
        self.misfortune = Misfortune(faults)
        self.drip = drip
        self.report = report
        self.stopping = threading.Event()
        self._address = (host, port)
        self._context, self.ca_pem = server_context(list(dict.fromkeys((host, LOOPBACK, "localhost"))))
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Listen and serve.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        try:
            self._listener = _Listener(self._address, self, self._context)
        except (OSError, OverflowError) as exc:
            wanted = "a free port of this machine"
            raise SettingsError(
                "cannot listen on this address", seen="{}:{}".format(*self._address), wanted=wanted, hint=str(exc)
            ) from exc
        self._thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, cut the connections that are open, wait for their threads."""
        assert self._listener is not None
        assert self._thread is not None
        self.stopping.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.cut()
        self._listener.server_close()

    @property
    def url(self) -> str:
        """Where it is to be reached; only while it serves."""
        assert self._listener is not None
        return f"https://{self._address[0]}:{self._listener.server_port}"

    @property
    def requests(self) -> Counter[str]:
        """How many requests have come, by path; all that lead nowhere as one."""
        with self._lock:
            return self._counts.copy()

    def client_context(self) -> ssl.SSLContext:
        """A context for clients that trusts this server, and nobody else."""
        return ssl.create_default_context(cadata=self.ca_pem)

    def answer(self, target: str) -> tuple[Answer, Fault | None]:
        """Count a request, and say what to answer it with and which fault it met."""
        path = path_of(target)
        route = route_of(path)
        with self._lock:
            self._counts[ELSEWHERE if route is None else path] += 1
        fault = None if route is None else self.misfortune.meet(route.document)
        if fault is None:
            return self.desk.answer(route, target), None
        answer = self.desk.answer(route, target, fault.recast)
        return (answer if fault.reword is None else fault.reword(answer, target)), fault


class _Listener(ThreadingMixIn, HTTPServer):
    """Accepts connections; keeps those that are open, to cut them at the end."""

    daemon_threads = False  # so that server_close waits for them
    allow_reuse_address = True
    request_queue_size = _BACKLOG

    def __init__(self, address: tuple[str, int], service: SimulatedPcs, context: ssl.SSLContext) -> None:
        self.service = service
        self._context = context
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def server_bind(self) -> None:
        """Bind, without asking the network for this host's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def finish_request(self, request: object, client_address: object) -> None:
        """Serve one connection in its thread, the handshake included."""
        assert isinstance(request, socket.socket)
        request.settimeout(_IDLE)
        connection: socket.socket = request
        try:
            connection = secured = self._context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                self._open.add(connection)
                stopping = self.service.stopping.is_set()
            if not stopping:
                secured.do_handshake()
                _Connection(secured, client_address, self)
        except OSError:
            pass  # the client went away, or does not trust the certificate: its business (SSLError is one)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def cut(self) -> None:
        """End every open connection, whatever its thread is at."""
        with self._lock:
            for connection in self._open:
                try:
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # past TLS, which another thread may be in
                except OSError:
                    continue  # the other side was first


class _Connection(BaseHTTPRequestHandler):
    """Answers the GETs of one connection."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        """Answer, with the fault that the request meets."""
        service = self.server.service
        answer, fault = service.answer(self.path)
        manner = Manner.WHOLE if fault is None else fault.manner
        self.send_response(answer.status)
        self.send_header("Request-ID", secrets.token_hex(16))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if service.report is not None:
            service.report(self.path, answer.status, fault)
        match manner:
            case Manner.WHOLE:
                self.wfile.write(answer.body)
            case Manner.CUT:
                self.wfile.write(answer.body[: len(answer.body) // 2])
                self.close_connection = True
            case Manner.DRIPPING:
                self._drip(answer.body)

    def _drip(self, body: bytes) -> None:
        for place in range(len(body)):
            if self.server.service.stopping.wait(self.server.service.drip):
                break
            self.wfile.write(body[place : place + 1])
        self.close_connection = True

    def version_string(self) -> str:
        """The Server header."""
        return "amber-simulator"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The instant for the Date header, by the simulator's clock."""
        return formatdate(self.server.service.now().timestamp() if timestamp is None else timestamp, usegmt=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing: `SimulatedPcs.report` does."""
