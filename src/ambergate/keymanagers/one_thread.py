"""Methods that all run on one thread of their object's own, one after the other; whoever calls one waits for it."""

from __future__ import annotations

import functools
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class OneThread:
    """The thread, started at the first need: in this process, whatever forked before.

    It is a daemon: work that never ends does not keep the process.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def run(self, work: Callable[[], R]) -> R:
        """What the work returns or raises, done on the thread."""
        done: Future[R] = Future()

        def attempt() -> None:
            try:
                done.set_result(work())
            except BaseException as exc:  # noqa: BLE001  it is the caller's
                done.set_exception(exc)

        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="one thread", daemon=True)
                self._thread.start()
        self._work.put(attempt)
        return done.result()

    def _serve(self) -> None:
        while True:
            self._work.get()()


class Threaded(Protocol):
    """Something with such a thread."""

    thread: OneThread


T = TypeVar("T", bound=Threaded)


def on_its_thread(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """The method, run on the object's own thread."""

    @functools.wraps(method)
    def waiting(self: T, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.thread.run(lambda: method(self, *args, **kwargs))

    return cast("Callable[Concatenate[T, P], R]", waiting)
