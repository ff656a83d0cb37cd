"""Ten thousand verifications of one platform that nothing is known of yet, at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.pcs.scene import ANCHOR, AT, PLATFORM, Site, site

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.verify import Verifier
from ambergate.pcs.cache import CachedCollateral
from ambergate.pcs.holding import CachePolicy
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc
    from ambergate.pcs.online import OnlineCollateral

TASKS: Final = 10_000
POOL: Final = 64  # threads of a large server
CROWD: Final = 2_000  # threads that all wait for the first answer; the other tasks come as these are done
DOCUMENTS: Final = 4
DEADLINE: Final = 100.0  # seconds; a safeguard, nothing takes nearly as long
STACK: Final = 512 * 1024  # bytes for each thread, so that a crowd of them fits


class Gate:
    """A source that answers nobody until everybody has come."""

    def __init__(self, source: OnlineCollateral, parties: int) -> None:
        self._source = source
        self._parties = parties
        self._arrived = 0
        self._all = threading.Condition()

    def arrive(self) -> None:
        with self._all:
            self._arrived += 1
            if self._arrived == self._parties:
                self._all.notify_all()

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        with self._all:
            assert self._all.wait_for(lambda: self._arrived == self._parties, DEADLINE)
        return self._source.collateral(fmspc=fmspc, ca=ca, tee=tee)


@pytest.fixture
def small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK)
    yield
    threading.stack_size(before)


def quotes(tee: str) -> list[bytes]:
    """Different ones, so that more than one is verified."""
    data = [number.to_bytes(64, "big") for number in range(64)]
    if tee == "SGX":
        return [PLATFORM.quote(SPECIMEN, each) for each in data]
    return [PLATFORM.td_quote(TD_SPECIMEN, each) for each in data]


def storm(here: Site, tee: str, threads: int) -> list[TcbStatus]:
    """All tasks' verdicts; `threads` of them have begun before the first request is made."""
    raws, verifier = quotes(tee), Verifier(anchor=ANCHOR)
    with here.online() as source:
        gate = Gate(source, threads)
        cache = CachedCollateral(gate, anchor=ANCHOR, now=here.clock.now, policy=CachePolicy(patience=DEADLINE))

        def verify(number: int) -> TcbStatus:
            if number < threads:
                gate.arrive()
            collateral = cache.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee=tee)
            return verifier.verify(raws[number % len(raws)], collateral, at=AT).tcb.status

        with cache, ThreadPoolExecutor(threads) as pool:
            return list(pool.map(verify, range(TASKS)))


@pytest.mark.usefixtures("small_stacks")
@pytest.mark.parametrize(("tee", "threads"), [("SGX", CROWD), ("TDX", POOL)])
def test_each_document_is_asked_for_once(tee: str, threads: int) -> None:
    with site() as here:
        assert storm(here, tee, threads) == [TcbStatus.UP_TO_DATE] * TASKS
        assert here.asked() <= DOCUMENTS
        assert set(here.server.requests.values()) == {1}
