"""HTTPS with nothing but the standard library, for use inside an enclave.

Every connection is TLS 1.2 or newer and verified against the given roots or the system's: there is no switch to
turn that off. The name that is verified, sent as SNI and as `Host` is always the URL's, wherever the connection goes.
No redirect is followed and no proxy is taken from the environment: an enclave's host decides over its environment.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError, TimedOut, TooLarge, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from _typeshed import WriteableBuffer

    from ambergate.client.settings import Url

MAX_RESPONSE: Final = 256 * 1024  # bytes of body; a token of 64 KiB in JSON leaves room
USER_AGENT: Final = "ambergate"

# Codes of `Unavailable` by which the device files choose an errno.
REFUSED: Final = "connection-refused"
UNREACHABLE: Final = "host-unreachable"
UNKNOWN_HOST: Final = "unknown-host"
BROKEN: Final = "connection-broken"
NOT_TRUSTED: Final = "tls-not-trusted"

_ROOTS_CACHED: Final = 4  # TLS contexts kept; one for each set of roots in use


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete answer.

    Attributes:
        status: HTTP status.
        headers: names in lower case; of a repeated header the last.
        body: at most `MAX_RESPONSE` bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Whom to speak to.

    Attributes:
        url: its host is verified.
        addresses: where to connect, tried in order; empty: the resolver is asked.
        roots: PEM certificates; empty: the system's.
        timeout: seconds for each request, connecting included.
    """

    url: Url
    addresses: tuple[str, ...]
    roots: str
    timeout: float


class Channel:
    """Requests to one peer, over one connection while the peer keeps it open. Used by one thread at a time."""

    def __init__(self, peer: Peer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.peer = peer
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """One request, answered completely within the peer's timeout.

        Args:
            method: `"GET"` or `"POST"`.
            path: below the peer's URL, e.g. `"nonce"`.
            headers: added to `Host`, `User-Agent` and `Content-Length`.
            body: sent as it is.

        Raises:
            TimedOut: the answer was not complete in time.
            TooLarge: the answer is longer than `MAX_RESPONSE`.
            Unavailable: no connection, no trust in it, or it broke; the code says which.
            SettingsError: the roots are not certificates.
        """
        deadline = Deadline(self.peer.timeout, self._clock)
        name = self.peer.url.authority
        try:
            return self._exchange(
                method, self.peer.url.path + path, {"User-Agent": USER_AGENT, **headers}, body, deadline
            )
        except TimeoutError as exc:
            raise TimedOut(f"{name} did not answer in time", seen=f"{self.peer.timeout:g} s") from exc
        except ssl.SSLCertVerificationError as exc:
            raise _not_trusted(name, exc) from exc
        except ConnectionRefusedError as exc:
            raise Unavailable(
                f"{name} refuses the connection", code=REFUSED, seen=exc, hint="is the service running?"
            ) from exc
        except (http.client.HTTPException, ssl.SSLError, ConnectionError, EOFError) as exc:
            told = str(exc) or type(exc).__name__
            raise Unavailable(f"the connection to {name} broke", code=BROKEN, seen=told) from exc
        except OSError as exc:
            raise Unavailable(f"{name} cannot be reached", code=UNREACHABLE, seen=exc) from exc
        finally:
            if self._connection is not None and self._connection.sock is None:
                self.close()

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Response:
        reused = self._connection is not None
        try:
            return self._try(method, path, headers, body, deadline)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            # The peer closed a kept connection before it saw the request. All our requests may be repeated.
            if not reused:
                raise
            return self._try(method, path, headers, body, deadline)

    def _try(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Response:
        connection = self._connected(deadline)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            with connection.getresponse() as response:
                return _read(response, self.peer.url.authority)
        except BaseException:  # whatever happened, the rest of this answer must never meet the next request
            self.close()
            raise

    def _connected(self, deadline: Deadline) -> http.client.HTTPConnection:
        if self._connection is None:
            url = self.peer.url
            secured = _connect(self.peer, deadline)
            self._connection = http.client.HTTPConnection(url.host, url.port)
            self._connection.auto_open = 0  # http.client itself would reconnect without TLS
            self._connection.default_port = http.client.HTTPS_PORT  # `Host` shows other ports only
            self._connection.sock = _TimedSocket(secured, deadline)  # what http.client uses of it
        assert isinstance(self._connection.sock, _TimedSocket)
        self._connection.sock.deadline = deadline
        return self._connection


class Deadline:
    """The end of one request, however many small steps it takes."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds left, more than 0.

        Raises:
            TimeoutError: none is left.
        """
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError
        return left


class _TimedSocket:
    """What `http.client` needs of a socket; each step gets what is left of the request's time.

    As with sockets, a reader made of it outlives `close`: an answer may be read after its connection was given up.
    """

    def __init__(self, secured: ssl.SSLSocket, deadline: Deadline) -> None:
        self._socket = secured
        self._users = 1
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self.deadline.left())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._users += 1
        return io.BufferedReader(_TimedReader(self))

    def read_into(self, buffer: WriteableBuffer) -> int:
        self._socket.settimeout(self.deadline.left())
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._socket.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _TimedSocket) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._timed.read_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._timed.close()


