"""The simulated platform as a source of evidence, as applications see Gramine's attestation files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ambergate.simulator.cpu import EnclaveIdentity
    from ambergate.simulator.platform import SimulatedPlatform
    from ambergate.simulator.td import TdIdentity


@dataclass(frozen=True, slots=True)
class SimulatedEvidenceSource:
    """Quotes of one enclave on one simulated platform; fits the client's `EvidenceSource`."""

    platform: SimulatedPlatform
    enclave: EnclaveIdentity

    @property
    def tee(self) -> str:
        """The kind of environment, as the attestation service is told."""
        return "SGX"

    def quote(self, report_data: bytes, /) -> bytes:
        """A quote over exactly 64 bytes of report data.

        Raises:
            SettingsError: another number of bytes.
        """
        return self.platform.quote(self.enclave, report_data)


@dataclass(frozen=True, slots=True)
class SimulatedTdEvidenceSource:
    """Quotes of one TD on one simulated platform, of version 4; fits the client's `EvidenceSource`."""

    platform: SimulatedPlatform
    td: TdIdentity

    @property
    def tee(self) -> str:
        """The kind of environment, as the attestation service is told."""
        return "TDX"

    def quote(self, report_data: bytes, /) -> bytes:
        """A quote over exactly 64 bytes of report data.

        Raises:
            SettingsError: another number of bytes.
        """
        return self.platform.td_quote(self.td, report_data)
