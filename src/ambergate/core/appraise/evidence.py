"""`evidence_claims`: what was proven of evidence, as the flat claims that tokens tell and policies read.

The names are those of today's tokens (Intel Trust Authority, profile v1). All of it is computed from the verdict;
what is not known is left out, never made up.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.quote.report import EnclaveReport
from ambergate.core.verify.verdict import digests_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.quote.td_report import TdReport
    from ambergate.core.verify.verdict import VerifiedQuote

# Bits of TD ATTRIBUTES (Intel TDX module ABI specification, "ATTRIBUTES").
_TD_ATTRIBUTES: Final = {
    "debug": 0,
    "septve_disable": 28,
    "migratable": 29,
    "protection_keys": 30,
    "key_locker": 31,
    "perfmon": 63,
}

# What there can be of claims, and of which type: what a policy may read.
CLAIMS: Final[dict[str, type]] = {
    "attester_type": str,
    "attester_tcb_status": str,
    "attester_tcb_date": str,
    "attester_advisory_ids": list,
    **dict.fromkeys(("sgx_mrenclave", "sgx_mrsigner", "sgx_report_data", "sgx_config_id"), str),
    **dict.fromkeys(("sgx_isvprodid", "sgx_isvsvn", "tdx_seamsvn", "tdx_pcesvn"), int),
    **dict.fromkeys(("sgx_is_debuggable", "tdx_is_debuggable", "tdx_is_migratable"), bool),
    **dict.fromkeys(("sgx_collateral", "tdx_collateral"), dict),
    **dict.fromkeys(("tdx_tee_tcb_svn", "tdx_mrseam", "tdx_mrsignerseam", "tdx_seam_attributes"), str),
    **dict.fromkeys(("tdx_td_attributes", "tdx_xfam", "tdx_mrtd", "tdx_mrconfigid", "tdx_mrowner"), str),
    **dict.fromkeys(("tdx_mrownerconfig", "tdx_rtmr0", "tdx_rtmr1", "tdx_rtmr2", "tdx_rtmr3", "tdx_report_data"), str),
    **{f"tdx_td_attributes_{name}": bool for name in _TD_ATTRIBUTES},
}

# What differs within a kind of evidence (`VerifiedQuote.kind`); all other claims are the same.
OF_EACH: Final = frozenset({"sgx_report_data", "sgx_collateral", "tdx_report_data", "tdx_collateral"})


def evidence_claims(verified: VerifiedQuote) -> dict[str, object]:
    """The claims about the evidence: JSON-ready, the attester's name, status and report, and digests of the collateral.

    `attester_advisory_ids` is there only when there are any; `sgx_*` and `tdx_*` never both. Nothing is said of nonce,
    runtime data, issuer or policy: those are no evidence of the platform.
    """
    return kind_claims(verified).of(verified)


class KindClaims(NamedTuple):
    """What the claims about all evidence of one kind (`VerifiedQuote.kind`) say alike."""

    tee: str  # in lower case, as the names of claims begin
    claims: Mapping[str, object]
    digests: Mapping[str, str]  # of the collateral

    def of(self, verified: VerifiedQuote) -> dict[str, object]:
        """The claims about one of them, which say its REPORTDATA and the digest of its quote."""
        return {
            **self.claims,
            f"{self.tee}_report_data": verified.report_data.hex(),
            f"{self.tee}_collateral": {**self.digests, "quotehash": verified.quote_digest.hex()},
        }


def kind_claims(verified: VerifiedQuote) -> KindClaims:
    """What the claims about evidence of this kind say alike, computed from one of them."""
    report = verified.report
    claims: dict[str, object] = {
        "attester_type": verified.tee.name,
        "attester_tcb_status": verified.tcb_status.value,
        "attester_tcb_date": _told(verified.tcb_date),
        **(_sgx_claims(report) if isinstance(report, EnclaveReport) else _tdx_claims(report, verified)),
    }
    if verified.advisory_ids:
        claims["attester_advisory_ids"] = list(verified.advisory_ids)
    return KindClaims(verified.tee.name.lower(), claims, _digest_claims(verified.collateral))


def _sgx_claims(report: EnclaveReport) -> dict[str, object]:
    return {
        "sgx_mrenclave": report.mr_enclave.hex(),
        "sgx_mrsigner": report.mr_signer.hex(),
        "sgx_isvprodid": report.isv_prod_id,
        "sgx_isvsvn": report.isv_svn,
        "sgx_is_debuggable": report.debug,
        # Without key separation and sharing the field is zero, and no claim tells it (wire protocol, 4.3).
        **({"sgx_config_id": report.config_id.hex()} if any(report.config_id) else {}),
    }


def _tdx_claims(report: TdReport, verified: VerifiedQuote) -> dict[str, object]:
    attributes = int.from_bytes(report.td_attributes.value, "little")
    flags = {name: bool(attributes >> bit & 1) for name, bit in _TD_ATTRIBUTES.items()}
    return {
        "tdx_tee_tcb_svn": report.tee_tcb_svn.hex(),
        "tdx_mrseam": report.mr_seam.hex(),
        "tdx_mrsignerseam": report.mr_signer_seam.hex(),
        "tdx_seam_attributes": report.seam_attributes.hex(),
        "tdx_td_attributes": report.td_attributes.hex(),
        "tdx_xfam": report.xfam.hex(),
        "tdx_mrtd": report.mr_td.hex(),
        "tdx_mrconfigid": report.mr_config_id.hex(),
        "tdx_mrowner": report.mr_owner.hex(),
        "tdx_mrownerconfig": report.mr_owner_config.hex(),
        **{f"tdx_rtmr{index}": rtmr.hex() for index, rtmr in enumerate(report.rtmrs)},
        # Major and minor version of the TDX module, as one little-endian number.
        "tdx_seamsvn": int.from_bytes(report.tee_tcb_svn.value[:2], "little"),
        **{f"tdx_td_attributes_{name}": value for name, value in flags.items()},
        "tdx_is_debuggable": report.debug,
        "tdx_is_migratable": flags["migratable"],
        "tdx_pcesvn": verified.platform.pce_svn,
    }


@functools.lru_cache(64)  # as many bundles as their digests are remembered of
def _digest_claims(collateral: Collateral) -> Mapping[str, str]:
    digests = digests_of(collateral)
    return {
        "qeidcerthash": digests.qe_identity_chain.hex(),
        "qeidcrlhash": digests.qe_identity_crl.hex(),
        "qeidhash": digests.qe_identity.hex(),
        "tcbinfocerthash": digests.tcb_info_chain.hex(),
        "tcbinfocrlhash": digests.tcb_info_crl.hex(),
        "tcbinfohash": digests.tcb_info.hex(),
    }


@functools.lru_cache(256)  # a TCB info has some ten levels
def _told(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")
