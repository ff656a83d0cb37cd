"""Group commit: many callers hand something over, one thread commits it in groups, each waits until its own is durable.

A commit costs a write to the disk, whatever it holds. What comes in while one is under way goes with the next: under
load a commit carries dozens, and a caller waits for two at most. What fails, fails for all of its group.

On a fast disk little comes in meanwhile, and what a commit costs is processor time. So the thread learns how many it
can have for a moment's wait, `LINGER` at most, and waits for that many: where callers come one at a time, not at all.
"""

from __future__ import annotations

import asyncio
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
LINGER: Final = 0.002  # seconds that a group waits for more, where more have been coming
ENOUGH: Final = 16  # items of a group that waits for no more: a commit costs as much as some ten of them
_CONTENT: Final = 32  # groups until one more is waited for again, after the last one more did not come


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
            raise _too_slow()
        if self._error is not None:
            raise self._error
        return self._result


class _Promise(Generic[Item, Result]):
    """One item of a caller on an event loop, and what becomes of it; settled in the loop's own thread."""

    __slots__ = ("error", "future", "item", "result")

    def __init__(self, item: Item, future: asyncio.Future[Result]) -> None:
        self.item = item
        self.future = future
        self.result: Result
        self.error: Exception | None = None

    def resolve(self, result: Result) -> None:
        """It is durable."""
        self.result = result

    def fail(self, error: Exception) -> None:
        """It is not, or not known to be."""
        self.error = error

    def settle(self) -> None:
        """Tell whoever still waits."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)

    def late(self) -> None:
        """It took too long."""
        self.fail(_too_slow())
        self.settle()


class _Pace:
    """How many items a group waits for, by what came before: as many as do come within `LINGER`."""

    def __init__(self) -> None:
        self.wanted = 1
        self._content = 0  # groups for which this is enough

    def learn(self, size: int) -> None:
        """A group of this size was taken."""
        if size < self.wanted:
            self.wanted, self._content = size, _CONTENT
        elif self._content:
            self._content -= 1
        elif size > 1:
            self.wanted = min(size + 1, ENOUGH)


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
        self._wake_at: float = 1  # so many items that wait wake the thread; meanwhile it works
        self._waiting: list[_Ticket[Item, Result] | _Promise[Item, Result]] = []
        self._pace = _Pace()
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
        self._take(ticket)
        return ticket.wait()

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Hand an item over from an event loop. What it gives ends as `put` does, once the item is durable.

        Raises:
            Unavailable: too many wait, or the committer was closed.
        """
        loop = asyncio.get_running_loop()
        promise: _Promise[Item, Result] = _Promise(item, loop.create_future())
        self._take(promise)
        timer = loop.call_later(WAIT, promise.late)
        promise.future.add_done_callback(lambda _: timer.cancel())
        return promise.future

    def close(self) -> None:
        """Commit what waits, and stop."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _take(self, ticket: _Ticket[Item, Result] | _Promise[Item, Result]) -> None:
        with self._wake:
            if self._closed or len(self._waiting) >= MAX_WAITING:
                raise Unavailable("nothing more can be written now", code="write-queue", hint="try again")
            self._waiting.append(ticket)
            if len(self._waiting) >= self._wake_at:
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._gather()
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                closed = self._closed
            if group:
                self._do(group)
            self._pause()
            if closed and not group:
                return

    def _gather(self) -> None:
        """Wait for a group, with the lock held."""
        if not self._waiting and not self._closed:
            self._wake_at = 1
            self._wake.wait(self._idle_seconds)
        wanted = self._pace.wanted
        if self._waiting:
            if len(self._waiting) < wanted and not self._closed:
                self._wake_at = wanted
                self._wake.wait(LINGER)
            self._pace.learn(len(self._waiting))
        self._wake_at = MAX_WAITING + 1  # nobody is to be woken while this thread works

    def _pause(self) -> None:
        try:
            if self._idle is not None:
                self._idle()
        except Exception:  # noqa: BLE001  # this thread lives on: callers wait for it
            _log.exception("what is done between commits failed")

    def _do(self, group: Sequence[_Ticket[Item, Result] | _Promise[Item, Result]]) -> None:
        try:
            results = self._commit([ticket.item for ticket in group])
        except Exception as exc:  # noqa: BLE001  each caller gets it; this thread lives on for the next group
            for ticket in group:
                ticket.fail(exc)
        else:
            for ticket, result in zip(group, results, strict=True):
                ticket.resolve(result)
        promises = [ticket for ticket in group if isinstance(ticket, _Promise)]
        for loop in {promise.future.get_loop() for promise in promises}:
            ours = [promise for promise in promises if promise.future.get_loop() is loop]
            try:
                loop.call_soon_threadsafe(_settle, ours)
            except RuntimeError:  # the loop is closed: nobody waits on it any more
                _log.warning("%d callers went before their items were durable", len(ours))


def _settle(promises: Sequence[_Promise[Item, Result]]) -> None:
    """Wake all of a group at once: once for the loop, not once for each."""
    for promise in promises:
        promise.settle()


def _too_slow() -> Unavailable:
    return Unavailable("the database is too slow", code="write-queue", wanted=f"within {WAIT} s")
