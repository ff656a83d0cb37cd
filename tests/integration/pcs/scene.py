"""The real client before the simulator's service; a clock that moves when told to, and waits that take no time."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tests.unit.simulator.stream import stream

from ambergate.core.collateral.needs import needs_of
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, VerifiedQuote, verify_quote
from ambergate.pcs.cache import CachedCollateral
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.retry import RetryPolicy
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN
from ambergate.simulator.pcs import Armed, Dialect, Shelf, SimulatedPcs
from ambergate.simulator.pcs.faults import Misfortune
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.pcs.fetcher import CollateralSource
    from ambergate.pcs.holding import ProcessMemory

AT: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM: Final = SimulatedPlatform.create(at=AT, random=stream("pcs integration"))
PROCESSOR: Final = SimulatedPlatform.create(at=AT, random=stream("pcs processor"), ca="processor")
ANCHOR: Final = TrustAnchor.from_pem(PLATFORM.root_pem)
QUOTES: Final = {"SGX": PLATFORM.quote(SPECIMEN, bytes(64)), "TDX": PLATFORM.td_quote(TD_SPECIMEN, bytes(64))}
ATTEMPTS: Final = 3


@dataclass
class Clock:
    """An instant for both sides; waiting moves it."""

    instant: datetime = AT
    waits: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)  # refreshes wait in threads of their own

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return (self.instant - AT).total_seconds()

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.waits.append(seconds)
            self.instant += timedelta(seconds=seconds)


@dataclass
class Site:
    """A running service of one platform and its clock."""

    server: SimulatedPcs
    clock: Clock
    platform: SimulatedPlatform

    def online(self, *, api: str = "v4", update: str = "standard") -> OnlineCollateral:
        return OnlineCollateral(
            self.server.url,
            api=api,
            update=update,
            verify=self.server.client_context(),
            retry=RetryPolicy(attempts=ATTEMPTS),
            clock=self.clock.monotonic,
            sleep=self.clock.sleep,
        )

    def cached(self, source: CollateralSource, memory: ProcessMemory | None = None) -> CachedCollateral:
        anchor = TrustAnchor.from_pem(self.platform.root_pem)
        return CachedCollateral(source, anchor=anchor, now=self.clock.now, store=memory)

    def arm(self, *faults: str) -> None:
        """From now on, these go wrong."""
        self.server.misfortune = Misfortune(Armed.parse(text) for text in faults)

    def fetch(self, source: CollateralSource, tee: str = "SGX") -> Collateral:
        return source.collateral(fmspc=self.platform.fmspc, ca=self.platform.ca, tee=tee)

    def asked(self) -> int:
        return self.server.requests.total()


@contextlib.contextmanager
def site(
    *faults: str,
    dialect: Dialect = Dialect.PCS,
    platform: SimulatedPlatform = PLATFORM,
    early_status: TcbStatus = TcbStatus.OUT_OF_DATE,
    drip: float = 0.05,
) -> Iterator[Site]:
    clock = Clock()
    shelf = Shelf(platform, now=clock.now, random=stream("stranger"), early_status=early_status)
    armed = [Armed.parse(text) for text in faults]
    with SimulatedPcs(shelf, dialect=dialect, faults=armed, drip=drip) as server:
        yield Site(server, clock, platform)


def verified(raw: bytes, source: CollateralSource, *, root_pem: str = PLATFORM.root_pem) -> VerifiedQuote:
    """The quote proven with what the source has for it."""
    quote = parse_quote(raw)
    needs = needs_of(quote)
    collateral = source.collateral(fmspc=needs.fmspc, ca=needs.ca, tee=needs.tee)
    return verify_quote(quote, collateral, at=AT, anchor=TrustAnchor.from_pem(root_pem))
