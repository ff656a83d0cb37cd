"""Bearer tokens of users: JWTs that this broker alone makes and reads, signed by a key that is sealed at rest.

A token says who; what they may do is read from the database with each request, and a token of an earlier generation
opens nothing. So a changed permission counts at once, and a token ends with its user, a new password, or a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from ambergate.core.errors import NotAuthorised

if TYPE_CHECKING:
    from ambergate.stores.users import User

KEY_BYTES: Final = 32  # HS256: as long as its hash (RFC 7518, 3.2)
KEY_NAME: Final = "bearer.key"  # of the signing material
LIFETIME: Final = timedelta(minutes=5)  # the Key Broker Service's default
MAX_LIFETIME: Final = timedelta(minutes=30)  # its limit
MAX_TOKEN: Final = 4096  # characters; ours have some 700
_ALG: Final = "HS256"
_ISSUER: Final = "ambergate key broker"


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token is of, by their id, and which generation of their tokens it belongs to."""

    user_id: UUID
    generation: int


class BearerTokens:
    """Makes and reads tokens. Redacted.

    Args:
        key: `KEY_BYTES` random bytes.
        lifetime: of a token.
    """

    def __init__(self, key: bytes, *, lifetime: timedelta = LIFETIME) -> None:
        self._key = OctKey.import_key(key)
        self.lifetime = lifetime

    def __repr__(self) -> str:
        return "BearerTokens(...)"

    def issue(self, user: User, *, at: datetime) -> str:
        """A token for this user. Its scope tells clients what the user may do now; here nothing rests on it."""
        issued = int(at.timestamp())
        claims = {
            "iss": _ISSUER,
            "aud": [_ISSUER],
            "sub": user.username,
            "ID": str(user.id),
            "gen": user.generation,
            "scope": sorted(user.permissions),
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
            "jti": str(uuid4()),
        }
        return jwt.encode({"alg": _ALG, "typ": "JWT"}, claims, self._key, algorithms=[_ALG])

    def read(self, token: str, *, at: datetime) -> Bearer:
        """Who this token is of.

        Raises:
            NotAuthorised: not one of this broker's, expired, or not yet good; which of these is not told.
        """
        try:
            if len(token) > MAX_TOKEN:
                raise _refused()
            claims = jwt.decode(token, self._key, algorithms=[_ALG]).claims
            begins, ends = (datetime.fromtimestamp(claims[name], UTC) for name in ("nbf", "exp"))
            if claims["iss"] != _ISSUER or not begins <= at < ends:
                raise _refused()
            return Bearer(UUID(str(claims["ID"])), int(claims["gen"]))
        except (JoseError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
            raise _refused() from exc


def _refused() -> NotAuthorised:
    hint = "get one from POST /kbs/v1/token"
    return NotAuthorised("the bearer token is not valid here", code="bad-bearer-token", hint=hint)
