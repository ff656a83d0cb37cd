"""Several processes that serve on one listening socket, and one that watches them.

The watcher serves nothing and opens nothing: it holds the socket, so that connections wait while a worker is replaced,
and forks. It must have a single thread. The first worker starts alone: if it cannot, the service ends as it did. From
then on a worker that ends is replaced, and waits for longer if the ones before it died young. SIGTERM and SIGINT stop
all workers, which let requests in flight end; SIGHUP reaches them if the watcher could use the changed configuration
itself, and later replacements start with that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_WORKERS: Final = 64
SHORT_LIFE: Final = 10.0  # seconds; a worker that lived for less waits for longer each time
FIRST_PAUSE: Final = 0.2  # seconds before such a worker is replaced; doubled each time
LONGEST_PAUSE: Final = 30.0
PATIENCE: Final = 20.0  # seconds that workers have to end: their own grace is shorter
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_FAILED: Final = 1  # exit code
_LOG = logging.getLogger("ambergate.workers")


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place in its service.

    Attributes:
        ready: to be called once it accepts connections.
        watched: whether the watcher lives; a worker whose watcher does not has to end.
        number: from 0; its replacement has the same.
    """

    ready: Callable[[], None]
    watched: Callable[[], bool]
    number: int


@dataclass(slots=True)
class _Worker:
    pid: int
    number: int
    started: float
    pipe: int | None  # gives one byte when the worker accepts connections; None once it has, or has ended
    accepts: bool = False


class Pauses:
    """How long to wait before a worker is replaced."""

    def __init__(self) -> None:
        self._last = 0.0

    def after(self, lived: float) -> float:
        """Seconds to wait after a worker that lived for so many seconds."""
        self._last = 0.0 if lived >= SHORT_LIFE else min(max(2 * self._last, FIRST_PAUSE), LONGEST_PAUSE)
        return self._last


class Watcher:
    """Keeps `count` workers alive until it is told to stop.

    Args:
        count: of workers, 1 to `MAX_WORKERS`.
        work: serves in the worker's process until SIGTERM; what it returns is the worker's exit code.
        reload: called at SIGHUP; whether the workers are to reload.
        on_start: called once all workers accept.
        on_stop: called when they are told to end: whoever connects now is refused, and does not wait for nobody.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Place], int],
        *,
        reload: Callable[[], bool],
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._count = count
        self._work = work
        self._reload = reload
        self._on_start = on_start
        self._on_stop = on_stop
        self._clock = clock
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._pauses = Pauses()
        self._not_before = 0.0
        self._started = False
        self._stopping_since: float | None = None
        self._code = 0

    def run(self) -> int:
        """Watch until the end; the exit code."""
        with self._woken_by_signals() as awake, contextlib.closing(self._selector):
            self._selector.register(awake, selectors.EVENT_READ)
            while self._workers or self._stopping_since is None:
                self._fill()
                for key, _ in self._selector.select(self._patience()):
                    if key.fd == awake:
                        self._heed(os.read(awake, 4096))
                    else:
                        self._became_ready(key.fd)
                self._kill_if_late()
        return self._code

    def _fill(self) -> None:
        """Fork what is missing, if it is time; the second worker and the rest when the first one accepts."""
        if self._stopping_since is not None or self._clock() < self._not_before:
            return
        wanted = self._count if self._started or self._accepting() else 1
        try:
            while len(self._workers) < wanted:
                self._fork()
        except OSError as exc:  # no room for another process, or no descriptor: whoever serves goes on
            pause = self._pauses.after(0)
            self._not_before = self._clock() + pause
            _LOG.error("no worker can be started: %s; tried again in %.1f s", exc.strerror, pause)

    def _fork(self) -> None:
        number = min(set(range(self._count)) - {worker.number for worker in self._workers.values()})
        watcher = os.getpid()
        reads, writes = os.pipe2(os.O_CLOEXEC)
        # Until the worker has handlers of its own a signal to it would be told to the watcher, and lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if not pid:
                os.close(reads)
                self._be_worker(writes, watcher, number)
        except OSError:
            os.close(reads)
            raise
        finally:
            os.close(writes)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self._workers[pid] = _Worker(pid, number, self._clock(), reads)
        self._selector.register(reads, selectors.EVENT_READ)

    def _be_worker(self, writes: int, watcher: int, number: int) -> None:
        """Serve in this process, and never return."""
        code = _FAILED
        try:
            signal.set_wakeup_fd(-1)
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_IGN if each == signal.SIGHUP else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._selector.close()
            code = self._work(Place(lambda: _tell_ready(writes), lambda: os.getppid() == watcher, number))
        except BaseException:  # nothing may go up into the watcher's frames  # noqa: BLE001
            _LOG.exception("a worker ended by a fault")
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _became_ready(self, fd: int) -> None:
        worker = next((one for one in self._workers.values() if one.pipe == fd), None)
        if worker is None:  # it ended too, and was buried a moment ago
            return
        worker.accepts = bool(os.read(fd, 1))  # the end of the pipe: it ended before it could
        self._forget_pipe(worker)
        if not self._started and self._accepting() == self._count:
            self._started = True
            self._on_start()

    def _accepting(self) -> int:
        return sum(worker.accepts for worker in self._workers.values())

    def _heed(self, numbers: bytes) -> None:
        """Do what signals ask for; several of one kind are one."""
        if signal.SIGCHLD in numbers:
            self._bury()
        if (signal.SIGTERM in numbers or signal.SIGINT in numbers) and self._stopping_since is None:
            self._stop()
        if signal.SIGHUP in numbers and self._stopping_since is None and self._reload():
            self._tell(signal.SIGHUP)

    def _bury(self) -> None:
        for pid in list(self._workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._ended(self._workers.pop(pid), os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, code: int) -> None:
        self._forget_pipe(worker)
        if self._stopping_since is not None:
            return
        if not self._started:
            self._code = code if code > 0 else _FAILED
            self._stop()
            return
        lived = self._clock() - worker.started
        pause = self._pauses.after(lived)
        self._not_before = self._clock() + pause
        _LOG.error("worker %d ended (%d) after %.0f s; another starts in %.1f s", worker.pid, code, lived, pause)

    def _stop(self) -> None:
        self._stopping_since = self._clock()
        self._on_stop()
        self._tell(signal.SIGTERM)

    def _kill_if_late(self) -> None:
        if self._stopping_since is not None and self._clock() - self._stopping_since > PATIENCE:
            self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._workers:  # none of them was waited for yet, so the number is still its own
            os.kill(pid, number)

    def _patience(self) -> float | None:
        """Seconds until there is something to do without being woken."""
        if self._stopping_since is not None:
            return 1.0
        late = self._not_before - self._clock()
        return late if len(self._workers) < self._count and late > 0 else None

    def _forget_pipe(self, worker: _Worker) -> None:
        if worker.pipe is not None:
            self._selector.unregister(worker.pipe)
            os.close(worker.pipe)
            worker.pipe = None

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[int]:
        """A descriptor that gives the number of each signal; they do nothing else."""
        reads, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        before = {number: signal.signal(number, _noted) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(writes)
        try:
            yield reads
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reads)
            os.close(writes)


def _tell_ready(writes: int) -> None:
    os.write(writes, b"r")
    os.close(writes)


def _noted(_number: int, _frame: object) -> None:
    """The descriptor tells."""
