"""What shim and agent say to each other; `shim/exchange.c` is the other side.

request     "AMB1", flags of open(2) (4 bytes), length of the name (1 byte), the name
reply       errno (4 bytes; 0: yes), length of the content (4 bytes), the content

Numbers are in the machine's own order: both ends are on one machine, and inside Gramine in one instance.
"""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"AMB1"
_REQUEST: Final = struct.Struct("=4sIB")
_REPLY: Final = struct.Struct("=II")
# All that the files look at.
_FLAGS: Final = os.O_ACCMODE | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Request:
    """A file is to be opened.

    Attributes:
        name: below the directory; any text.
        flags: of open(2), those that count here.
    """

    name: str
    flags: int

    @property
    def writes(self) -> bool:
        """Whether the open may write."""
        return self.flags & os.O_ACCMODE != os.O_RDONLY

    @property
    def reads(self) -> bool:
        """Whether the open may read."""
        return self.flags & os.O_ACCMODE != os.O_WRONLY


def request_in(received: bytes) -> Request | None:
    """The request in what came; None while it is not complete.

    Raises:
        ValueError: it is none, or there is more behind it.
    """
    if not received.startswith(MAGIC[: len(received)]):
        raise ValueError("no request of the shim")
    if len(received) < _REQUEST.size:
        return None
    _, flags, size = _REQUEST.unpack_from(received)
    end = _REQUEST.size + size
    if len(received) > end:
        raise ValueError("there is more than a request")
    if len(received) < end:
        return None
    return Request(received[_REQUEST.size :].decode("utf-8", "replace"), flags & _FLAGS)


def answer(content: bytes) -> bytes:
    """The reply to an open that succeeded."""
    return _REPLY.pack(0, len(content)) + content


def refusal(error: OSError) -> bytes:
    """The reply to an open that failed."""
    return _REPLY.pack(error.errno or errno.EIO, 0)
