"""Which trusted execution environment this process runs in. Never answers with a simulated one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ambergate.attester.gramine import GramineEnclave
from ambergate.core.errors import Unavailable

GRAMINE_ROOT: Final = Path("/dev/attestation")
NO_EVIDENCE: Final = "no-evidence-source"  # code of the error when there is no such environment


def detect(root: Path = GRAMINE_ROOT) -> GramineEnclave:
    """The source of evidence of this process.

    Args:
        root: where Gramine shows its pseudo-files.

    Raises:
        Unavailable: (`no-evidence-source`) this process is in no environment that we know.
        SettingsError: it is in Gramine, and the manifest does not ask for DCAP attestation.
    """
    if not root.is_dir():
        raise Unavailable(
            "this process runs in no trusted execution environment",
            code=NO_EVIDENCE,
            seen=f"no {root}",
            hint="run it under gramine-sgx, or with --simulate on the software platform",
        )
    enclave = GramineEnclave(root)
    enclave.check()  # tells at the start, not at the first token, that Gramine was not told
    return enclave
