"""Gramine's `/dev/attestation` on the software platform: the files' rules, without whoever serves them.

As in Gramine, what is written belongs to the process that wrote it; a quote is made when its file is opened, over the
64 bytes that this process wrote last, or over zeros. Unlike Gramine, which fills up what is shorter and cuts what is
longer, only values of the right length are taken: a program that passes here works there.
Gramine, libos/src/fs/dev/attestation.c.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from ambergate.core.measurements import ReportData
from ambergate.core.quote.report import write_enclave_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.simulator.cpu import EnclaveIdentity
    from ambergate.simulator.platform import SimulatedPlatform

ATTESTATION_TYPE: Final = b"dcap"
REPORT_DATA_SIZE: Final = ReportData.WIDTH
TARGET_INFO_SIZE: Final = 512  # bytes; SDM volume 3D, "TARGETINFO"
REPORT_SIZE: Final = 432  # bytes; SDM volume 3D, "REPORT": the body, then key id and MAC
_KEY_ID_SIZE: Final = 32
_KEY_SIZE: Final = 16  # bytes; a report's MAC is AES-128-CMAC
# MEASUREMENT, ATTRIBUTES, two octets, CONFIGSVN, MISCSELECT, eight octets, CONFIGID, the rest.
_TARGET_INFO: Final = struct.Struct("<32s16s2xHI8x64s384x")

MODES: Final = {
    "attestation_type": 0o444,
    "my_target_info": 0o444,
    "quote": 0o444,
    "report": 0o444,
    "target_info": 0o666,
    "user_report_data": 0o666,
}
MAX_PROCESSES: Final = 1024  # that have written and still run; our limit
_WRITTEN_SIZES: Final = {"user_report_data": REPORT_DATA_SIZE, "target_info": TARGET_INFO_SIZE}


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from another one that is given its number later."""

    pid: int
    started: int  # clock ticks after boot


def process_of(thread: int, proc: Path = Path("/proc")) -> Process | None:
    """The process that a thread belongs to; None when it has ended, or cannot be seen from here.

    The kernel tells a file system which thread asks; /proc finds a thread by its number as it finds processes.
    """
    try:
        status = (proc / str(thread) / "status").read_text("utf-8", "replace")
        pid = int(status.split("\nTgid:", 1)[1].split(None, 1)[0])
        # proc_pid_stat(5): the name, in parentheses, may hold anything; starttime is the 20th field after it.
        fields = (proc / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return Process(pid, int(fields[19]))
    except (OSError, IndexError, ValueError):
        return None


class AttestationFiles:
    """The files. Every operation raises `OSError` for its errno. Safe for any number of threads.

    Proves nothing about hardware: each quote is the software platform's, under its own root.

    Args:
        platform: quotes.
        enclave: who every asking process is taken for.
        running: the process as it is now, by its number; None when it has ended.
    """

    def __init__(
        self,
        platform: SimulatedPlatform,
        enclave: EnclaveIdentity,
        *,
        running: Callable[[int], Process | None] = process_of,
    ) -> None:
        self._platform = platform
        self._enclave = enclave
        self._running = running
        self._lock = threading.Lock()
        self._written: dict[Process, dict[str, bytes]] = {}
        self._quote_size = len(platform.quote(enclave, bytes(REPORT_DATA_SIZE)))

    def size(self, name: str) -> int:
        """How long the file's value is."""
        return {
            "attestation_type": len(ATTESTATION_TYPE),
            "my_target_info": TARGET_INFO_SIZE,
            "quote": self._quote_size,
            "report": REPORT_SIZE,
            **_WRITTEN_SIZES,
        }[name]

    def content(self, name: str, process: Process) -> bytes:
        """The file's value, as this process finds it when it opens the file."""
        if name == "attestation_type":
            return ATTESTATION_TYPE
        if name == "my_target_info":
            return target_info(self._enclave)
        if name == "quote":
            return self._platform.quote(self._enclave, self._value("user_report_data", process))
        if name == "report":
            return self._report(self._value("user_report_data", process), self._value("target_info", process))
        return self._value(name, process)

    def write(self, name: str, value: bytes, offset: int, process: Process) -> int:
        """Take a whole value; nothing else is one."""
        if name not in _WRITTEN_SIZES:
            raise _failed(errno.EACCES, name)
        if offset != 0 or len(value) != _WRITTEN_SIZES[name]:
            raise _failed(errno.EINVAL, name)
        with self._lock:
            if process not in self._written:
                self._make_room()
            self._written.setdefault(process, {})[name] = value
        return len(value)

    def _value(self, name: str, process: Process) -> bytes:
        with self._lock:
            return self._written.get(process, {}).get(name, bytes(_WRITTEN_SIZES[name]))

    def _make_room(self) -> None:
        """Forget processes that have ended, once there are many."""
        if len(self._written) < MAX_PROCESSES:
            return
        self._written = {one: kept for one, kept in self._written.items() if self._running(one.pid) == one}
        if len(self._written) >= MAX_PROCESSES:
            raise _failed(errno.ENOSPC, "too many processes")

    def _report(self, report_data: bytes, target: bytes) -> bytes:
        """EREPORT for a target. Its key is this platform's, and nothing here checks the MAC."""
        body = write_enclave_report(self._platform.report(self._enclave, report_data))
        secret = self._platform.state.attestation_key.private_numbers().private_value.to_bytes(32, "big")
        mac = CMAC(AES(hashlib.shake_256(b"report key\0" + secret + target).digest(_KEY_SIZE)))
        mac.update(body)
        return body + bytes(_KEY_ID_SIZE) + mac.finalize()


def target_info(enclave: EnclaveIdentity) -> bytes:
    """TARGETINFO by which others would report to this enclave."""
    return _TARGET_INFO.pack(
        enclave.mr_enclave.value,
        enclave.attributes.value,
        enclave.config_svn,
        enclave.misc_select,
        enclave.config_id,
    )


def _failed(number: int, what: str) -> OSError:
    return OSError(number, os.strerror(number), what)
