"""What the use case needs from outside; adapters fit these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.named import Policy
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.errors import AmberError
    from ambergate.core.measurements import Fmspc
    from ambergate.core.token.jose import SigningKey
    from ambergate.core.verify.forecast import PlatformKind
    from ambergate.services.attestation.decision import Decision


ATTEST: Final = "attest"  # scope: nonces and tokens
MANAGE: Final = "manage"  # scope: policies


class Caller(NamedTuple):
    """Who asks, and what its API key sets for its requests. Made by `Authorisation.authorise` only.

    Attributes:
        key_id: of its key; None: it showed none, and the configuration lets anybody ask.
        label: whose key it is, in words.
        scopes: what it may do: `ATTEST`, `MANAGE`.
        policy_ids: evaluated where a request names none.
        policy_must_match: whether each of its requests gets a token only if all evaluated policies match.
        default_algorithm: signs where a request names none; None: the service's.
        profile: shape of its tokens; None: the endpoint's.
    """

    key_id: UUID | None
    label: str
    scopes: frozenset[str]
    policy_ids: tuple[UUID, ...] = ()
    policy_must_match: bool = False
    default_algorithm: str | None = None
    profile: str | None = None


ANYBODY: Final = Caller(key_id=None, label="anybody", scopes=frozenset({ATTEST}))


class CollateralSource(Protocol):
    """Gets Intel's statements about a platform family."""

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements; raises `Unavailable` or `MalformedCollateral`."""
        ...


@runtime_checkable
class CollateralAtHand(Protocol):
    """A source that can tell what it would answer without waiting."""

    def at_hand(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral | None:
        """The statements, if they are held and may be served; None: ask for them."""
        ...


class Family(Protocol):
    """A kind of platforms that Intel makes statements about."""

    @property
    def fmspc(self) -> Fmspc:
        """Its name."""
        ...

    @property
    def ca(self) -> str:
        """Who certifies its platforms: "processor" or "platform"."""
        ...

    @property
    def tee(self) -> str:
        """Of which TEE the statements are: "SGX" or "TDX"."""
        ...


class Holding(Protocol):
    """What is held for one platform family."""

    @property
    def wanted(self) -> Family:
        """The family."""
        ...

    @property
    def accepted(self) -> datetime | None:
        """When it was accepted; None: nothing is held."""
        ...

    @property
    def evaluation(self) -> int | None:
        """The evaluation number of its TCB info; None: nothing is held."""
        ...

    @property
    def expires(self) -> datetime | None:
        """When it ends; None: nothing is held."""
        ...

    @property
    def served(self) -> bool:
        """Whether it may be served now."""
        ...

    @property
    def late(self) -> bool:
        """Whether it is served although it has ended."""
        ...

    @property
    def failures(self) -> int:
        """How often in a row newer could not be had."""
        ...

    @property
    def failure(self) -> AmberError | None:
        """The last of these."""
        ...


@runtime_checkable
class Keeper(Protocol):
    """A source that keeps what it has got, and can tell how that stands."""

    def holdings(self) -> Sequence[Holding]:
        """One for each family that was asked for."""
        ...


class SigningKeys(Protocol):
    """Holds the keys that sign tokens."""

    def at_hand(self, alg: str, /) -> SigningKey | None:
        """The key that signs with this algorithm, if that can be told without waiting."""
        ...

    def key_for(self, alg: str, /) -> SigningKey:
        """The key that signs with this algorithm; may wait. Raises `Unavailable`."""
        ...


class Authorisation(Protocol):
    """Knows who may ask."""

    def at_hand(self, text: str, /) -> Caller | None:
        """Whose API key this is, if that can be told without waiting; raises `NotAuthorised`, `TooManyRequests`."""
        ...

    def authorise(self, text: str, /) -> Caller:
        """Whose API key this is; may wait. Raises `NotAuthorised`, `TooManyRequests`, `Unavailable`."""
        ...

    def check(self) -> None:
        """Raises when it could not tell."""
        ...


class Audit(Protocol):
    """Keeps every decision."""

    async def record(self, decision: Decision, /) -> None:
        """Returns once the decision is durable; raises `Unavailable` when that is not known."""
        ...


class Policies(Protocol):
    """Finds named policies."""

    def get(self, policy_id: UUID, /) -> Policy | None:
        """The policy as it is now; None: there is none. Raises `Unavailable`."""
        ...

    def at_hand(self, policy_id: UUID, /) -> Policy | None:
        """The policy as it is now, if that can be told without waiting; None: `get` may know."""
        ...


class SeenPlatforms(Protocol):
    """Remembers which kinds of platforms gave evidence, so that their status can be forecast."""

    def saw(self, kind: PlatformKind, *, at: datetime) -> None:
        """Genuine evidence came from such a platform. Raises nothing: attestation does not hang on it."""
        ...
