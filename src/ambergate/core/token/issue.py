"""`issue_token`: an appraisal in, a signed token out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import TooLarge
from ambergate.core.token.jose import MAX_TOKEN, SigningKey, sign, write_json
from ambergate.core.token.names import Profile
from ambergate.core.token.profiles import Issuance
from ambergate.core.token.shapes import MAX_SLIM, claims_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ambergate.core.appraise.appraisal import Appraisal

__all__ = ["KEY_SET_PATHS", "Issuance", "Profile", "SigningKey", "issue_token"]

# Where the key set of an algorithm is, below the issuer's base URL. The EC key stands apart, because a deployed client
# refuses a whole key set for one key that has no RSA modulus.
KEY_SET_PATHS: Final = {"PS384": "/certs", "RS256": "/certs", "ES256": "/certs/es256"}


def issue_token(
    appraisal: Appraisal,
    issuance: Issuance,
    key: SigningKey,
    alg: str,
    *,
    profile: Profile = Profile.V1,
    write: Callable[[Mapping[str, object]], bytes] = write_json,
) -> str:
    """A token that says what was proven and that a policy welcomed it.

    Args:
        appraisal: what is attested.
        issuance: who attests, when, until when.
        key: signs.
        alg: one of the key's algorithms.
        profile: the shape of its claims.
        write: writes claims as JSON; services have a faster one.

    Raises:
        NotWelcome: two policies give one name of a claim two values.
        TooLarge: the token would be longer than `check_token` takes, or a slim one than its readers do; only runtime
            data and policies can make it so.
        ValueError: the key does not sign with `alg`, or the profile is of another TEE.
    """
    claims = claims_of(profile, appraisal, issuance)
    token = sign(claims, key, alg, jku=issuance.base_url + KEY_SET_PATHS[alg], write=write)
    limit = MAX_SLIM if profile is Profile.SLIM else MAX_TOKEN
    if len(token) > limit:
        hint = "send less runtime data; a hash of it binds as well"
        raise TooLarge("the token would be too long", seen=f"{len(token)} characters", wanted=limit, hint=hint)
    return token
