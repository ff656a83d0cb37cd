"""Group commit: many threads hand something over, one commits it in groups, and each waits until its own is durable.

A commit costs a write to the disk, whatever it holds. What comes in while one is under way goes with the next: under
load a commit carries dozens, and a caller waits for two at most. What fails, fails for all of its group.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)

MAX_GROUP: Final = 1024  # items of one commit
MAX_WAITING: Final = 16 * 1024  # items; beyond, a new one is refused at once
WAIT: Final = 15.0  # seconds until a caller is told that it is not known whether its item will be durable


class _Ticket(Generic[Item, Result]):
    """One item, and what becomes of it. A bare lock is what waits: it costs a tenth of an event or a future."""

    __slots__ = ("_done", "_error", "_result", "item")

    def __init__(self, item: Item) -> None:
        self.item = item
        self._done = threading.Lock()
        self._done.acquire()
        self._result: Result
        self._error: Exception | None = None

    def resolve(self, result: Result) -> None:
        """It is durable."""
        self._result = result
        self._done.release()

    def fail(self, error: Exception) -> None:
        """It is not, or not known to be."""
        self._error = error
        self._done.release()

    def wait(self) -> Result:
        """What became of it.

        Raises:
            Unavailable: it took too long.
            Exception: why it failed.
        """
        if not self._done.acquire(timeout=WAIT):
            raise Unavailable("the database is too slow", code="write-queue", wanted=f"within {WAIT} s")
        if self._error is not None:
            raise self._error
        return self._result


class GroupCommit(Generic[Item, Result]):
    """One committing thread for any number of callers. Close it at the end.

    Args:
        commit: makes a group durable; gives a result for each item, in order. Called by one thread alone.
        idle: called by that thread after a group, and at least so often; None: never.
        idle_seconds: how often.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        idle: Callable[[], None] | None = None,
        idle_seconds: float = 1.0,
    ) -> None:
        self._commit = commit
        self._idle = idle
        self._idle_seconds = idle_seconds if idle is not None else None
        self._wake = threading.Condition()
        self._waiting: list[_Ticket[Item, Result]] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> Result:
        """Hand an item over, and wait until it is durable.

        Raises:
            Unavailable: too many wait, the committer was closed, or it took too long; in the last case alone the item
                may become durable after all.
            Exception: whatever `commit` raised for the item's group.
        """
        ticket: _Ticket[Item, Result] = _Ticket(item)
        with self._wake:
            if self._closed or len(self._waiting) >= MAX_WAITING:
                raise Unavailable("nothing more can be written now", code="write-queue", hint="try again")
            self._waiting.append(ticket)
            self._wake.notify()
        return ticket.wait()

    def close(self) -> None:
        """Commit what waits, and stop."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._waiting and not self._closed:
                    self._wake.wait(self._idle_seconds)
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                closed = self._closed
            if group:
                self._do(group)
            self._pause()
            if closed and not group:
                return

    def _pause(self) -> None:
        try:
            if self._idle is not None:
                self._idle()
        except Exception:  # noqa: BLE001  # this thread lives on: callers wait for it
            _log.exception("what is done between commits failed")

    def _do(self, group: list[_Ticket[Item, Result]]) -> None:
        try:
            results = self._commit([ticket.item for ticket in group])
        except Exception as exc:  # noqa: BLE001  each caller gets it; this thread lives on for the next group
            for ticket in group:
                ticket.fail(exc)
            return
        for ticket, result in zip(group, results, strict=True):
            ticket.resolve(result)
