"""The claims of a token, computed from an appraisal; what is not known is left out.

Profile v1: flat, `ver` 1.0.0, as Intel Trust Authority's clients read it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.appraise.evidence import evidence_claims
from ambergate.core.errors import MalformedToken
from ambergate.core.token.jose import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.appraisal import Appraisal

VERSION: Final = "1.0.0"
MAX_DATA_DEPTH: Final = 32  # levels of nesting in runtime data; fewer than a token may have, which holds it


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
    verified = appraisal.verified
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
        **evidence_claims(verified),
        **_data_claims(issuance.runtime_data),
    }
    if issuance.nonce is not None:
        claims["verifier_nonce"] = dict(issuance.nonce)
    if issuance.simulated:
        claims["tee_simulated"] = True
    return claims


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
