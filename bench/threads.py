"""How much two threads do in the time of one: `cryptography` lets go of the interpreter while it checks a signature."""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE: Final = 0.2  # seconds that one count takes


def speedup(case: Callable[[], object], *, rounds: int) -> float:
    """Calls a second by two threads over calls a second by one; the median of rounds that alternate."""
    return statistics.median(_rate(case, 2) / _rate(case, 1) for _ in range(rounds))


def _rate(case: Callable[[], object], threads: int) -> float:
    counts = [0] * threads
    start = threading.Barrier(threads)
    stop = threading.Event()

    def work(index: int) -> None:
        start.wait()
        while not stop.is_set():
            case()
            counts[index] += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    begin = time.monotonic()
    for worker in workers:
        worker.start()
    stop.wait(SLICE)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - begin)
