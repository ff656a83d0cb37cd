"""The one door to collateral documents, owned by those who need them; adapters fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc

CAS: Final = ("platform", "processor")
TEES: Final = ("SGX", "TDX")


class Wanted(NamedTuple):
    """What collateral is asked for by."""

    fmspc: Fmspc
    ca: str  # "processor" or "platform"
    tee: str  # "SGX" or "TDX"

    @classmethod
    def of(cls, fmspc: Fmspc, ca: str, tee: str) -> Wanted:
        """The question, when there is such a CA and such a TEE.

        Raises:
            Unavailable: there is not.
        """
        if ca not in CAS or tee not in TEES:
            raise Unavailable(f"no collateral exists for the {ca} CA and {tee}", wanted=f"{CAS}, {TEES}")
        return cls(fmspc, ca, tee)

    def __str__(self) -> str:
        return f"{self.tee.lower()}-{self.fmspc.hex()}-{self.ca}"


class CollateralSource(Protocol):
    """Gets all of Intel's statements about one platform family."""

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements for a family.

        Args:
            fmspc: the platform family, from the PCK certificate.
            ca: "processor" or "platform", whichever CA issued the PCK certificate.
            tee: "SGX" or "TDX".

        Raises:
            Unavailable: they could not be had.
            MalformedCollateral: what came is not collateral.
        """
        ...


@runtime_checkable
class Watchable(Protocol):
    """A source at hand, of which can be told cheaply whether it would answer otherwise than before."""

    def fingerprint(self, *, fmspc: Fmspc, ca: str, tee: str) -> object:
        """Differs from what it was when `collateral` would return something else; None: nothing is at hand."""
        ...
