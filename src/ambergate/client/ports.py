"""What the client asks of the platform it runs on."""

from __future__ import annotations

from typing import Final, Protocol

REPORT_DATA_SIZE: Final = 64  # bytes; REPORTDATA of SGX and TDX reports


class EvidenceSource(Protocol):
    """Something that makes evidence: a Gramine enclave's pseudo-files, or the software platform."""

    @property
    def tee(self) -> str:
        """The kind of trusted execution environment, as tokens name it: `"SGX"` or `"TDX"`."""
        ...

    def quote(self, report_data: bytes, /) -> bytes:
        """A quote over exactly `REPORT_DATA_SIZE` bytes.

        Raises:
            AmberError: no quote, and why.
        """
        ...
