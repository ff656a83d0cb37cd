"""`GET /metrics` on a port of its own: plain HTTP for a Prometheus on this machine, or TLS.

A separate server, so that it answers while the service's own port is closed, full, or reachable by strangers. It reads
nothing of a request but its first line, serves a few connections at once, and gives none of them long.
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import socketserver
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import SettingsError
from ambergate.services.web.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from ambergate.services.web.certificates import Certificates

MAX_CONNECTIONS: Final = 16  # at once; more are closed unanswered
STEP_SECONDS: Final = 5.0  # for each read and write of a connection, and for its TLS handshake
_LOG = logging.getLogger("ambergate.metrics")


@contextlib.contextmanager
def serving_metrics(
    text: Callable[[], bytes], listener: socket.socket, tls: Certificates | None = None
) -> Iterator[None]:
    """Serve metrics on this address in threads of their own until the end of the block.

    Args:
        text: the metrics in Prometheus' text format.
        listener: from `server.bound_socket`; closed at the end.
        tls: certificate and key, looked at again for each connection: who renews them restarts nothing. Plain HTTP when
            not given.
    """
    server = _Server(text, listener, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, text: Callable[[], bytes], listener: socket.socket, tls: Certificates | None) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.text = text
        self._tls = tls
        self._stale = False
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.server_activate()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as in the parent
        """Start a thread for it, if there is room."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve one connection."""
        try:
            request.settimeout(STEP_SECONDS)
            if self._tls is not None:
                self._look(self._tls)
                request = self._tls.context.wrap_socket(request, server_side=True)
            self.finish_request(request, client_address)
        except OSError:  # a peer that went, was too slow, or speaks something else
            _LOG.debug("a connection for metrics failed", exc_info=True)
        except Exception:  # noqa: BLE001  # a thread of its own: nobody else would hear of it
            _LOG.exception("metrics cannot be told")
        finally:
            self.shutdown_request(request)
            self._slots.release()

    def _look(self, tls: Certificates) -> None:
        """Show the files as they are now. What cannot be used is told once, and the old one stays."""
        try:
            tls.refresh()
            self._stale = False
        except SettingsError as error:  # perhaps half of the pair is written
            if not self._stale:
                _LOG.error("the changed certificate for metrics is not taken: %s", error.as_dict())
            self._stale = True


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = STEP_SECONDS
    protocol_version = "HTTP/1.0"  # one request a connection

    def do_GET(self) -> None:
        """The metrics, or 404."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.text()
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", CONTENT_TYPE)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Nothing of the interpreter."""
        return "ambergate"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in the parent
        """Nothing: a scrape every few seconds is no news."""
