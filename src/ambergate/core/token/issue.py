"""`issue_token`: an appraisal in, a signed token out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.errors import TooLarge
from ambergate.core.token.jose import MAX_TOKEN, SigningKey, sign
from ambergate.core.token.profiles import Issuance, v1_claims

if TYPE_CHECKING:
    from ambergate.core.appraise.appraisal import Appraisal

__all__ = ["Issuance", "SigningKey", "issue_token"]


def issue_token(appraisal: Appraisal, issuance: Issuance, key: SigningKey, alg: str) -> str:
    """A token that says what was proven and that a policy welcomed it.

    Args:
        appraisal: what is attested.
        issuance: who attests, when, until when.
        key: signs.
        alg: one of the key's algorithms.

    Raises:
        TooLarge: the token would be longer than `check_token` takes; only runtime data can make it so.
        ValueError: the key does not sign with `alg`.
    """
    token = sign(v1_claims(appraisal, issuance), key, alg, jku=f"{issuance.base_url}/certs")
    if len(token) > MAX_TOKEN:
        hint = "send less runtime data; a hash of it binds as well"
        raise TooLarge("the token would be too long", seen=f"{len(token)} characters", wanted=MAX_TOKEN, hint=hint)
    return token
