"""Interleaved rounds: every case once in each round, so that what slows the machine down slows all of them."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SLICE: Final = 0.025  # seconds of CPU that one case gets in one round


@dataclass(frozen=True, slots=True)
class Rounds:
    """What was measured: case -> CPU microseconds of one call, round by round."""

    samples: Mapping[str, tuple[float, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """The cases, in their order."""
        return tuple(self.samples)

    @property
    def count(self) -> int:
        """How many rounds there were."""
        return min(len(samples) for samples in self.samples.values())

    def median(self, name: str) -> float:
        """CPU microseconds of one call."""
        return statistics.median(self.samples[name])

    def ratio(self, of: str, to: str) -> float:
        """How many times `to` one call of `of` takes: the median of the rounds' own ratios."""
        return statistics.median(a / b for a, b in zip(self.samples[of], self.samples[to], strict=True))


def run_rounds(
    cases: Mapping[str, Callable[[], object]], *, rounds: int, clock: Callable[[], int] = time.process_time_ns
) -> Rounds:
    """Measure every case in every round.

    Args:
        cases: name -> one call of what is measured.
        rounds: how many, at least one.
        clock: tells nanoseconds; the CPU time of this process, unless what is measured spends it elsewhere.
    """
    calls = {name: _calls_in_slice(case, clock) for name, case in cases.items()}
    samples: dict[str, list[float]] = {name: [] for name in cases}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, case in cases.items():
                samples[name].append(_measure(case, calls[name], clock))
            gc.collect()
    finally:
        gc.enable()
    return Rounds({name: tuple(values) for name, values in samples.items()})


def _measure(case: Callable[[], object], calls: int, clock: Callable[[], int]) -> float:
    start = clock()
    for _ in range(calls):
        case()
    return (clock() - start) / calls / 1000


def _calls_in_slice(case: Callable[[], object], clock: Callable[[], int]) -> int:
    """How many calls fill a slice; the first calls also warm what there is to warm."""
    case()
    calls = 1
    while (taken := _measure(case, calls, clock) * calls / 1e6) < SLICE / 4:
        calls *= 2
    return max(1, round(calls * SLICE / taken))
