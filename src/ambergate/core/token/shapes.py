"""The claims of every profile but v1, each made from the same appraisal.

v2 nests what evidence said, amber-2022 has old names, slim leaves out what a small client cannot hold, azure has the
names of Microsoft Azure Attestation. Whatever the profile: a debug enclave says so, and so does a software platform.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from ambergate.core.quote.report import EnclaveReport
from ambergate.core.token.claims import SIMULATED
from ambergate.core.token.jose import load_object
from ambergate.core.token.names import (
    AMBER_DEBUG,
    AMBER_NAMES,
    AMBER_STATUSES,
    AMBER_VERSION,
    V2_VERSION,
    Profile,
)
from ambergate.core.token.profiles import MAX_DATA_DEPTH, data_claims, issuer_claims, v1_claims

if TYPE_CHECKING:
    from ambergate.core.appraise.appraisal import Appraisal
    from ambergate.core.token.profiles import Issuance

Claims = dict[str, object]

MAX_SLIM: Final = 4095 - len('{"token":""}')  # characters: what the first client of this protocol holds of an answer
# What nobody decides by: digests of collateral, and what names the issuer a second time.
_NOT_SLIM: Final = frozenset({"sgx_collateral", "tdx_collateral", "eat_profile", "intuse", "verifier_instance_ids"})
_TRUSTED, _UNTRUSTED = 10, 0  # `amber_trust_score`, wire protocol 4.5: the latter is out of date, or not to be trusted
_UP_TO_DATE: Final = frozenset(
    {"UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"}
)
# The names in Azure's collateral object -> in ours.
_AZURE_DIGESTS: Final = {
    "qeidcertshash": "qeidcerthash",
    "qeidcrlhash": "qeidcrlhash",
    "qeidhash": "qeidhash",
    "quotehash": "quotehash",
    "tcbinfocertshash": "tcbinfocerthash",
    "tcbinfocrlhash": "tcbinfocrlhash",
    "tcbinfohash": "tcbinfohash",
}


def claims_of(profile: Profile, appraisal: Appraisal, issuance: Issuance) -> Claims:
    """The claims of a token of this profile.

    Raises:
        NotWelcome: two policies give one name two values.
        ValueError: the profile azure about a TD; its endpoint takes enclaves alone.
    """
    makers = {
        Profile.V1: v1_claims,
        Profile.V2: v2_claims,
        Profile.AMBER_2022: amber_claims,
        Profile.SLIM: slim_claims,
        Profile.AZURE: azure_claims,
    }
    return makers[profile](appraisal, issuance)


def v2_claims(appraisal: Appraisal, issuance: Issuance) -> Claims:
    """Wire protocol, 4.4: the names are those of v1; what is about the evidence stands under `sgx` or `tdx`."""
    verified = appraisal.verified
    evidence: Claims = {
        **appraisal.claims,
        **data_claims(issuance),
        "dbgstat": "enabled" if appraisal.debug else "disabled",
    }
    if isinstance(verified.report, EnclaveReport):
        evidence["pce_svn"] = verified.platform.pce_svn
    return {
        **issuer_claims(issuance),
        "ver": V2_VERSION,
        "appraisal": {"method": "azure" if issuance.azure else "default", "ver": 2},
        verified.tee.name.lower(): evidence,
    }


def slim_claims(appraisal: Appraisal, issuance: Issuance) -> Claims:
    """v1, and `ver` says so, without what is not needed to decide: no measurement, status or advisory is left out."""
    flat = v1_claims(appraisal, issuance)
    return {
        name: _without_hashes(value) if name.startswith("policy_ids_") else value
        for name, value in flat.items()
        # The single bits follow from `tdx_td_attributes`, and `tdx_is_debuggable` stays.
        if name not in _NOT_SLIM and not name.startswith("tdx_td_attributes_")
    }


def _without_hashes(policies: object) -> object:
    assert isinstance(policies, list)
    return [{name: value for name, value in policy.items() if name != "hash"} for policy in policies]


def amber_claims(appraisal: Appraisal, issuance: Issuance) -> Claims:
    """Wire protocol, 4.5, with the status words of 4.6. No `nbf`, as then."""
    flat = v1_claims(appraisal, issuance)
    status = str(flat["attester_tcb_status"])
    claims: Claims = {
        **{name: flat[name] for name in ("iss", "iat", "exp", "jti")},
        "ver": AMBER_VERSION,
        **{old: flat[name] for name, old in AMBER_NAMES.items() if name in flat},
        "amber_report_data": flat[f"{appraisal.verified.tee.name.lower()}_report_data"],
        AMBER_DEBUG: appraisal.debug,
        "amber_tcb_status": AMBER_STATUSES.get(status, status),
        "amber_trust_score": _TRUSTED if status in _UP_TO_DATE and not appraisal.debug else _UNTRUSTED,
        "amber_signed_nonce": issuance.nonce is not None,
        "amber_client_nonce": False,  # nonces of the caller's own are not taken
        "amber-faithful-service-ids": [str(issuance.instance_id)],  # with hyphens, as it was spelt
        "amber_matched_policy_ids": [str(outcome.policy.id) for outcome in issuance.policies if outcome.matched],
        "amber_unmatched_policy_ids": [str(outcome.policy.id) for outcome in issuance.policies if not outcome.matched],
        "amber_custom_policy": flat.get("policy_defined_claims", {}),
    }
    if issuance.simulated:
        claims[SIMULATED] = True
    return claims


def azure_claims(appraisal: Appraisal, issuance: Issuance) -> Claims:
    """The SGX claims of Microsoft Azure Attestation, with the deprecated names beside today's.

    Source: Azure Attestation's documentation, "Claim sets" and "Examples of an attestation token". Its policy hash is
    left out: it is over a policy in a language of its own. Of policies the names of v1 tell.
    """
    report = appraisal.verified.report
    if not isinstance(report, EnclaveReport):
        msg = "the profile azure is about enclaves"
        raise ValueError(msg)  # noqa: TRY004  a value of the right type, of another kind
    flat = v1_claims(appraisal, issuance)
    digests = flat["sgx_collateral"]
    assert isinstance(digests, dict)
    collateral = {azure: digests[ours] for azure, ours in _AZURE_DIGESTS.items()}
    # What Azure's tokens do not say and ours must: the platform's status, and which policies did not match.
    more = ("attester_tcb_", "attester_advisory_", "policy_ids_")
    claims: Claims = {
        **{name: flat[name] for name in ("iss", "iat", "nbf", "exp", "jti")},
        "x-ms-ver": "1.0",
        "x-ms-attestation-type": "sgx",
        **_azure_report(report),
        "x-ms-sgx-collateral": collateral,
        "maa-attestationcollateral": collateral,
        **{name: value for name, value in flat.items() if name.startswith(more)},
        **_azure_data(issuance),
    }
    if "policy_defined_claims" in flat:
        claims["x-ms-policy"] = flat["policy_defined_claims"]
    if issuance.echo is not None:
        claims["nonce"] = issuance.echo
    if issuance.simulated:
        claims[SIMULATED] = True
    return claims


def _azure_report(report: EnclaveReport) -> Claims:
    return {
        "x-ms-sgx-is-debuggable": report.debug,
        "x-ms-sgx-mrenclave": report.mr_enclave.hex(),
        "x-ms-sgx-mrsigner": report.mr_signer.hex(),
        "x-ms-sgx-product-id": report.isv_prod_id,
        "x-ms-sgx-svn": report.isv_svn,
        "x-ms-sgx-report-data": report.report_data.hex(),
        "x-ms-sgx-config-id": report.config_id.hex(),
        "x-ms-sgx-config-svn": report.config_svn,
        "x-ms-sgx-isv-extended-product-id": report.isv_ext_prod_id.hex(),
        "x-ms-sgx-isv-family-id": report.isv_family_id.hex(),
        "is-debuggable": report.debug,
        "sgx-mrenclave": report.mr_enclave.hex(),
        "sgx-mrsigner": report.mr_signer.hex(),
        "product-id": report.isv_prod_id,
        "svn": report.isv_svn,
        "tee": "sgx",
    }


def _azure_data(issuance: Issuance) -> Claims:
    """Runtime data as the request called it: JSON is told as JSON, bytes as base64url."""
    data = issuance.runtime_data
    if not data:
        return {}
    if issuance.runtime_json:
        return {"x-ms-runtime": load_object(data, "the runtime data", depth=MAX_DATA_DEPTH)}
    text = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return {"x-ms-sgx-ehd": text, "aas-ehd": text, "maa-ehd": text}
