"""All that is looked at, in the order in which a person would mend it.

findings = examine(host)
usable(findings)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.doctor import hardware, quoting, surroundings
from ambergate.doctor.findings import Weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ambergate.doctor.findings import Finding
    from ambergate.doctor.host import Host

_INSIDE: Final = (surroundings.gramine, surroundings.clock)
_ON_A_HOST: Final = (
    hardware.processor,
    hardware.kernel,
    hardware.nodes,
    hardware.memory,
    quoting.aesm,
    quoting.provider,
    quoting.qcnl,
    quoting.azure,
    surroundings.clock,
    surroundings.fuse,
)
_IN_A_TD: Final = (surroundings.tdx, surroundings.clock, surroundings.fuse)


def examine(host: Host) -> list[Finding]:
    """Every finding. Inside Gramine nothing of the host can be seen; a TDX machine needs nothing of SGX."""
    looks: tuple[Callable[[Host], Iterator[Finding]], ...] = _ON_A_HOST
    if host.exists("/dev/attestation"):
        looks = _INSIDE
    elif "tdx_guest" in (host.text("/proc/cpuinfo") or ""):
        looks = _IN_A_TD
    return [finding for look in looks for finding in look(host)]


def usable(findings: Sequence[Finding]) -> bool:
    """Whether quotes can be had here, as far as can be seen: nothing is missing."""
    return all(finding.weight is not Weight.MISSING for finding in findings)
