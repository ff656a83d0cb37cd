"""What `GET /healthz` tells of the collateral that is kept: enough to see that it goes stale, and not whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.services.attestation.ports import Keeper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ambergate.services.attestation.usecase import Trust


def collateral_health(roots: Sequence[Trust]) -> Mapping[str, object]:
    """The member `collateral`, once any was asked for of a source that keeps it.

    Counts and one instant. Which families there are, and why one fails, stands in the log: strangers may ask this.
    """
    keepers = [root.collateral for root in roots if isinstance(root.collateral, Keeper)]
    holdings = [holding for keeper in keepers for holding in keeper.holdings()]
    if not holdings:
        return {}
    ends = [holding.expires for holding in holdings if holding.expires is not None]
    told = {
        "held": len(ends),
        "failing": sum(holding.failures > 0 for holding in holdings),
        "late": sum(holding.late for holding in holdings),
        "first_end": min(ends).isoformat() if ends else None,
    }
    return {"collateral": told}
