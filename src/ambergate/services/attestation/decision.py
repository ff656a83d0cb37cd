"""What is decided about one request, for the audit log: as much of it as has come out so far."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ambergate.core.errors import Malformed, MalformedCollateral, NotGenuine, Refusal, TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.named import PolicyOutcome
    from ambergate.core.errors import AmberError
    from ambergate.core.token.names import Profile
    from ambergate.core.verify.verdict import VerifiedQuote


@dataclass(slots=True, kw_only=True)
class Decision:
    """One decision; the use case fills it in while it goes on.

    Attributes:
        at: when it was made.
        key_id: of the caller's API key; None: it showed none.
        quote: as it came.
        verified: what was proven; None: nothing.
        claims: the same as claims, where it was found welcome.
        simulated: whether the root is a software platform's.
        policies: the named policies that were evaluated, with what came of each.
        token_id: of the token; None: refused.
        profile: shape of the token.
        algorithm: that signed it.
        error: why it was refused; None: it was not.
    """

    at: datetime
    key_id: UUID | None
    quote: bytes = field(repr=False)
    verified: VerifiedQuote | None = None
    claims: Mapping[str, object] | None = None
    simulated: bool | None = None
    policies: Sequence[PolicyOutcome] = field(default=())
    token_id: UUID | None = None
    profile: Profile | None = None
    algorithm: str | None = None
    error: AmberError | None = None

    @property
    def quote_hash(self) -> bytes:
        """SHA-256 of the quote as it came."""
        return hashlib.sha256(self.quote).digest() if self.verified is None else self.verified.quote_digest


def is_refusal(error: AmberError) -> bool:
    """Whether this error is a decision about what was sent. What we lack ourselves (collateral, a database) is none."""
    if isinstance(error, MalformedCollateral):
        return False
    return isinstance(error, (NotGenuine, Refusal, Malformed, TooLarge))
