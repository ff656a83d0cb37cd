"""Frames between an engine and its workers: four bytes of length, most significant first, and so many bytes of JSON."""

from __future__ import annotations

import os
from typing import Final

MAX_ANSWER: Final = 256 * 1024  # bytes; a policy's values
MAX_REQUEST: Final = 1024 * 1024  # bytes; a policy of 20 KiB with its probes, and claims


def write_frame(descriptor: int, body: bytes) -> None:
    """Write all of it."""
    left = memoryview(len(body).to_bytes(4, "big") + body)
    while left:
        left = left[os.write(descriptor, left) :]


def read_frame(descriptor: int) -> bytes | None:
    """The next request; None: nobody will ask again."""
    head = _exactly(descriptor, 4)
    if len(head) < 4:
        return None
    body = _exactly(descriptor, min(int.from_bytes(head, "big"), MAX_REQUEST))
    return body or None


def _exactly(descriptor: int, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = os.read(descriptor, min(size - len(found), 65536))
        if not piece:
            break
        found += piece
    return bytes(found)
