"""Memory: what the database holds, kept in a process and never older than it may be.

It is read again, changes only, when it is older than `REFRESH`, and no answer rests on a read that began more than
`TRUST` ago: what was changed or revoked on any node counts everywhere by then. While the database does not answer for
longer, there is no answer (ADR 0028).

Under load one caller is sent to read before that, from `AHEAD` on, while the others are answered from what is known:
if all of them had to wait at once, each would go to a thread for it.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

K = TypeVar("K")
V = TypeVar("V")

AHEAD: Final = timedelta(seconds=1)
REFRESH: Final = timedelta(seconds=2)
TRUST: Final = timedelta(seconds=5)  # the promise of docs/api-keys.md
# How soon after a look what was not found is looked for again: it may have been made meanwhile.
MISSED: Final = timedelta(milliseconds=500)
RETRY: Final = timedelta(milliseconds=500)  # after the database did not answer
_NEVER: Final = timedelta.max
_NO_TIME: Final = (datetime.max.replace(tzinfo=UTC), *2 * (datetime.min.replace(tzinfo=UTC),))


class Memory(Generic[K, V]):
    """Things by their keys, as a store numbers their changes. Safe to share between threads.

    Args:
        since: a number -> the latest number, and what has changed after that one.
        now: the clock, aware.
    """

    def __init__(self, since: Callable[[int], tuple[int, Mapping[K, V]]], *, now: Callable[[], datetime]) -> None:
        self._since = since
        self._now = now
        self._lock = threading.Lock()  # for whoever writes what follows; who reads `_known` and `_read_at` needs none
        self._known: dict[K, V] = {}
        self._number = 0
        self._read_at: datetime | None = None
        self._fresh = _NO_TIME  # from when to when what is known is, and from when on one may read ahead
        self._ahead = False  # whether one does
        self._failure: tuple[datetime, Unavailable] | None = None

    def at_hand(self, key: K) -> V | None:
        """What is known of it and fresh; None: `get` may know. Waits for nothing."""
        begins, ends, due = self._fresh
        at = self._now()
        if not begins <= at < ends:
            return None
        if at >= due and not self._ahead:
            self._ahead = True  # this caller's `get` reads; of two at once both may
            return None
        return self._known.get(key)

    def get(self, key: K) -> V | None:
        """What is known of it; None: there is nothing. May wait for the database.

        Raises:
            Unavailable: the database has not answered for too long.
        """
        self._refresh(AHEAD if self._ahead else REFRESH)
        found = self._known.get(key)
        if found is None:
            self._refresh(MISSED)
            found = self._known.get(key)
        return found

    def _age(self, at: datetime) -> timedelta:
        """How old what is known is. A clock that went back says nothing of it."""
        age = _NEVER if self._read_at is None else at - self._read_at
        return age if age >= timedelta() else _NEVER

    def _refresh(self, after: timedelta) -> None:
        """Read what has changed, if what is known is as old as `after`. One thread reads; the others wait for it."""
        with self._lock:
            at = self._now()
            if self._age(at) < after:
                return
            self._ahead = False
            if self._failure is None or not timedelta() <= at - self._failure[0] < RETRY:
                try:
                    self._read(at)
                    if self._age(self._now()) >= TRUST:  # it took long, as the first of many may
                        self._read(self._now())
                except Unavailable as exc:
                    self._failure = self._now(), exc
            if self._failure is not None and self._age(self._now()) >= TRUST:
                failure = self._failure[1]
                raise Unavailable(failure.message, code=failure.code, seen=failure.seen) from failure

    def _read(self, at: datetime) -> None:
        number, changed = self._since(self._number)
        if number < self._number:  # another database than before, from a backup say: nothing that is known counts
            number, changed = self._since(0)
            self._known = {}
        self._known.update(changed)
        self._number, self._read_at, self._failure = number, at, None
        self._fresh = at, at + REFRESH, at + AHEAD
