"""`issue_token`: an appraisal in, a signed token out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import TooLarge
from ambergate.core.token.jose import MAX_TOKEN, SigningKey, sign
from ambergate.core.token.profiles import Issuance, v1_claims

if TYPE_CHECKING:
    from ambergate.core.appraise.appraisal import Appraisal

__all__ = ["KEY_SET_PATHS", "Issuance", "SigningKey", "issue_token"]

# Where the key set of an algorithm is, below the issuer's base URL. The EC key stands apart, because a deployed client
# refuses a whole key set for one key that has no RSA modulus.
KEY_SET_PATHS: Final = {"PS384": "/certs", "RS256": "/certs", "ES256": "/certs/es256"}


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
    token = sign(v1_claims(appraisal, issuance), key, alg, jku=issuance.base_url + KEY_SET_PATHS[alg])
    if len(token) > MAX_TOKEN:
        hint = "send less runtime data; a hash of it binds as well"
        raise TooLarge("the token would be too long", seen=f"{len(token)} characters", wanted=MAX_TOKEN, hint=hint)
    return token
