"""The network as a published client sees it: names, TLS, bytes. No HTTP library tidies anything up."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.attestation.scene import Service

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """An answer as it came: header names in their own case, in their own order."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """By exact case, as some clients look it up."""
        return next((value for each, value in self.headers if each == name), None)

    def object(self) -> dict[str, Any]:
        """A JSON object, or a failed assertion."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True)
class Network:
    """Leads the service's public name to its socket; certificates are checked for the name, as anywhere."""

    service: Service
    ca: Path

    def context(self, version: ssl.TLSVersion | None = None, ciphers: str | None = None) -> ssl.SSLContext:
        """What a client offers: every version from TLS 1.2 on, or one alone; suites of TLS 1.2."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.minimum_version = version or ssl.TLSVersion.TLSv1_2
        if version is not None:
            context.maximum_version = version
        if ciphers is not None:
            context.set_ciphers(ciphers)
        return context

    def exchange(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes | None = None,
        *,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """One request, sent as these bytes, and its answer."""
        parts = urlsplit(url)
        assert parts.scheme == "https", "every client of this protocol insists on it"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.insert(1, f"Host: {parts.netloc}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        request = "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
        with (
            socket.create_connection(("127.0.0.1", self.service.port), timeout=20) as plain,
            (context or self.context()).wrap_socket(plain, server_hostname=parts.hostname) as connection,
        ):
            connection.sendall(request)
            return _read(connection)


def _read(connection: ssl.SSLSocket) -> Answer:
    """By Content-Length alone: not every client of this protocol reads chunks."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, "the connection ended inside the head"
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]
    length = int(next(value for name, value in headers if name.lower() == "content-length"))
    while len(rest) < length:
        piece = connection.recv(65536)
        assert piece, "the connection ended inside the body"
        rest += piece
    assert len(rest) == length
    return Answer(int(status.split(" ")[1]), headers, rest)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads`: a strict decoder's object."""
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)
