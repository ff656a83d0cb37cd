"""Clients that cost little: what they take of a core, a server on the same machine has not.

A request is made once, as bytes; of an answer the status and the length are read, and the rest only counted.
"""

from __future__ import annotations

import itertools
import re
import select
import selectors
import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_END: Final = b"\r\n\r\n"
_AT_A_TIME: Final = 64 * 1024  # bytes
_LONG: Final = 1.0  # seconds without a request after which a server may close a connection; ours waits for five


class Sender:
    """One kept connection to a server on this machine."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self._socket: ssl.SSLSocket | None = None
        self._used = 0.0

    def ask(self, request: bytes) -> bytes:
        """Send a request; returns the whole answer, which must be a 200 of a stated length.

        Raises:
            RuntimeError: it is anything else.
        """
        self.send(request)
        return self.answer()

    def send(self, request: bytes) -> ssl.SSLSocket:
        """Send a request; returns what its answer will come from."""
        idle = time.monotonic() - self._used
        if self._socket is None or (idle > _LONG and _has_more(self._socket)):  # new, or the server has closed it
            self.close()
            plain = socket.create_connection(("localhost", self._port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname="localhost")
        self._used = time.monotonic()
        self._socket.sendall(request)
        return self._socket

    def answer(self) -> bytes:
        """The whole answer to what was sent; raises as `ask` does."""
        answer = self._more(b"")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(answer)
        while _END not in answer:
            answer += self._more(answer)
        length = _LENGTH.search(answer)
        if length is None:
            raise RuntimeError(answer)
        whole = answer.index(_END) + len(_END) + int(length[1])
        while len(answer) < whole:
            answer += self._more(answer)
        return answer

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _more(self, so_far: bytes) -> bytes:
        assert self._socket is not None
        more = self._socket.recv(_AT_A_TIME)
        if not more:
            raise RuntimeError(so_far)
        return more


def _has_more(connection: socket.socket) -> bool:
    """Whether there is something to read where no answer is awaited: that is the end."""
    return bool(select.select([connection], [], [], 0)[0])


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


def send_all(senders: Sequence[Sender], requests: Sequence[bytes], count: int) -> None:
    """Send so many requests, these in turn, on all connections at once.

    By one thread: threads that wait for each other take as much again.
    """
    to_send = itertools.islice(itertools.cycle(requests), count)
    with selectors.DefaultSelector() as awaited:
        for sender, request in zip(senders, to_send, strict=False):
            awaited.register(sender.send(request), selectors.EVENT_READ, sender)
        while awaited.get_map():
            for key, _ in awaited.select():
                key.data.answer()
                following = next(to_send, None)
                if following is None:
                    awaited.unregister(key.fileobj)
                else:
                    key.data.send(following)
