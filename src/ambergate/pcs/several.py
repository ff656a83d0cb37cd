"""Several sources of collateral, asked in order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeVar

from ambergate.core.errors import MalformedCollateral, SettingsError, TimedOut, Unavailable
from ambergate.pcs.fetcher import Watchable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc
    from ambergate.pcs.fetcher import CollateralSource

T = TypeVar("T")


class FirstOf:
    """Asks each source until one has collateral. Which one that was does not matter: none of them is believed.

    Args:
        sources: a name for people, and the source; in the order they are asked.

    Raises:
        SettingsError: no source.
    """

    def __init__(self, sources: Sequence[tuple[str, CollateralSource]]) -> None:
        if not sources:
            raise SettingsError("there is no source of collateral", wanted="one at least")
        self._sources = tuple(sources)
        at_hand = itertools.takewhile(lambda each: isinstance(each, Watchable), (source for _, source in sources))
        self._at_hand = tuple(source for source in at_hand if isinstance(source, Watchable))

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements for a platform family, of the first source that has them (see `CollateralSource`).

        Raises:
            Unavailable: none has; names each and why. `TimedOut` when all were too slow.
            MalformedCollateral: there is one source, and what it has is not collateral.
        """
        return self.first(lambda source: source.collateral(fmspc=fmspc, ca=ca, tee=tee))

    def first(self, ask: Callable[[CollateralSource], T]) -> T:
        """What `ask` makes of the first source that it does not fail for; so a caller can ask for more than an answer.

        Raises:
            Unavailable: it failed for all.
            MalformedCollateral: there is one source, and it raised this.
        """
        failures: list[tuple[str, Unavailable | MalformedCollateral]] = []
        for name, source in self._sources:
            try:
                return ask(source)
            except (Unavailable, MalformedCollateral) as exc:
                failures.append((name, exc))
        last = failures[-1][1]
        if len(failures) == 1:
            raise last
        kind = TimedOut if all(isinstance(failure, TimedOut) for _, failure in failures) else Unavailable
        raise kind(
            "no source has usable collateral",
            seen="; ".join(f"{name}: {_told(failure)}" for name, failure in failures),
            wanted="one that has",
            hint="; ".join(dict.fromkeys(f"{name}: {failure.hint}" for name, failure in failures if failure.hint))
            or None,
        ) from last

    def fingerprint(self, *, fmspc: Fmspc, ca: str, tee: str) -> object:
        """Of the sources at hand that are asked before any that is not; None when none of these has anything."""
        if not self._at_hand:
            return None
        found = tuple([source.fingerprint(fmspc=fmspc, ca=ca, tee=tee) for source in self._at_hand])
        return None if found.count(None) == len(found) else found


def _told(failure: Unavailable | MalformedCollateral) -> str:
    return failure.message if failure.seen is None else f"{failure.message} ({failure.seen})"
