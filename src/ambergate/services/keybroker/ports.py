"""What the key broker needs of the world, and what it tells the world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from ambergate.core.errors import NotAuthorised

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.errors import AmberError
    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.core.token.claims import AttestationClaims


class UnknownKey(NotAuthorised):
    """No key of this id. Said only to callers whose token was accepted, or about ids that can not exist."""

    CODE = "unknown-key"


class Stored(Protocol):
    """A secret that was found and not yet opened."""

    @property
    def version(self) -> int:
        """Which of the key's versions it is; the first is 1."""

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
class Evidence:
    """What a workload hands over in the background check. Nothing of it is proven.

    Attributes:
        quote: the quote.
        nonce: the nonce it says that it was given, as it came: base64 strings `val`, `iat` and `signature`.
        user_data: what the quote's REPORTDATA binds beside the nonce; the workload's key.
        event_log: handed on; the quote does not vouch for it.
    """

    quote: bytes = field(repr=False)
    nonce: Mapping[str, str]
    user_data: bytes = field(repr=False)
    event_log: bytes = field(default=b"", repr=False)


class Verifier(Protocol):
    """An attestation service that the broker asks about evidence."""

    def nonce(self, *, request_id: str) -> Mapping[str, str]:
        """A fresh nonce, as a workload is to be given it.

        Raises:
            Unavailable: none can be had.
        """

    def token(self, evidence: Evidence, *, policy_ids: Sequence[UUID], request_id: str) -> str:
        """A token about this evidence. It proves nothing before `Trust.claims` has looked at it.

        Raises:
            NotGenuine: the evidence is not genuine, or its nonce not good; names the step.
            Malformed: the evidence cannot be read.
            NotWelcome: a policy of the service refuses it.
            TooLarge: the evidence is longer than any.
            Unavailable: the service does not answer, or refuses the broker itself.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one request for a secret. Holds no key, no token and no secret.

    Attributes:
        at: when it was made.
        key_id: what was asked for.
        key_version: which version of it; None: it was not looked for, or is not there.
        policy_hash: SHA-256 of the release policy that was asked; None: none was.
        token: what the token says of who asked; None: no trusted issuer said.
        user: who asked by their own permission, without a token.
        error: why it was refused; None: it was released.
    """

    at: datetime
    key_id: str
    key_version: int | None = None
    policy_hash: bytes | None = None
    token: Mapping[str, object] | None = None
    user: str | None = None
    error: AmberError | None = None


class Audit(Protocol):
    """Writes decisions down."""

    def __call__(self, decision: Decision, /) -> None:
        """Write one down. The secret leaves only after this returned.

        Raises:
            Unavailable: it is not known to be durable.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What somebody would have otherwise. Holds no key, no password and no secret.

    Attributes:
        what: one of the verbs in docs/audit.md, as "key.create".
        subject: id of what is changed.
        by: the user's name; `LOCAL` for the command line on the broker's own machine.
        at: when it was asked for.
        details: what else is told, JSON-ready.
    """

    what: str
    subject: str
    by: str
    at: datetime
    details: Mapping[str, object] = field(default_factory=dict)


LOCAL: Final = "(local)"  # no user can have this name


class Journal(Protocol):
    """Writes changes down."""

    def change(self, change: Change, /) -> AbstractContextManager[None]:
        """For the time of the change: it is durable as begun before, and as done or failed afterwards.

        Raises:
            Unavailable: it is not known to be durable.
        """
