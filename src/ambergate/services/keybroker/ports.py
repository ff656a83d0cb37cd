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
    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.keywrap import KeyWrap
    from ambergate.core.release.material import KeyKind
    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.core.token.claims import AttestationClaims


class UnknownKey(NotAuthorised):
    """No key of this id. Said only to callers whose token was accepted, or about ids that can not exist."""

    CODE = "unknown-key"


class Stored(Protocol):
    """One version of a key, found and not yet opened."""

    @property
    def id(self) -> UUID:
        """Of the key."""

    @property
    def policy(self) -> ResourcePolicy:
        """Who may have it."""

    @property
    def kind(self) -> KeyKind:
        """What it is."""

    @property
    def manager(self) -> str:
        """The name of the key manager that keeps it."""

    @property
    def version(self) -> int:
        """This version's number."""

    @property
    def latest(self) -> int:
        """The number of the key's latest version."""

    @property
    def state(self) -> str:
        """`enabled`, `disabled` or `destroyed`."""


S = TypeVar("S", bound=Stored)


class Catalogue(Protocol[S]):
    """Which keys there are, and what their key managers wrote down of them, sealed with policy, id and version."""

    def add(  # noqa: PLR0913  what a key is, each by its name
        self,
        secret_id: UUID,
        secret: bytes,
        policy: ResourcePolicy,
        *,
        at: datetime,
        label: str,
        kind: KeyKind,
        manager: str,
    ) -> None:
        """Keep the first version of a key; raises `SettingsError` when the id is taken."""

    def add_version(self, secret_id: UUID, secret: bytes, *, number: int, at: datetime) -> None:
        """Keep the next version; raises `SettingsError` when another came meanwhile."""

    def find(self, secret_id: UUID, version: int | None = None, /) -> S | None:
        """The version of this number, or the latest; None when there is none."""

    def versions(self, secret_id: UUID, /) -> tuple[S, ...]:
        """Every version, oldest first."""

    def reveal(self, stored: S, /) -> bytes:
        """What was kept; raises when id, version, manager or policy are not those it was kept with."""

    def set_policy(self, secret_id: UUID, policy: ResourcePolicy, /, *, before: ResourcePolicy) -> bool:
        """Put every version under another policy; False when there is no such key, `Conflict` if not under `before`."""

    def set_state(self, secret_id: UUID, state: str, *, at: datetime, version: int | None = None) -> None:
        """Enable or disable one version, or all; raises `NotFound` when there is none."""

    def destroy(self, secret_id: UUID, *, at: datetime, version: int | None = None) -> tuple[int, ...]:
        """Make one version, or all, unreadable for ever; raises `NotFound` when there is none."""

    def remove(self, secret_id: UUID, /) -> bool:
        """Forget a destroyed key; False when there is none. Raises `SettingsError` when a version is not destroyed."""

    def check(self) -> None:
        """Ask the database something, for health checks."""


class KeyManager(Protocol):
    """Makes keys and keeps them: the built-in one, or one that the keys' owner runs.

    A reference is what the manager needs to find a key again; the broker keeps it sealed. All methods may raise
    `Unavailable` (it does not answer, or refuses the broker) and `NotFound` (`key-gone`: it has not the key any more).
    """

    def create(self, name: str, kind: KeyKind, /) -> bytes:
        """Make a key; its reference. `Malformed` where it makes none of this kind."""

    def keep(self, name: str, kind: KeyKind, material: bytes, /) -> bytes:
        """Take over a key that was made elsewhere; its reference. `Malformed` where it keeps none of this kind."""

    def adopt(self, known_as: str, kind: KeyKind, /) -> bytes:
        """Take a key that it has already, by its own name for it; its reference. Such a key is not destroyed there."""

    def take(self, reference: bytes, kind: KeyKind, workload_key: WorkloadKey, /) -> bytes | KeyWrap:
        """The key, in the form of its kind; or wrapped for the workload already, where it never leaves in the clear."""

    def destroy(self, reference: bytes, /) -> None:
        """Destroy the key; nothing happens where that was done before."""

    def check(self) -> None:
        """Ask it something, for who wants to know whether it answers."""


class Secrets(Protocol[S]):
    """Where the transfer gets keys from."""

    def find(self, secret_id: UUID, version: int | None = None, /) -> S | None:
        """The version of this number, or the latest, still sealed; None when there is none."""

    def take(self, stored: S, workload_key: WorkloadKey, /) -> bytes | KeyWrap:
        """The key itself, or already wrapped for the workload.

        Raises:
            ReleaseRefused: (`key-disabled`) it is disabled.
            UnknownKey: (`key-destroyed`, `key-gone`) it is no more.
            Unavailable: its key manager does not answer.
            SettingsError: what is stored is not what was written.
        """


class Releases(Protocol):
    """How often each secret was released."""

    def take(self, secret_id: UUID, limit: int, /) -> int | None:
        """Count one release more, durably, before anything leaves; None: so many were counted already.

        Raises:
            Unavailable: it is not known to be counted.
        """


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
