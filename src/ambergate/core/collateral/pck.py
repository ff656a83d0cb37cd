"""The SGX extension of a PCK certificate: which platform this is and how new its parts are.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3.5 (OID 1.2.840.113741.1.13.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ambergate.core.measurements import CpuSvn, Fmspc, PceId, PlatformInstanceId, Ppid


@dataclass(frozen=True, slots=True, kw_only=True)
class PckExtension:
    """The platform as its PCK certificate describes it."""

    ppid: Ppid
    components: tuple[int, ...]  # sixteen SGX TCB component SVNs, 0 to 255
    pce_svn: int
    cpu_svn: CpuSvn
    pce_id: PceId
    fmspc: Fmspc
    sgx_type: int  # 0 standard, 1 scalable, 2 scalable with integrity
    platform_instance_id: PlatformInstanceId | None = None  # only under the Platform CA
    dynamic_platform: bool | None = None
    cached_keys: bool | None = None
    smt_enabled: bool | None = None
