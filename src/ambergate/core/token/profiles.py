"""The claims of a token, computed from an appraisal; what is not known is left out.

Profile v1: flat, `ver` 1.0.0, as Intel Trust Authority's clients read it. The other profiles are made from it in
`shapes`.
"""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.errors import MalformedToken, NotWelcome
from ambergate.core.token.claims import SIMULATED
from ambergate.core.token.jose import load_object
from ambergate.core.token.names import V1_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.appraisal import Appraisal
    from ambergate.core.appraise.named import PolicyOutcome

_WHITE_SPACE: Final = b" \t\r\n"  # of JSON (RFC 8259, 2)
MAX_DATA_DEPTH: Final = 32  # levels of nesting in runtime data; fewer than a token may have, which holds it


class Issuance(NamedTuple):
    """What the issuer adds to an appraisal: who it is, when, under which id, and what the request bound.

    Attributes:
        issuer: the claim `iss`.
        base_url: where the issuer's keys and pages are.
        token_id: the claim `jti`.
        instance_id: names the verifier.
        issued_at: `iat` and `nbf`.
        expires_at: `exp`.
        simulated: no hardware stood behind the evidence.
        nonce: as it came: base64 strings `val`, `iat`, `signature`.
        runtime_data: what REPORTDATA binds.
        user_data: what the runtime data of a TD on Azure binds in its turn.
        azure: REPORTDATA binds the runtime data by Azure's rule.
        runtime_json: the request calls the runtime data JSON. Profile azure only.
        echo: a caller's own words, told as the claim `nonce`; they make nothing fresh. Profile azure only.
        policies: what the named policies said.
    """

    issuer: str
    base_url: str
    token_id: UUID
    instance_id: UUID
    issued_at: datetime
    expires_at: datetime
    simulated: bool
    nonce: Mapping[str, str] | None = None
    runtime_data: bytes | None = None
    user_data: bytes | None = None
    azure: bool = False
    runtime_json: bool = False
    echo: str | None = None
    policies: tuple[PolicyOutcome, ...] = ()


def v1_claims(appraisal: Appraisal, issuance: Issuance) -> dict[str, object]:
    """The flat claims of a v1 token."""
    return {
        **issuer_claims(issuance),
        "ver": V1_VERSION,
        "dbgstat": "enabled" if appraisal.debug else "disabled",
        **appraisal.claims,
        **data_claims(issuance),
    }


def issuer_claims(issuance: Issuance) -> dict[str, object]:
    """What is about the token and not about the evidence."""
    issued = int(issuance.issued_at.timestamp())
    claims: dict[str, object] = {
        "iss": issuance.issuer,
        "iat": issued,
        "nbf": issued,
        "exp": int(issuance.expires_at.timestamp()),
        "jti": str(issuance.token_id),
        "eat_profile": f"{issuance.base_url}/eat_profile.html",
        "intuse": "generic",
        "verifier_instance_ids": [str(issuance.instance_id)],
        **policy_claims(issuance.policies),
    }
    if issuance.nonce is not None:
        claims["verifier_nonce"] = dict(issuance.nonce)
    if issuance.simulated:
        claims[SIMULATED] = True
    return claims


def policy_claims(policies: Sequence[PolicyOutcome]) -> dict[str, object]:
    """Which policies matched, which did not, and what they add. None of it is null or empty: clients refuse that.

    Raises:
        NotWelcome: two policies give one name two values; a token that told one of them would hide the other.
    """
    if not policies:
        return {}
    told: dict[str, list[Mapping[str, str]]] = {"policy_ids_matched": [], "policy_ids_unmatched": []}
    for outcome in policies:
        policy = _policy(outcome.policy.id, outcome.policy.version, outcome.policy.hash)
        told["policy_ids_matched" if outcome.matched else "policy_ids_unmatched"].append(policy)
    claims = {**told, "policy_defined_claims": _exports(policies)}
    return {name: value for name, value in claims.items() if value}


@functools.lru_cache(1024)  # a policy counts for many requests
def _policy(policy_id: UUID, version: int, digest: bytes) -> Mapping[str, str]:
    """The hash as real tokens of 2024 have it: base64 of base64 text of SHA-384 (wire protocol, 4.3)."""
    told = base64.b64encode(base64.b64encode(digest)).decode()
    return {"id": str(policy_id), "version": f"v{version}", "hash": told}


def _exports(policies: Sequence[PolicyOutcome]) -> dict[str, object]:
    claims: dict[str, object] = {}
    for outcome in policies:
        for name, value in outcome.exports.items():
            if claims.setdefault(name, value) != value:
                mismatch = {"rule": f"policy_defined_claims.{name}", "seen": str(value), "wanted": str(claims[name])}
                raise NotWelcome("two policies give a claim two values", code="policy-conflict", mismatches=[mismatch])
    return claims


def data_claims(issuance: Issuance) -> dict[str, object]:
    """What REPORTDATA binds; on Azure also what the runtime data binds in its turn."""
    claims = _told(issuance.runtime_data, "attester_runtime_data")
    return {**claims, **_told(issuance.user_data, "attester_user_data")}


def _told(data: bytes | None, name: str) -> dict[str, object]:
    """Data that is a JSON object is told as one, anything else as base64; what is hashed is the bytes.

    JSON that two readers could read in two ways (a member twice, NaN) is no object here: its bytes are told.
    """
    if not data:
        return {}
    held: dict[str, object] = {"attester_held_data": base64.b64encode(data).decode()}
    if not data.lstrip(_WHITE_SPACE).startswith(b"{"):  # keys and hashes, mostly: no need to have them parsed
        return held
    try:
        return {name: load_object(data, "the runtime data", depth=MAX_DATA_DEPTH)}
    except MalformedToken:
        return held
