"""A source of collateral that a test fills, holds back and counts; and a cache over it with a clock of the test's."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import cache as once
from typing import TYPE_CHECKING

from tests.unit.pcs.site import ANCHOR, AT, PLATFORM, Clock

from ambergate.core.errors import Unavailable
from ambergate.pcs.cache import CachedCollateral

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc
    from ambergate.pcs.fetcher import CollateralSource
    from ambergate.pcs.holding import CachePolicy, CollateralMemory


class Shelf:
    """Hands out what lies on it; nothing on it is an outage."""

    def __init__(self, held: Collateral | None = None) -> None:
        self.held = held
        self.error: BaseException = Unavailable("nobody answers", seen="the test's shelf", hint="wait")
        self.asked = 0
        self.asking = 0
        self.most = 0  # that asked at the same time
        self.gate = threading.Event()  # nothing is handed out until it is set
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self._lock = threading.Lock()

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        del fmspc, ca, tee
        with self._lock:
            self.asked += 1
            self.asking += 1
            self.most = max(self.most, self.asking)
        self.arrived.release()
        try:
            assert self.gate.wait(60)
            if self.held is None:
                raise self.error
            return self.held
        finally:
            with self._lock:
                self.asking -= 1


def cache(
    source: CollateralSource,
    clock: Clock,
    *,
    store: CollateralMemory | None = None,
    policy: CachePolicy | None = None,
    line: str = "standard",
) -> CachedCollateral:
    return CachedCollateral(source, now=clock, anchor=ANCHOR, store=store, line=line, policy=policy, draw=lambda: 0.0)


def get(kept: CollateralSource, *, tee: str = "SGX") -> Collateral:
    return kept.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee=tee)


@once
def published(**after: float) -> Collateral:
    """What the platform publishes so long after `AT`; signed once, since no two signatures are the same."""
    return PLATFORM.collateral(at=AT + timedelta(**after))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    never = threading.Event()
    for _ in range(6000):
        if condition():
            return
        never.wait(0.005)
    raise AssertionError("it did not happen within 30 s")
