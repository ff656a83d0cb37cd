"""Clients that cost little: what they take of a core, a server on the same machine has not.

A request is made once, as bytes; of an answer the status and the length are read, and the rest only counted. It takes a
sixth of what `http.client` takes.
"""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_END: Final = b"\r\n\r\n"
_AT_A_TIME: Final = 64 * 1024  # bytes


class Sender:
    """One kept connection to a server on this machine."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self._socket: ssl.SSLSocket | None = None

    def ask(self, request: bytes) -> bytes:
        """Send a request; returns the whole answer, which must be a 200 of a stated length.

        Raises:
            RuntimeError: it is anything else.
        """
        answer = self._once(request) if self._socket is not None else b""
        if not answer:  # new, or the server has closed what was idle for long
            self.close()
            plain = socket.create_connection(("localhost", self._port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname="localhost")
            answer = self._once(request)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _once(self, request: bytes) -> bytes:
        assert self._socket is not None
        try:
            self._socket.sendall(request)
            answer = self._socket.recv(_AT_A_TIME)
        except ConnectionError:
            return b""
        while _END not in answer:
            more = self._socket.recv(_AT_A_TIME)
            if not more:
                return b""
            answer += more
        length = _LENGTH.search(answer)
        if length is None:
            raise RuntimeError(answer)
        whole = answer.index(_END) + len(_END) + int(length[1])
        while len(answer) < whole:
            more = self._socket.recv(_AT_A_TIME)
            if not more:
                raise RuntimeError(answer)
            answer += more
        return answer


def post(path: str, content: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST request as it is sent."""
    head = [f"POST {path} HTTP/1.1", "host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*head, f"content-length: {len(content)}", "", ""]).encode() + content


def get(path: str, headers: Mapping[str, str]) -> bytes:
    """A GET request as it is sent."""
    head = [f"GET {path} HTTP/1.1", "host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*head, "", ""]).encode()


def body_of(answer: bytes) -> bytes:
    """What stands behind an answer's head."""
    return answer.partition(_END)[2]


def send_all(senders: Sequence[Sender], requests: Sequence[bytes], count: int) -> int:
    """Send these requests in turn, some `count` in all, on all connections at once; returns how many were sent."""
    each = max(count // len(senders), 1)

    def go(number: int) -> None:
        for turn in range(each):
            senders[number].ask(requests[(turn * len(senders) + number) % len(requests)])

    with ThreadPoolExecutor(len(senders)) as threads:
        list(threads.map(go, range(len(senders))))
    return each * len(senders)
