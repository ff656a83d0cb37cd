"""Which trusted execution environment this process runs in. Never answers with a simulated one.

Gramine first: an enclave may run inside a TDX machine, and it is the enclave whose program is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.attester.gramine import GramineEnclave
from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from ambergate.attester.tdx import TdxMachine

GRAMINE_ROOT: Final = Path("/dev/attestation")
TSM_ROOT: Final = Path("/sys/kernel/config/tsm/report")
# A TDX machine without configfs-tsm has these; without quotes they are of no use to us. The former name is Linux',
# the latter the one of kernels by Intel before Linux knew TDX.
TDX_DEVICES: Final = (Path("/dev/tdx_guest"), Path("/dev/tdx-guest"))
NO_EVIDENCE: Final = "no-evidence-source"  # code of the error when there is no such environment


def detect(
    root: Path = GRAMINE_ROOT, tsm: Path = TSM_ROOT, devices: tuple[Path, ...] = TDX_DEVICES
) -> GramineEnclave | TdxMachine:
    """The source of evidence of this process.

    The first environment that shows itself is taken, and its failure is told: nothing is tried in its place.

    Args:
        root: where Gramine shows its pseudo-files.
        tsm: where Linux' configfs-tsm takes requests for quotes.
        devices: what tells a TDX machine even when configfs-tsm is not there.

    Raises:
        Unavailable: (`no-evidence-source`) this process is in no environment that we know; another code: it is in a
            TDX machine that gives no quotes.
        SettingsError: it is in Gramine, and the manifest does not ask for DCAP attestation.
    """
    # Either tells at the start, not at the first token, that the platform was not set up.
    if root.is_dir():
        enclave = GramineEnclave(root)
        enclave.check()
        return enclave
    if tsm.is_dir():
        from ambergate.attester.tdx import TdxMachine  # noqa: PLC0415 - costs no enclave anything

        machine = TdxMachine(tsm)
        machine.check()
        return machine
    device = next((path for path in devices if path.exists()), None)
    raise Unavailable(
        "this process runs in no trusted execution environment",
        code=NO_EVIDENCE,
        seen=f"no {root} (Gramine), no {tsm} (TDX)" + (f", but {device}" if device else ""),
        wanted="one of them",
        hint=_next_step(device),
    )


def _next_step(device: Path | None) -> str:
    if device is not None:
        return (
            "this is a TDX machine without configfs-tsm: it takes Linux 6.7 or later, modprobe tdx_guest, and "
            "mount -t configfs none /sys/kernel/config (in a container, give it that directory)"
        )
    return "run it under gramine-sgx or in a TDX machine, or with --simulate on the software platform"
