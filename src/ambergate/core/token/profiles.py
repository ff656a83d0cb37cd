"""The claims of a token, computed from an appraisal; what is not known is left out.

Profile v1: flat, `ver` 1.0.0, as Intel Trust Authority's clients read it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import MalformedToken
from ambergate.core.quote.report import EnclaveReport
from ambergate.core.token.jose import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.appraisal import Appraisal
    from ambergate.core.quote.td_report import TdReport
    from ambergate.core.verify.verdict import VerifiedQuote

VERSION: Final = "1.0.0"
MAX_DATA_DEPTH: Final = 32  # levels of nesting in runtime data; fewer than a token may have, which holds it

# Bits of TD ATTRIBUTES (Intel TDX module ABI specification, "ATTRIBUTES").
_TD_ATTRIBUTES: Final = {"debug": 0, "septve_disable": 28, "protection_keys": 30, "key_locker": 31, "perfmon": 63}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance:
    """What the issuer adds to an appraisal: who it is, when, under which id."""

    issuer: str
    base_url: str
    token_id: UUID
    instance_id: UUID
    issued_at: datetime
    expires_at: datetime
    simulated: bool
    nonce: Mapping[str, str] | None = None  # as it came: base64 strings `val`, `iat`, `signature`
    runtime_data: bytes | None = None


def v1_claims(appraisal: Appraisal, issuance: Issuance) -> dict[str, object]:
    """The flat claims of a v1 token."""
    verified, report = appraisal.verified, appraisal.verified.report
    issued = int(issuance.issued_at.timestamp())
    claims: dict[str, object] = {
        "iss": issuance.issuer,
        "iat": issued,
        "nbf": issued,
        "exp": int(issuance.expires_at.timestamp()),
        "jti": str(issuance.token_id),
        "ver": VERSION,
        "eat_profile": f"{issuance.base_url}/eat_profile.html",
        "intuse": "generic",
        "dbgstat": "enabled" if verified.report.debug else "disabled",
        "verifier_instance_ids": [str(issuance.instance_id)],
        "attester_type": verified.tee.name,
        "attester_tcb_status": verified.tcb_status.value,
        "attester_tcb_date": verified.tcb_date.strftime("%Y-%m-%dT%H:%M:%SZ"),
        **(_sgx_claims(report) if isinstance(report, EnclaveReport) else _tdx_claims(report)),
        **_collateral_claims(verified),
        **_data_claims(issuance.runtime_data),
    }
    if verified.advisory_ids:
        claims["attester_advisory_ids"] = list(verified.advisory_ids)
    if issuance.nonce is not None:
        claims["verifier_nonce"] = dict(issuance.nonce)
    if issuance.simulated:
        claims["tee_simulated"] = True
    return claims


def _sgx_claims(report: EnclaveReport) -> dict[str, object]:
    return {
        "sgx_mrenclave": report.mr_enclave.hex(),
        "sgx_mrsigner": report.mr_signer.hex(),
        "sgx_isvprodid": report.isv_prod_id,
        "sgx_isvsvn": report.isv_svn,
        "sgx_report_data": report.report_data.hex(),
        "sgx_is_debuggable": report.debug,
    }


def _tdx_claims(report: TdReport) -> dict[str, object]:
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
        "tdx_report_data": report.report_data.hex(),
        # Major and minor version of the TDX module, as one little-endian number.
        "tdx_seamsvn": int.from_bytes(report.tee_tcb_svn.value[:2], "little"),
        **{f"tdx_td_attributes_{name}": value for name, value in flags.items()},
        "tdx_is_debuggable": report.debug,
    }


def _collateral_claims(verified: VerifiedQuote) -> dict[str, object]:
    digests = verified.digests
    return {
        f"{verified.tee.name.lower()}_collateral": {
            "qeidcerthash": digests.qe_identity_chain.hex(),
            "qeidcrlhash": digests.qe_identity_crl.hex(),
            "qeidhash": digests.qe_identity.hex(),
            "quotehash": digests.quote.hex(),
            "tcbinfocerthash": digests.tcb_info_chain.hex(),
            "tcbinfocrlhash": digests.tcb_info_crl.hex(),
            "tcbinfohash": digests.tcb_info.hex(),
        }
    }


def _data_claims(data: bytes | None) -> dict[str, object]:
    """Runtime data that is a JSON object is told as one, anything else as base64; what is hashed is the bytes.

    JSON that two readers could read in two ways (a member twice, NaN) is no object here: its bytes are told.
    """
    if not data:
        return {}
    try:
        return {"attester_runtime_data": load_object(data, "the runtime data", depth=MAX_DATA_DEPTH)}
    except MalformedToken:
        return {"attester_held_data": base64.b64encode(data).decode()}
