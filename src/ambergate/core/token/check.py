"""`check_token`: what a relying party does before it believes a token. Knows nothing of quotes.

>>> keys = KeySet.from_json(jwks)                                                     # doctest: +SKIP
>>> claims = check_token(token, keys, issuer="https://attest.example", at=when)       # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.errors import TokenRejected
from ambergate.core.token.claims import AttestationClaims, instant, read_claims
from ambergate.core.token.jose import KeySet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["AttestationClaims", "KeySet", "check_token"]


def check_token(
    token: str,
    keys: KeySet,
    *,
    issuer: str,
    at: datetime,
    require: Mapping[str, object] | None = None,
    accept_simulated: bool = False,
) -> AttestationClaims:
    """Check a token's signature, issuer and times, and the claims that the caller requires.

    Proves that the issuer, who holds a key of `keys`, attests what the claims say, and that `at` lies in the token's
    lifetime (no leeway). Does not prove that the token was made for this caller or just now (that takes a nonce or
    held data of the caller's, in `require`), nor that the enclave is the right one: name its measurements.

    Args:
        token: compact JWS.
        keys: the issuer's keys, had from the issuer over a channel that the caller trusts.
        issuer: exactly what `iss` must be.
        at: now, aware.
        require: claim -> value that it must have, compared as JSON is: true is not 1, at any depth, and 1 is not 1.0.
        accept_simulated: take tokens about software platforms. Such a token proves nothing about hardware.

    Raises:
        MalformedToken: not a token.
        TokenRejected: it proves nothing here; `code` says which check.
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        msg = "`at` must say its time zone"
        raise ValueError(msg)
    members = keys.verify(token)
    if members.get("iss") != issuer:
        raise TokenRejected("the token is of another issuer", code="bad-issuer", seen=members.get("iss"), wanted=issuer)
    if "aud" in members:
        raise TokenRejected("the token is for an audience", code="bad-audience", seen=members["aud"], wanted="no aud")
    _check_times(members, at)
    claims = read_claims(members)
    if claims.simulated and not accept_simulated:
        raise TokenRejected("the token is about a software platform", code="simulated", seen=issuer, wanted="hardware")
    for name, wanted in (require or {}).items():
        if name not in members or not _same(members[name], wanted):
            seen = members.get(name, "nothing")
            raise TokenRejected(f"the claim {name} differs", code="claim-mismatch", seen=seen, wanted=wanted)
    return claims


def _check_times(members: Mapping[str, object], at: datetime) -> None:
    expires = instant(members, "exp")
    if at >= expires:
        seen, hint = at.isoformat(), "get a fresh token"
        raise TokenRejected("the token has expired", code="expired", seen=seen, wanted=f"before {expires}", hint=hint)
    for name in ("iat", "nbf"):
        if name in members or name == "iat":
            begins = instant(members, name)
            if at < begins:
                hint = "compare the clocks of issuer and relying party"
                raise TokenRejected(
                    "the token is not valid yet",
                    code="not-yet-valid",
                    seen=at.isoformat(),
                    wanted=f"{name} {begins}",
                    hint=hint,
                )


def _same(seen: object, wanted: object) -> bool:
    """Equality of JSON values: Python's own holds that True is 1 and 1 is 1.0."""
    if isinstance(seen, dict) and isinstance(wanted, dict):
        return seen.keys() == wanted.keys() and all(_same(seen[name], wanted[name]) for name in seen)
    if isinstance(seen, list) and isinstance(wanted, list):
        return len(seen) == len(wanted) and all(map(_same, seen, wanted))
    return type(seen) is type(wanted) and seen == wanted