def _read(response: http.client.HTTPResponse, name: str) -> Response:
    announced = response.length
    body = b"" if announced is not None and announced > MAX_RESPONSE else response.read(MAX_RESPONSE + 1)
    if len(body) > MAX_RESPONSE or (announced or 0) > MAX_RESPONSE:
        raise TooLarge(f"the answer of {name} is too long", seen=announced, wanted=f"<= {MAX_RESPONSE} bytes")
    if announced is not None and len(body) < announced:
        raise http.client.IncompleteRead(body, announced - len(body))
    headers = {key.lower(): value for key, value in response.getheaders()}
    return Response(status=response.status, headers=headers, body=body)


def _connect(peer: Peer, deadline: Deadline) -> ssl.SSLSocket:
    """A verified connection to the first address that answers."""
    context = tls_context(peer.roots)
    addresses = peer.addresses or _resolve(peer.url, deadline)
    failure: OSError | None = None
    for index, address in enumerate(addresses):
        share = deadline.left() / (len(addresses) - index)
        try:
            plain = socket.create_connection((address, peer.url.port), timeout=share)
        except OSError as exc:
            failure = failure if isinstance(exc, TimeoutError) and failure is not None else exc
            continue
        return _secured(plain, context, peer.url.host, deadline)
    assert failure is not None
    raise failure


def _secured(plain: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline) -> ssl.SSLSocket:
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(deadline.left())
        # A connection cut off without TLS's own goodbye is an error, not the end of an answer.
        return context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)
    except BaseException:
        plain.close()
        raise


def _resolve(url: Url, deadline: Deadline) -> tuple[str, ...]:
    """The resolver's addresses; it knows no deadline, so it works in a thread that may be left behind."""
    found: list[str] = []
    failure: list[OSError] = []

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except (OSError, UnicodeError) as exc:
            failure.append(exc if isinstance(exc, OSError) else socket.gaierror(str(exc)))

    worker = threading.Thread(target=look_up, name="resolve", daemon=True)
    worker.start()
    worker.join(deadline.left())
    if failure:
        message = f"{url.host} has no address"
        raise Unavailable(message, code=UNKNOWN_HOST, seen=failure[0], hint="set endpoint_ip or kbs_ip") from failure[0]
    if worker.is_alive() or not found:
        raise TimeoutError
    return tuple(found)


@lru_cache(maxsize=_ROOTS_CACHED)
def tls_context(roots: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificate and host name verified.

    Args:
        roots: PEM certificates; empty: the system's.

    Raises:
        SettingsError: the roots are not certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Some builds of Python (Debian 12's) take a connection that was cut for one that has ended; see `_secured`.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if not roots:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=roots)
    except (ssl.SSLError, ValueError) as exc:
        raise SettingsError(
            "cacerts holds something that is not a certificate", code="settings-cacerts", seen=exc
        ) from exc
    return context


def _not_trusted(name: str, error: ssl.SSLCertVerificationError) -> Unavailable:
    return Unavailable(
        f"the certificate of {name} is not trusted",
        code=NOT_TRUSTED,
        seen=error.verify_message,
        wanted="a certificate for this name, by a root in cacerts (the system's roots when cacerts is empty)",
    )
