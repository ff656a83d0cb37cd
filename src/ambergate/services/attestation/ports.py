"""What the use case needs from outside; adapters fit these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc
    from ambergate.core.token.jose import SigningKey
    from ambergate.core.verify.forecast import PlatformKind


class CollateralSource(Protocol):
    """Gets Intel's statements about a platform family."""

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements; raises `Unavailable` or `MalformedCollateral`."""
        ...


class SigningKeys(Protocol):
    """Holds the keys that sign tokens."""

    def key_for(self, alg: str) -> SigningKey:
        """The key that signs with this algorithm."""
        ...


class Authorisation(Protocol):
    """Knows who may ask."""

    def authorise(self, text: str, /) -> object:
        """Returns if this API key may; raises `NotAuthorised`."""
        ...

    def check(self) -> None:
        """Raises when it could not tell."""
        ...


class SeenPlatforms(Protocol):
    """Remembers which kinds of platforms gave evidence, so that their status can be forecast."""

    def saw(self, kind: PlatformKind, *, at: datetime) -> None:
        """Genuine evidence came from such a platform. Raises nothing: attestation does not hang on it."""
        ...
