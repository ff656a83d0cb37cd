"""Documents that platform families have in common: the root's revocation list, a CA's, a quoting enclave's identity.

When many families are asked for at once, as after a start, each of these is fetched once for all of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.pcs.transport import Deadline

# Seconds. Long enough for a burst, short enough that one bad document delays nobody for long: what is kept here was
# read, and not proven.
KEPT: Final = 10.0

T = TypeVar("T")


@dataclass(slots=True)
class _Slot(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: T | None = None
    fetched: float = 0.0


class Shared(Generic[T]):
    """Keeps what was fetched for a moment. Safe to share between threads. Holds one value for each name it was given.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot[T]] = {}

    def get(self, name: str, fetch: Callable[[], T], deadline: Deadline) -> T:
        """What is kept under this name, or what `fetch` returns; of several at once, one fetches and the others wait.

        Failures are not kept: who waited tries next.

        Raises:
            TimeoutError: the others took all of the time.
            Exception: as `fetch` does.
        """
        with self._lock:
            slot = self._slots.setdefault(name, _Slot())
        if not slot.lock.acquire(timeout=max(deadline.left(), 0.0)):
            raise TimeoutError
        try:
            if slot.value is None or self._clock() - slot.fetched >= KEPT:
                slot.value = None
                slot.value = fetch()
                slot.fetched = self._clock()
            return slot.value
        finally:
            slot.lock.release()
