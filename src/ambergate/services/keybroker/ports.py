"""What the key broker needs of the world, and what it tells the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from ambergate.core.errors import NotAuthorised

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.core.token.claims import AttestationClaims


class UnknownKey(NotAuthorised):
    """No key of this id. Said only to callers whose token was accepted, or about ids that can not exist."""

    CODE = "unknown-key"


class Stored(Protocol):
    """A secret that was found and not yet opened."""

    @property
    def policy(self) -> ResourcePolicy:
        """Who may have it."""


S = TypeVar("S", bound=Stored)


class Secrets(Protocol[S]):
    """Where secrets are kept."""

    def find(self, secret_id: UUID, /) -> S | None:
        """The secret of this id, still sealed; None when there is none."""

    def reveal(self, stored: S, /) -> bytes:
        """The secret itself; raises when id or policy are not those it was stored with."""


class Trust(Protocol):
    """Who is believed about enclaves."""

    def claims(self, token: str, at: datetime, /) -> AttestationClaims:
        """What a trusted issuer attests, at this instant.

        Raises:
            MalformedToken: not a token.
            TokenRejected: it proves nothing here.
            Unavailable: its issuer's keys cannot be had at the moment.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one request for a secret. Holds no key, no token and no secret."""

    at: datetime
    key_id: str
    request_id: str | None
    released: bool
    code: str
    rules: tuple[str, ...] = ()
    token: Mapping[str, object] | None = None  # who asked; None when no trusted issuer said


class Audit(Protocol):
    """Writes decisions down."""

    def __call__(self, decision: Decision, /) -> None:
        """Write one down. The secret leaves only after this returned."""
