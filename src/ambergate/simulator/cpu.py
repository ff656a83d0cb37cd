"""The processor's part: what an enclave is, how it is measured, and EREPORT.

A measurement here is built like the processor's (ECREATE, EADD, EEXTEND records under SHA-256, Intel SDM volume 3D,
section 38.1), over the simulator's own memory layout: it is not the MRENCLAVE that SGX would give the same program.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ambergate.core.errors import SettingsError
from ambergate.core.measurements import Attributes, CpuSvn, MrEnclave, MrSigner, ReportData
from ambergate.core.quote.report import EnclaveReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PAGE: Final = 4096  # bytes
CHUNK: Final = 256  # bytes measured by one EEXTEND, as by one MR.EXTEND of a TDX module
_SSA_FRAME_SIZE: Final = 1  # pages
# SECINFO.FLAGS: readable (1) and executable (4), regular page (2 << 8); SDM volume 3D, table "SECINFO.FLAGS".
_REGULAR_READ_EXECUTE: Final = 0x205

# ATTRIBUTES.FLAGS: SDM volume 3D, table "Layout of ATTRIBUTES Structure".
_INIT: Final = 0x01
_MODE64: Final = 0x04
_PROVISION_KEY: Final = 0x10
# XFRM: x87, SSE, AVX, and the AVX-512 states, as a current server processor enables them.
_XFRM: Final = 0xE7

# Who "signs" programs on the simulated platform. No key has this hash: the simulator has no enclave signing.
SIMULATED_SIGNER: Final = MrSigner(hashlib.sha256(b"ambergate simulator: enclave developer").digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveIdentity:
    """An enclave as EREPORT describes it, whatever it is about to report."""

    mr_enclave: MrEnclave
    mr_signer: MrSigner
    isv_prod_id: int = 0
    isv_svn: int = 0
    debug: bool = False
    provision_key: bool = False
    misc_select: int = 0
    config_id: bytes = bytes(64)
    config_svn: int = 0
    isv_family_id: bytes = bytes(16)
    isv_ext_prod_id: bytes = bytes(16)

    @classmethod
    def of_program(cls, files: Iterable[Path | bytes], *, isv_svn: int = 0, debug: bool = False) -> Self:
        """The enclave of a program on the simulated platform, signed by the simulated developer.

        Raises:
            SettingsError: a file cannot be read, or there is none.
        """
        return cls(mr_enclave=measure(files), mr_signer=SIMULATED_SIGNER, isv_svn=isv_svn, debug=debug)

    @property
    def attributes(self) -> Attributes:
        """Flags and XFRM as the processor reports them: initialised, 64-bit."""
        flags = _INIT | _MODE64
        flags |= Attributes.DEBUG if self.debug else 0
        flags |= _PROVISION_KEY if self.provision_key else 0
        return Attributes(struct.pack("<QQ", flags, _XFRM))


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor with its microcode's security version."""

    cpu_svn: CpuSvn

    def ereport(self, enclave: EnclaveIdentity, report_data: ReportData) -> EnclaveReport:
        """What the processor says of a running enclave; `report_data` is the enclave's own word."""
        return EnclaveReport(
            cpu_svn=self.cpu_svn,
            misc_select=enclave.misc_select,
            isv_ext_prod_id=enclave.isv_ext_prod_id,
            attributes=enclave.attributes,
            mr_enclave=enclave.mr_enclave,
            mr_signer=enclave.mr_signer,
            config_id=enclave.config_id,
            isv_prod_id=enclave.isv_prod_id,
            isv_svn=enclave.isv_svn,
            config_svn=enclave.config_svn,
            isv_family_id=enclave.isv_family_id,
            report_data=report_data,
        )


def measure(files: Iterable[Path | bytes]) -> MrEnclave:
    """The simulated MRENCLAVE of a program: same bytes in the same order, same measurement.

    The first pages hold the number of files and the length of each, so that no two lists of files share a
    measurement; every file then starts on a page of its own. Names do not count.

    Args:
        files: the program, piece by piece: paths to read, or bytes.

    Raises:
        SettingsError: a file cannot be read, or there is none.
    """
    return _build_log(pieces_of(files))


def pieces_of(files: Iterable[Path | bytes]) -> list[bytes]:
    """What is measured of a program: the number of files and the length of each, then the files.

    Raises:
        SettingsError: a file cannot be read, or there is none.
    """
    pieces = [_read(file) for file in files]
    if not pieces:
        raise SettingsError("a program without files cannot be measured", seen="no file", wanted="at least one")
    return [struct.pack(f"<{len(pieces) + 1}Q", len(pieces), *(len(piece) for piece in pieces)), *pieces]


def pages_of(piece: bytes) -> Iterator[bytes]:
    """The piece page by page, the last one filled up with zeros."""
    for start in range(0, len(piece), PAGE):
        yield piece[start : start + PAGE].ljust(PAGE, b"\0")


def _read(file: Path | bytes) -> bytes:
    if isinstance(file, bytes):
        return file
    try:
        return file.read_bytes()
    except OSError as exc:
        raise SettingsError(
            f"the program file {file} cannot be read",
            seen=exc.strerror,
            wanted="a readable file",
            hint="check the path",
        ) from exc


def _build_log(pieces: list[bytes]) -> MrEnclave:
    """SHA-256 over the 64-byte records of ECREATE, EADD and EEXTEND and the data, as the processor keeps it."""
    pages = sum(-(-len(piece) // PAGE) for piece in pieces)
    size = PAGE << (pages - 1).bit_length()  # an enclave's size is a power of two
    log = hashlib.sha256(struct.pack("<8sIQ44x", b"ECREATE", _SSA_FRAME_SIZE, size))
    offset = 0
    for page in (page for piece in pieces for page in pages_of(piece)):
        log.update(_page_records(offset, page))
        offset += PAGE
    return MrEnclave(log.digest())


def _page_records(offset: int, page: bytes) -> bytes:
    """EADD of one page, then an EEXTEND for each 256 bytes of it."""
    records = [struct.pack("<8sQQ40x", b"EADD", offset, _REGULAR_READ_EXECUTE)]
    for start in range(0, PAGE, CHUNK):
        records.append(struct.pack("<8sQ48x", b"EEXTEND", offset + start))
        records.append(page[start : start + CHUNK])
    return b"".join(records)
