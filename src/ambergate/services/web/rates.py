"""Rates: how often somebody may ask. Each process counts for itself, in memory.

The generic cell rate algorithm (ITU-T I.371, annex A) in its virtual scheduling form: one instant is kept for each who
asks, the one at which its next request would be exactly on time.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

MAX_KEPT: Final = 200_000  # who asked lately; each takes some 200 bytes


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests per second in the long run, and so many at once."""

    per_second: float
    burst: int


class Rates:
    """Counts requests. Safe to share between threads."""

    def __init__(self) -> None:
        self._on_time: dict[Hashable, datetime] = {}
        self._lock = threading.Lock()

    def take(self, who: Hashable, rate: Rate, *, at: datetime) -> int:
        """0 if one more request is within the rate, which it then counts for; or else the seconds to wait, at least 1.

        A clock that jumps back makes nobody wait longer than after a burst; one that jumps ahead gives one burst.
        """
        interval = timedelta(seconds=1 / rate.per_second)
        patience = interval * (rate.burst - 1)
        with self._lock:
            # In order, it is never further ahead than this: after a jump back of the clock it would be.
            on_time = min(self._on_time.get(who, at), at + patience + interval)
            if on_time - at > patience:
                self._on_time[who] = on_time
                return max(1, math.ceil((on_time - at - patience).total_seconds()))
            if who not in self._on_time and len(self._on_time) >= MAX_KEPT:
                self._forget(at)
            self._on_time[who] = max(on_time, at) + interval
            return 0

    def _forget(self, at: datetime) -> None:
        """Let go of those whose time has come: they stand as if they had never asked. If there are none, of all."""
        self._on_time = {who: when for who, when in self._on_time.items() if when > at}
        if len(self._on_time) >= MAX_KEPT:
            self._on_time.clear()
