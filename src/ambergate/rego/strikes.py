"""Policies whose evaluation had to be ended again and again: they are left alone for a while.

So a bomb that comes with every request holds a worker for a few deadlines in half a minute, and not all the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.verify.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

ALLOWED: Final = 3  # in a row: a machine that is busy for a moment can end an honest policy once or twice
PAUSE: Final = 30.0  # seconds; ours
MAX_REMEMBERED: Final = 10_000  # policies


class Strikes:
    """Counts by policy. Safe to share between threads; a count that is lost to a race is made up by the next.

    Args:
        clock: seconds of a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended: Recent[bytes, tuple[int, float]] = Recent(MAX_REMEMBERED)

    def pausing(self, policy: bytes) -> bool:
        """Whether the policy is left alone now."""
        count, last = self._ended.get(policy) or (0, 0.0)
        return count >= ALLOWED and self._clock() < last + PAUSE

    def ended(self, policy: bytes) -> None:
        """It had to be ended. After a pause, one more end starts the next."""
        count, _ = self._ended.get(policy) or (0, 0.0)
        self._ended.put(policy, (count + 1, self._clock()))

    def answered(self, policy: bytes) -> None:
        """It gave an answer."""
        if self._ended.get(policy) is not None:
            self._ended.put(policy, (0, 0.0))
