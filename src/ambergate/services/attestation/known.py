"""What is known of platforms that attested before: what their quotes need, and of which kind they are.

All of it is found by the digest of what a quote's platform decides (`Cut.digest`): two quotes of one digest have one
chain. None of it is proof: the verifier has its own memory, and checks a signature of every quote.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.verify.forecast import PlatformKind
from ambergate.core.verify.recent import Recent

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.needs import Needs
    from ambergate.core.verify.verdict import VerifiedQuote
    from ambergate.services.attestation.ports import SeenPlatforms

MAX_PLATFORMS: Final = 100_000  # each takes below 1 KiB
MAX_KINDS: Final = 4096
TOLD_EVERY: Final = timedelta(seconds=10)  # at most so often it is told that a kind was seen


@dataclass(slots=True)
class Kind:
    """A kind of platforms, and when it was told last that one was seen."""

    kind: PlatformKind
    told_at: datetime | None = None

    def due(self, at: datetime) -> bool:
        """Whether it is time to tell of it. A clock that went back says that it is."""
        return self.told_at is None or not timedelta() <= at - self.told_at < TOLD_EVERY


@dataclass(slots=True)
class Platform:
    """A platform: what its quotes need, and its kind once one of them was proven."""

    needs: Needs
    kind: Kind | None = None


class KnownPlatforms:
    """Platforms by digest. Safe to share between threads.

    Args:
        seen: is told of kinds that were seen; may wait. None: nobody is.
    """

    def __init__(self, seen: SeenPlatforms | None) -> None:
        self._seen = seen
        self._platforms: Recent[bytes, Platform] = Recent(MAX_PLATFORMS)
        self._kinds: Recent[PlatformKind, Kind] = Recent(MAX_KINDS)

    def get(self, digest: bytes) -> Platform | None:
        """The platform, if it was here before."""
        return self._platforms.get(digest)

    def put(self, digest: bytes, needs: Needs) -> None:
        """Remember what a platform's quotes need."""
        self._platforms.put(digest, Platform(needs))

    def quiet(self, platform: Platform, at: datetime) -> bool:
        """Whether `saw` has nobody to tell, and so will not wait."""
        return self._seen is None or (platform.kind is not None and not platform.kind.due(at))

    def saw(self, platform: Platform | None, verified: VerifiedQuote, *, at: datetime) -> None:
        """A quote of this platform was proven; who has to know of its kind is told, every `TOLD_EVERY`."""
        if self._seen is None:
            return
        kind = None if platform is None else platform.kind
        if kind is None:
            made = PlatformKind.of(verified)
            kind = self._kinds.get(made)
            if kind is None:
                kind = Kind(made)
                self._kinds.put(made, kind)
            if platform is not None:
                platform.kind = kind
        if kind.due(at):
            kind.told_at = at
            self._seen.saw(kind.kind, at=at)
