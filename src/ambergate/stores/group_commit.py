"""Group commit: many callers hand something over, one thread commits it in groups, each waits until its own is durable.

A commit costs a write to the disk, whatever it holds. What comes in while one is under way goes with the next: under
load a commit carries dozens, and a caller waits for two at most. What fails, fails for all of its group.

On a fast disk little comes in meanwhile, and what a commit costs is processor time. So what callers on an event loop
hand over goes to the thread when that loop has nothing else to do: under load it gathers, idle it does not wait.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
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
LINGER: Final = 0.01  # seconds that a loop gathers at most
ENOUGH: Final = 16  # items that a loop gathers at most: a commit costs as much as some ten of them


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


class _Patience:
    """How long those wait whose items a loop handed over together: one timer for all of them."""

    __slots__ = ("_left", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, promises: Sequence[_Promise[Item, Result]]) -> None:
        self._left = len(promises)
        self._timer = loop.call_later(WAIT, self._end, promises)

    def settled(self) -> None:
        """One of them waits no more."""
        self._left -= 1
        if not self._left:
            self._timer.cancel()

    @staticmethod
    def _end(promises: Sequence[_Promise[Item, Result]]) -> None:
        for promise in promises:
            if not promise.future.done():
                promise.late()


class _Promise(Generic[Item, Result]):
    """One item of a caller on an event loop, and what becomes of it; settled in the loop's own thread."""

    __slots__ = ("error", "future", "item", "patience", "result")

    def __init__(self, item: Item, future: asyncio.Future[Result]) -> None:
        self.item = item
        self.future = future
        self.result: Result
        self.error: Exception | None = None
        self.patience: _Patience | None = None

    def resolve(self, result: Result) -> None:
        """It is durable."""
        self.result = result

    def fail(self, error: Exception) -> None:
        """It is not, or not known to be."""
        self.error = error

    def settle(self) -> None:
        """Tell whoever still waits."""
        if self.patience is not None:
            self.patience.settled()
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


class _Gathering(Generic[Item, Result]):
    """What callers on one event loop have handed over and the thread has not got yet. Touched in the loop's own thread.

    It goes when the loop has nothing else to do; when it is enough; or when its first item has waited for `LINGER`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, give: Callable[[list[_Promise[Item, Result]]], None]) -> None:
        self._loop = loop
        self._give = give
        self._promises: list[_Promise[Item, Result]] = []
        self._seen = 0  # of these, when the loop came round last
        self._until = 0.0
        self._coming = False  # whether the loop comes round to us

    def add(self, promise: _Promise[Item, Result]) -> None:
        """One more."""
        if not self._promises:
            self._until = self._loop.time() + LINGER
        self._promises.append(promise)
        if len(self._promises) >= ENOUGH:
            self._go()
        elif not self._coming:
            self._coming = True
            self._loop.call_soon(self._come_round)

    def _come_round(self) -> None:
        """Once in every turn of the loop; in one that added nothing there was nothing to do."""
        if len(self._promises) == self._seen or self._loop.time() >= self._until:
            self._go()
        self._seen = len(self._promises)
        self._coming = self._seen > 0
        if self._coming:
            self._loop.call_soon(self._come_round)

    def _go(self) -> None:
        promises, self._promises, self._seen = self._promises, [], 0
        if promises:
            patience = _Patience(self._loop, promises)
            for promise in promises:
                promise.patience = patience
            self._give(promises)


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
        self._waiting: list[_Ticket[Item, Result] | _Promise[Item, Result]] = []
        self._gatherings: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Gathering[Item, Result]]
        self._gatherings = weakref.WeakKeyDictionary()
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
        if self._closed or len(self._waiting) >= MAX_WAITING:
            raise _no_more()
        promise: _Promise[Item, Result] = _Promise(item, loop.create_future())
        gathering = self._gatherings.get(loop)
        if gathering is None:
            gathering = self._gatherings[loop] = _Gathering(loop, self._take_all)
        gathering.add(promise)
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
                raise _no_more()
            self._waiting.append(ticket)
            self._wake.notify()

    def _take_all(self, promises: list[_Promise[Item, Result]]) -> None:
        with self._wake:
            if not self._closed:
                self._waiting += promises
                self._wake.notify()
                return
        for promise in promises:
            promise.fail(_no_more())
            promise.settle()

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


def _no_more() -> Unavailable:
    return Unavailable("nothing more can be written now", code="write-queue", hint="try again")


def _too_slow() -> Unavailable:
    return Unavailable("the database is too slow", code="write-queue", wanted=f"within {WAIT} s")
