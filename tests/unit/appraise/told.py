"""Claims that policies are judged by in tests, and policies to judge them by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage

AT: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MR_ENCLAVE: Final = "0e" * 32
MR_SIGNER: Final = "0a" * 32
_COLLATERAL: Final = {"quotehash": "00" * 32, "tcbinfohash": "11" * 32}
SGX: Final[dict[str, object]] = {
    "attester_type": "SGX",
    "attester_tcb_status": "UpToDate",
    "attester_tcb_date": "2025-11-12T00:00:00Z",
    "sgx_mrenclave": MR_ENCLAVE,
    "sgx_mrsigner": MR_SIGNER,
    "sgx_isvprodid": 7,
    "sgx_isvsvn": 3,
    "sgx_report_data": "00" * 64,
    "sgx_is_debuggable": False,
    "sgx_collateral": _COLLATERAL,
}
TDX: Final[dict[str, object]] = {
    "attester_type": "TDX",
    "attester_tcb_status": "UpToDate",
    "attester_tcb_date": "2025-11-12T00:00:00Z",
    **{f"tdx_{name}": "00" * 48 for name in ("mrsignerseam", "mrconfigid", "mrowner", "mrownerconfig")},
    "tdx_mrtd": "0d" * 48,
    "tdx_mrseam": "5e" * 48,
    **{f"tdx_rtmr{index}": f"{index:02x}" * 48 for index in range(4)},
    "tdx_tee_tcb_svn": "04010600000000000000000000000000",
    "tdx_seam_attributes": "00" * 8,
    "tdx_td_attributes": "0000001000000000",
    "tdx_xfam": "e700060000000000",
    "tdx_report_data": "00" * 64,
    "tdx_seamsvn": 260,
    **{f"tdx_td_attributes_{name}": False for name in ("debug", "migratable", "protection_keys")},
    **{f"tdx_td_attributes_{name}": False for name in ("key_locker", "perfmon")},
    "tdx_td_attributes_septve_disable": True,
    "tdx_is_debuggable": False,
    "tdx_is_migratable": False,
    "tdx_pcesvn": 13,
    "tdx_collateral": _COLLATERAL,
}


def rego(text: str, kind: PolicyKind = PolicyKind.APPRAISAL) -> Policy:
    return Policy(id=UUID(int=1), version=1, name="in-rego", kind=kind, language=PolicyLanguage.REGO, text=text)


def typed(text: str, kind: PolicyKind = PolicyKind.APPRAISAL) -> Policy:
    return Policy(id=UUID(int=2), version=1, name="typed", kind=kind, language=PolicyLanguage.TYPED, text=text)
