"""Methods that all run on one thread of their object's own, one after the other; whoever calls one waits for it."""

from __future__ import annotations

import functools
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

from ambergate.core.errors import TimedOut, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

WAIT_SECONDS: Final = 120.0  # that a caller waits; to make an RSA key of 8192 bits may take half of it
MAX_WAITING: Final = 16  # callers at once, well below the threads that a service has for requests
ROOM_SECONDS: Final = 2.0  # that one more waits to be among them: where the work goes on, that is long


class OneThread:
    """The thread, started at the first need: in this process, whatever forked before.

    It is a daemon: work that never ends does not keep the process. Nor does it keep who waits: not for longer than
    `wait` seconds, and not more than `most` callers; who comes when there are so many is told after `room` seconds.
    Work that was begun goes on without them.
    """

    def __init__(self, *, wait: float = WAIT_SECONDS, most: int = MAX_WAITING, room: float = ROOM_SECONDS) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wait = wait
        self._room = threading.BoundedSemaphore(most)
        self._room_seconds = room

    def run(self, work: Callable[[], R]) -> R:
        """What the work returns or raises, done on the thread.

        Raises:
            TimedOut: it is not done in time.
            Unavailable: (`key-manager-unavailable`) too many wait already.
        """
        if not self._room.acquire(timeout=self._room_seconds):
            hint = "does it still answer?"
            words = "too many requests wait for the key manager"
            raise Unavailable(words, code="key-manager-unavailable", hint=hint)
        try:
            return self._awaited(self._begun(work))
        finally:
            self._room.release()

    def _begun(self, work: Callable[[], R]) -> Future[R]:
        done: Future[R] = Future()

        def attempt() -> None:
            if not done.set_running_or_notify_cancel():
                return  # nobody waits for it any more
            try:
                done.set_result(work())
            except BaseException as exc:  # noqa: BLE001  it is the caller's
                done.set_exception(exc)

        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="one thread", daemon=True)
                self._thread.start()
        self._work.put(attempt)
        return done

    def _awaited(self, done: Future[R]) -> R:
        try:
            return done.result(self._wait)
        except TimeoutError as exc:
            if done.done():  # in the last moment; or this was the work's own
                return done.result()
            done.cancel()
            raise TimedOut("the key manager did not answer in time", wanted=f"{self._wait:g} s") from exc

    def _serve(self) -> None:
        while True:
            self._work.get()()


class Threaded(Protocol):
    """Something with such a thread."""

    thread: OneThread


T = TypeVar("T", bound=Threaded)


def on_its_thread(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """The method, run on the object's own thread. Raises as `OneThread.run`, too."""

    @functools.wraps(method)
    def waiting(self: T, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.thread.run(lambda: method(self, *args, **kwargs))

    return cast("Callable[Concatenate[T, P], R]", waiting)
