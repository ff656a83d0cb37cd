"""Running an application on a real TLS socket: in this thread until a signal, or in one of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvicorn

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.services.web.protocol import BoundedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

# TLS 1.2 suites, first choice first: the ECDHE-*-AES256-GCM-SHA384 pair is all that some clients offer. TLS
# 1.3 always offers TLS_AES_256_GCM_SHA384, which is all that those clients offer there.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
MAX_CONNECTIONS: Final = 1024  # beyond which new requests get 503 at once
KEEP_ALIVE: Final = 15  # seconds an idle connection is kept
GRACE: Final = 10  # seconds that running requests have to end when the service stops
_START_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """A server's certificate chain and private key, both PEM files."""

    certificate: Path
    key: Path


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, forward secrecy and authenticated encryption only.

    Raises:
        SettingsError: the files are not there, not PEM, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as exc:
        raise SettingsError(
            "the TLS certificate and key cannot be used",
            seen=f"{files.certificate}, {files.key}: {exc}",
            wanted="a PEM chain and its unencrypted PEM key",
        ) from exc
    return context


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything is announced. Port 0 takes a free one.

    Raises:
        Unavailable: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise Unavailable(
            "the address cannot be listened on",
            seen=f"{host}:{port}: {exc}",
            hint="is another service running there?",
        ) from exc
    return listener


def serve(app: ASGIApp, tls: TlsFiles, listener: socket.socket, *, on_start: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, let running requests end, return.

    Args:
        app: the application.
        tls: its certificate and key.
        listener: from `bound_socket`; closed on return.
        on_start: called once connections are accepted.
    """
    _Server(app, server_context(tls), on_start=on_start).run(sockets=[listener])


@contextlib.contextmanager
def running(app: ASGIApp, tls: TlsFiles, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The application on a real socket in a thread of its own; yields the port, stops it afterwards.

    Raises:
        Unavailable: it did not start.
    """
    listener = bound_socket(host, port)
    accepting = threading.Event()
    server = _Server(app, server_context(tls), on_start=accepting.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="serve")
    thread.start()
    try:
        if not accepting.wait(_START_SECONDS):
            raise Unavailable("the server did not start", wanted=f"within {_START_SECONDS} s")
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn without its logging set-up; tells when it accepts, and returns instead of dying of a signal."""

    def __init__(self, app: ASGIApp, context: ssl.SSLContext, *, on_start: Callable[[], None] | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
                ssl_context_factory=lambda _config, _default: context,
            )
        )
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        if self.started and self._on_start is not None:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and cut off whoever is still there after `GRACE`: the loop cannot close on open connections."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but a stop that was asked for ends in a return: the exit code is ours."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def _no_password() -> str:
    """Called by OpenSSL for an encrypted key, so that it fails instead of asking the terminal."""
    message = "the key is encrypted"
    raise ValueError(message)
