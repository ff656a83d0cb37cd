"""The TDX module's part: what a TD is, how it is measured, and TDREPORT.

A measurement here is built like the TDX module's (MEM.PAGE.ADD and MR.EXTEND records under SHA-384, Intel "TDX Module
Base Architecture Specification", "MRTD: Build-Time Measurement Register"), over the simulator's own memory layout: it
is not the MRTD that a TDX module would give the same image.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ambergate.core.measurements import (
    Measurement384,
    MrSeam,
    MrSignerSeam,
    MrTd,
    ReportData,
    Rtmr,
    TdAttributes,
    TeeTcbSvn,
)
from ambergate.core.quote.td_report import TdReport
from ambergate.simulator.cpu import CHUNK, PAGE, pages_of, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# TD ATTRIBUTES: Intel "TDX Module ABI Specification", "ATTRIBUTES".
_DEBUG: Final = 1 << 0
_SEPT_VE_DISABLE: Final = 1 << 28
# XFAM: x87, SSE, AVX, AVX-512, PKRU and AMX states, as a TD on a current server processor has them.
_XFAM: Final = struct.pack("<Q", 0x602E7)
_ZERO: Final = Measurement384(bytes(Measurement384.WIDTH))
_UNUSED: Final = Rtmr(bytes(Rtmr.WIDTH))
_INTEL: Final = MrSignerSeam(bytes(MrSignerSeam.WIDTH))  # who signs TDX modules: zeros stand for Intel

# Version of the simulated TDX module, and its ISVSVN; the third octet is the microcode's.
MODULE_VERSION: Final = 1
MODULE_ISV_SVN: Final = 5
_MICROCODE_SVN: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TdIdentity:
    """A trust domain as TDREPORT describes it, whatever it is about to report."""

    mr_td: MrTd
    rtmrs: tuple[Rtmr, Rtmr, Rtmr, Rtmr] = (_UNUSED, _UNUSED, _UNUSED, _UNUSED)
    debug: bool = False
    sept_ve_disable: bool = True
    xfam: bytes = _XFAM
    mr_config_id: Measurement384 = _ZERO
    mr_owner: Measurement384 = _ZERO
    mr_owner_config: Measurement384 = _ZERO
    mr_service_td: Measurement384 = _ZERO

    @classmethod
    def of_image(cls, files: Iterable[Path | bytes], *, debug: bool = False) -> Self:
        """The TD of an image on the simulated platform, before anything extended a run-time register.

        Raises:
            SettingsError: a file cannot be read, or there is none.
        """
        return cls(mr_td=measure_td(files), debug=debug)

    @property
    def attributes(self) -> TdAttributes:
        """The eight octets of TD ATTRIBUTES."""
        bits = (_DEBUG if self.debug else 0) | (_SEPT_VE_DISABLE if self.sept_ve_disable else 0)
        return TdAttributes(struct.pack("<Q", bits))


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxModule:
    """A TDX module with its security versions; Intel's is signed by zeros and has no attributes."""

    tee_tcb_svn: TeeTcbSvn
    mr_seam: MrSeam
    mr_signer_seam: MrSignerSeam = _INTEL
    seam_attributes: bytes = bytes(8)
    running: TeeTcbSvn | None = None  # what the platform runs today; what the TD was launched under when not given

    def tdreport(self, td: TdIdentity, report_data: ReportData, *, extended: bool = False) -> TdReport:
        """What the module says of a running TD; `report_data` is the TD's own word.

        Args:
            td: who reports.
            report_data: 64 bytes of the TD's choice.
            extended: a report of version 1.5, which only a version 5 quote can hold.
        """
        return TdReport(
            tee_tcb_svn=self.tee_tcb_svn,
            mr_seam=self.mr_seam,
            mr_signer_seam=self.mr_signer_seam,
            seam_attributes=self.seam_attributes,
            td_attributes=td.attributes,
            xfam=td.xfam,
            mr_td=td.mr_td,
            mr_config_id=td.mr_config_id,
            mr_owner=td.mr_owner,
            mr_owner_config=td.mr_owner_config,
            rtmrs=td.rtmrs,
            report_data=report_data,
            tee_tcb_svn2=(self.running or self.tee_tcb_svn) if extended else None,
            mr_service_td=td.mr_service_td if extended else None,
        )


def module_svn(
    isv_svn: int = MODULE_ISV_SVN, version: int = MODULE_VERSION, microcode: int = _MICROCODE_SVN
) -> TeeTcbSvn:
    """TEE_TCB_SVN of a module: its ISVSVN, its version, and the microcode that it was launched on."""
    return TeeTcbSvn(bytes((isv_svn, version, microcode)).ljust(TeeTcbSvn.WIDTH, b"\0"))


# The module of every simulated platform. The hash stands for no program.
TDX_MODULE: Final = TdxModule(
    tee_tcb_svn=module_svn(),
    mr_seam=MrSeam(hashlib.sha384(b"ambergate simulator: TDX module").digest()),
)


def measure_td(files: Iterable[Path | bytes]) -> MrTd:
    """The simulated MRTD of an image: same bytes in the same order, same measurement.

    The layout of its pages is `cpu.measure`'s: first the lengths, then every file on pages of its own.

    Raises:
        SettingsError: a file cannot be read, or there is none.
    """
    log = hashlib.sha384()
    for number, page in enumerate(page for piece in pieces_of(files) for page in pages_of(piece)):
        log.update(struct.pack("<12s4xQ104x", b"MEM.PAGE.ADD", number * PAGE))
        for start in range(0, PAGE, CHUNK):
            log.update(struct.pack("<9s7xQ104x", b"MR.EXTEND", number * PAGE + start))
            log.update(page[start : start + CHUNK])
    return MrTd(log.digest())
