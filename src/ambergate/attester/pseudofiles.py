"""Reading and writing the pseudo-files by which a platform makes evidence: a whole value at a time, and bounded."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

REPORT_DATA_SIZE: Final = 64  # bytes; REPORTDATA of SGX and TDX reports
MAX_QUOTE: Final = 256 * 1024  # bytes; our limit, and the client's: deployed quotes have about 5 KiB
MAX_WORD: Final = 256  # bytes; our limit for files that hold one word or one number
_CHUNK: Final = 16 * 1024  # bytes for one read


def read_whole(path: Path, *, limit: int) -> bytes:
    """The file's value, to its end.

    Raises:
        OSError: as the file system says it.
        Unavailable: (`no-end`) there is more than `limit` bytes.
    """
    chunks: list[bytes] = []
    size = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(descriptor, _CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise Unavailable(f"{path} has no end", code="no-end", wanted=f"<= {limit} bytes")
    finally:
        os.close(descriptor)
    return b"".join(chunks)


def write_once(path: Path, value: bytes) -> None:
    """All bytes in one write: such files take each write as a whole value.

    Raises:
        OSError: as the file system says it.
        Unavailable: (`short-write`) it took a part of them only.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        written = os.write(descriptor, value)
    finally:
        os.close(descriptor)
    if written != len(value):
        raise Unavailable(f"{path} took a part of the bytes only", code="short-write", seen=written, wanted=len(value))


def word_of(value: bytes) -> str:
    """The word in a file of one word, whether it ends as lines do or as C strings do."""
    return value.decode("ascii", "replace").strip("\0\n ")


def require_report_data(report_data: bytes) -> None:
    """Refuse report data of another length than a report holds.

    Raises:
        ValueError: it has another length.
    """
    if len(report_data) != REPORT_DATA_SIZE:
        message = f"report data is {REPORT_DATA_SIZE} bytes, got {len(report_data)}"
        raise ValueError(message)


def told(error: OSError) -> str:
    """What the file system said, in its words and by its name."""
    return f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})"
