"""One HTTPS request, bounded in time and in size.

TLS is verified, always. No redirect is followed, nothing is taken from the environment, no compressed answer is read
(what comes out of one has no length of its own). Each request has its own connection: there are four of them a day for
a platform family, and a connection that somebody else may have closed is not worth its special cases.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ambergate.core.errors import MalformedCollateral, SettingsError, TimedOut, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from _typeshed import WriteableBuffer

MAX_RESPONSE: Final = 1024 * 1024  # bytes of body; the largest published document is below 64 KiB
MAX_CHAIN_HEADER: Final = 32 * 1024  # characters of one header; Intel's chains are about 3.5 KiB when URL-encoded
USER_AGENT: Final = "ambergate"

# Codes of `Unavailable`.
BROKEN: Final = "collateral-connection"  # no connection, or it broke: worth another try
NOT_TRUSTED: Final = "collateral-tls-not-trusted"  # it will not get better by itself


class Deadline:
    """The end of something, however many steps it takes."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self.seconds = seconds

    def left(self) -> float:
        """Seconds left; not more than 0 when it is over."""
        return self._end - self._clock()

    def step(self, most: float) -> float:
        """What one step may take: `most`, or what is left if that is less.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self.left()
        if left <= 0:
            raise TimeoutError
        return min(most, left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete answer. Names of headers are in lower case; of a repeated header, the first counts."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def tls_context(cacerts: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificate and host name verified.

    Args:
        cacerts: PEM roots, and no others; the system's when not given.

    Raises:
        SettingsError: the roots cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if cacerts is None else str(cacerts))
    except OSError as exc:  # `ssl.SSLError` is one
        raise SettingsError(
            "the roots cannot be used", seen=f"{cacerts}: {exc.strerror or exc}", wanted="a file of PEM certificates"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Https:
    """Makes requests. Safe to share between threads.

    Args:
        verify: trust for TLS; the system's roots when not given. It is told to take no cut connection for an ended one.
        timeout: seconds that the other side may be silent.

    Raises:
        SettingsError: the context would not verify.
    """

    def __init__(self, verify: ssl.SSLContext | None, *, timeout: float) -> None:
        self._context = tls_context() if verify is None else verify
        # Some builds of Python (Debian 12's) begin with this set. `suppress_ragged_eofs` is too late then.
        self._context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        self._timeout = timeout
        if self._context.verify_mode is not ssl.CERT_REQUIRED or not self._context.check_hostname:
            raise SettingsError(
                "collateral is fetched over verified TLS only",
                seen=f"{self._context.verify_mode!r}, check_hostname {self._context.check_hostname}",
                wanted="CERT_REQUIRED and check_hostname",
                hint="give the roots of the service's certificate instead",
            )

    def get(self, url: str, deadline: Deadline) -> Reply:
        """One answer, whatever its status.

        Args:
            url: `https://...`, of our own making.
            deadline: of the whole that this request is a part of.

        Raises:
            TimedOut: no whole answer in time.
            Unavailable: no connection, no trust in it (`NOT_TRUSTED`), or it broke (`BROKEN`).
            MalformedCollateral: the answer is longer than `MAX_RESPONSE`, or compressed.
        """
        try:
            return self._exchange(url, deadline)
        except TimeoutError as exc:
            raise TimedOut(
                "the collateral service did not answer in time",
                seen=url,
                hint="is it overloaded, or behind a firewall?",
            ) from exc
        except ssl.SSLCertVerificationError as exc:
            raise Unavailable(
                "the collateral service's certificate is not trusted",
                code=NOT_TRUSTED,
                seen=f"{url}: {exc.verify_message}",
                wanted="a certificate for this name, under a trusted root",
                hint="a PCCS often has a root of its own: name its file as the roots for this source",
            ) from exc
        except (http.client.HTTPException, OSError, EOFError, UnicodeError) as exc:
            raise Unavailable(
                "the collateral service cannot be reached",
                code=BROKEN,
                seen=f"{url}: {str(exc) or type(exc).__name__}",
                hint="check the address, and that the service runs",
            ) from exc

    def _exchange(self, url: str, deadline: Deadline) -> Reply:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        with self._connected(host, port, deadline) as secured:
            lines = (
                f"GET {target} HTTP/1.1",
                f"Host: {parts.netloc}",
                f"User-Agent: {USER_AGENT}",
                "Accept: */*",
                "Accept-Encoding: identity",
                "Connection: close",
            )
            secured.settimeout(deadline.step(self._timeout))
            secured.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
            response = http.client.HTTPResponse(_Stream(secured, deadline, self._timeout), method="GET")  # type: ignore[arg-type]  # all that it uses of a socket is `makefile`
            with response:
                response.begin()
                return _read(response, url)

    def _connected(self, host: str, port: int, deadline: Deadline) -> ssl.SSLSocket:
        """A verified connection to the first address that answers. The resolver knows no deadline of ours."""
        failure: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(deadline.step(self._timeout))
                plain.connect(address)
                plain.settimeout(deadline.step(self._timeout))
                # A connection cut off without TLS's own goodbye is an error, not the end of an answer.
                return self._context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)
            except ssl.SSLError:
                plain.close()
                raise
            except OSError as exc:
                plain.close()
                failure = exc
        raise failure


class _Stream:
    """What `http.client` needs of a socket: a reader whose every step is bounded by the deadline."""

    def __init__(self, secured: ssl.SSLSocket, deadline: Deadline, timeout: float) -> None:
        self._parts = (secured, deadline, timeout)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(*self._parts))


class _Reader(io.RawIOBase):
    def __init__(self, secured: ssl.SSLSocket, deadline: Deadline, timeout: float) -> None:
        self._secured, self._deadline, self._timeout = secured, deadline, timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._secured.settimeout(self._deadline.step(self._timeout))
        return self._secured.recv_into(buffer)


def _read(response: http.client.HTTPResponse, url: str) -> Reply:
    headers: dict[str, str] = {}
    for name, value in response.getheaders():
        headers.setdefault(name.lower(), value)
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise MalformedCollateral(
            "a reply is compressed", seen=f"{encoding} from {url}", wanted="identity, as asked for"
        )
    announced = response.length
    if announced is not None and announced > MAX_RESPONSE:
        raise _too_long(f"Content-Length {announced}", url)
    body = response.read(MAX_RESPONSE + 1)
    if len(body) > MAX_RESPONSE:
        raise _too_long(f"over {MAX_RESPONSE} bytes", url)
    if announced is not None and len(body) < announced:
        raise http.client.IncompleteRead(body, announced - len(body))
    return Reply(url=url, status=response.status, headers=headers, body=body)


def _too_long(seen: str, url: str) -> MalformedCollateral:
    return MalformedCollateral("a reply is too long", seen=f"{seen} from {url}", wanted=f"at most {MAX_RESPONSE} bytes")
