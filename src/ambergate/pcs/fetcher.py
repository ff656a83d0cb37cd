"""The one door to collateral documents, owned by those who need them; adapters fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc


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
