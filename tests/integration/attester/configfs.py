"""A fake of Linux' configfs-tsm: its directory protocol by FUSE, its quotes by a software platform.

As drivers/virt/coco/tsm.c and fs/configfs behave: mkdir makes an entry with its files; what is written to `inblob`
counts when the file is closed, and lets `generation` grow by one; `outblob` fails with EINVAL before that, and is made
at its first read after each write; rmdir removes an entry with its files, which cannot be removed one by one.

    python configfs.py MOUNTPOINT PLATFORM JSON

JSON names what goes wrong: `mkdir`, `outblob`: an errno; `provider`; `intruders`: how many reads of `outblob` are
preceded by somebody else's write; `deaf`: writes are lost; `generation`, `answer` (in hex), `flood`: what is read
instead; `version`: of the quotes.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

from ambergate.attester.pseudofiles import MAX_QUOTE
from ambergate.devices import fuse
from ambergate.simulator.faults import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

MODES: Final = {"inblob": 0o200, "outblob": 0o444, "auxblob": 0o444, "generation": 0o444, "provider": 0o444}
MAX_INBLOB: Final = 64  # bytes; TSM_INBLOB_MAX


class FileInfo(Protocol):
    """What libfuse keeps of an open file."""

    fh: int
    direct_io: int


def fail(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


@dataclass
class Entry:
    """One report of the kernel's."""

    inblob: bytes = b""
    outblob: bytes | None = None
    written: int = 0
    made: int = 0


@dataclass
class Handle:
    """One open file."""

    entry: Entry
    name: str
    written: bytes | None = None
    content: bytes | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class ConfigfsTsm:
    """The operations in mfusepy's form."""

    use_ns = True

    def __init__(self, platform: SimulatedPlatform, faults: dict[str, Any]) -> None:
        self._platform = platform
        self._faults = faults
        self._intruders = int(faults.get("intruders", 0))
        self._entries: dict[str, Entry] = {}
        self._handles: dict[int, Handle] = {}
        self._lock = threading.RLock()
        self._next = 1

    def init(self, _path: str) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    def getattr(self, path: str, _fi: object = None) -> dict[str, int]:
        parts = path.strip("/").split("/") if path != "/" else []
        with self._lock:
            if parts and parts[0] not in self._entries:
                fail(errno.ENOENT)
        if len(parts) < 2:
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        return {"st_mode": stat.S_IFREG | self._mode(parts), "st_nlink": 1, "st_size": 4096}

    @staticmethod
    def _mode(parts: list[str]) -> int:
        if len(parts) > 2 or parts[1] not in MODES:
            fail(errno.ENOENT)
        return MODES[parts[1]]

    def readdir(self, path: str, _fh: object) -> list[str]:
        with self._lock:
            return [".", "..", *(self._entries if path == "/" else MODES)]

    def mkdir(self, path: str, _mode: int) -> int:
        name = path[1:]
        if self._faults.get("mkdir"):
            fail(int(self._faults["mkdir"]))
        if "/" in name:
            fail(errno.EPERM)
        with self._lock:
            self._entries[name] = Entry()
        return 0

    def rmdir(self, path: str) -> int:
        with self._lock:
            if self._entries.pop(path[1:], None) is None:
                fail(errno.ENOENT if "/" not in path[1:] else errno.ENOTDIR)
        return 0

    def create(self, _path: str, _mode: int, _fi: object) -> int:
        fail(errno.EACCES)

    def unlink(self, _path: str) -> int:
        fail(errno.EPERM)

    def open(self, path: str, fi: FileInfo) -> int:
        name, file = path[1:].split("/")
        with self._lock:
            fi.fh, self._next = self._next, self._next + 1
            self._handles[fi.fh] = Handle(self._entries[name], file)
        fi.direct_io = 1
        return 0

    def write(self, _path: str, data: bytes, offset: int, fi: FileInfo) -> int:
        handle = self._handles[fi.fh]
        whole = (handle.written or b"")[:offset] + data
        if len(whole) > MAX_INBLOB:
            fail(errno.EFBIG)
        handle.written = whole
        return len(data)

    def flush(self, _path: str, fi: FileInfo) -> int:
        """The kernel stores a binary value when its file is closed."""
        handle = self._handles[fi.fh]
        with self._lock:
            if handle.written is not None and not self._faults.get("deaf"):
                handle.entry.inblob = handle.written
                handle.entry.written += 1
            handle.written = None
        return 0

    def release(self, _path: str, fi: FileInfo) -> int:
        self._handles.pop(fi.fh, None)
        return 0

    def read(self, _path: str, size: int, offset: int, fi: FileInfo) -> bytes:
        handle = self._handles[fi.fh]
        with handle.lock:
            if handle.content is None:
                handle.content = self._content(handle)
        return handle.content[offset : offset + size]

    def _content(self, handle: Handle) -> bytes:
        if handle.name == "provider":
            return f"{self._faults.get('provider', 'tdx_guest')}\n".encode()
        if handle.name == "generation":
            return str(self._faults.get("generation", handle.entry.written)).encode() + b"\n"
        return self._outblob(handle.entry) if handle.name == "outblob" else b""

    def _outblob(self, entry: Entry) -> bytes:
        with self._lock:
            if self._intruders > 0:
                self._intruders -= 1
                entry.inblob, entry.written = b"\xff" * MAX_INBLOB, entry.written + 1
            if not entry.inblob:
                fail(errno.EINVAL)
            if entry.outblob is not None and entry.made == entry.written:
                return entry.outblob
            if self._faults.get("outblob"):
                fail(int(self._faults["outblob"]))
            if len(entry.inblob) != MAX_INBLOB:
                fail(errno.EINVAL)
            entry.outblob, entry.made = self._quote(entry.inblob), entry.written
            return entry.outblob

    def _quote(self, report_data: bytes) -> bytes:
        if self._faults.get("flood"):
            return bytes(MAX_QUOTE + 1)
        if "answer" in self._faults:
            return bytes.fromhex(self._faults["answer"])
        return self._platform.td_quote(TD_SPECIMEN, report_data, version=int(self._faults.get("version", 4)))


def main() -> None:
    """Serve until a signal."""
    mountpoint, directory, faults = sys.argv[1:]
    platform = SimulatedPlatform.load(Path(directory))
    found = fuse.library()
    assert found is not None
    os.environ["FUSE_LIBRARY_PATH"] = found[0]
    import mfusepy  # noqa: PLC0415 - it looks for its library when it is imported

    operations = ConfigfsTsm(platform, json.loads(faults))
    mfusepy.FUSE(operations, mountpoint, raw_fi=True, foreground=True, fsname="configfs", default_permissions=True)


if __name__ == "__main__":
    main()
