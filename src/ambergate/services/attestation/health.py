"""What the attestation service needs to be ready: for each root, collateral that holds; keys that sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Unavailable
from ambergate.core.token.jose import ALGORITHMS
from ambergate.services.attestation.ports import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ambergate.services.attestation.ports import Holding, SigningKeys
    from ambergate.services.attestation.usecase import Trust

# A source that answers so is well: it has nothing for that family, and nobody can mend it here.
_ANSWERED: Final = frozenset({"collateral-unknown", "collateral-withdrawn"})


def collateral_check(roots: Sequence[Trust]) -> Callable[[], Mapping[str, object] | None]:
    """A check that fails when a root was asked for collateral, and has none that may be served now, for any family.

    Before anybody has asked it holds: families are not known ahead of evidence. What it tells are counts and one
    instant; which families there are, and why one fails, stands in the log: strangers may ask.
    """

    def check() -> Mapping[str, object] | None:
        keepers = [root.collateral for root in roots if isinstance(root.collateral, Keeper)]
        held = [list(keeper.holdings()) for keeper in keepers]
        for holdings in held:
            wanted = [each for each in holdings if not _nothing_there(each)]
            if wanted and not any(each.served for each in wanted):
                raise Unavailable("there is no collateral that holds for a root", code="collateral-missing")
        return _told([each for holdings in held for each in holdings])

    return check


def keys_check(keys: SigningKeys) -> Callable[[], None]:
    """A check that there is a key for every algorithm that a request may ask for."""

    def check() -> None:
        for algorithm in ALGORITHMS:
            keys.key_for(algorithm)

    return check


def _nothing_there(holding: Holding) -> bool:
    """Whether the source has said that it has nothing for this family, ever."""
    never_had = holding.expires is None
    return never_had and holding.failure is not None and holding.failure.code in _ANSWERED


def _told(holdings: Sequence[Holding]) -> Mapping[str, object]:
    ends = [holding.expires for holding in holdings if holding.expires is not None]
    return {
        "held": len(ends),
        "failing": sum(holding.failures > 0 for holding in holdings),
        "late": sum(holding.late for holding in holdings),
        "first_end": min(ends).isoformat() if ends else None,
    }
