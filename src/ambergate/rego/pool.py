"""Worker processes, kept ready: each answers one request at a time, within a deadline, or is killed.

What a worker says is read as from a stranger: a policy that breaks the interpreter may write anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.rego.frames import MAX_ANSWER, MAX_REQUEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_REQUESTS: Final = 2_000  # of one worker, after which a new one takes its place: what leaks, leaks so much at most
MAX_WORKERS: Final = 64
_MAX_REASON: Final = 200  # characters of why a worker could not start
_BLAME: Final = 0.05  # of a deadline: who has used so much CPU when it is over was at work; most need 1 % of it
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class WorkerFailed(Exception):
    """No answer. `blame`: whether the request itself may be the reason, so that asking again would not help."""

    def __init__(self, message: str, *, blame: bool) -> None:
        super().__init__(message)
        self.message = message
        self.blame = blame


class _Late(WorkerFailed):
    """The deadline is over."""


class Limits(NamedTuple):
    """What one request may cost."""

    seconds: float = 2.0  # by the clock on the wall, of one evaluation
    cpu_seconds: int = 1  # the kernel kills between this and two more
    start_seconds: float = 30.0  # for a worker to load the interpreter; no policy runs yet
    memory_mib: int = 256  # above what the interpreter takes when it is loaded


def command(limits: Limits) -> tuple[str, ...]:
    """What starts a worker: isolated from environment and user, and without writing compiled files."""
    return (sys.executable, "-I", "-B", "-m", "ambergate.rego.worker", str(limits.memory_mib))


class Worker:
    """One process. Not for several threads at once."""

    def __init__(self, limits: Limits, program: Sequence[str]) -> None:
        self._limits = limits
        self._requests = 0
        self._ready = False
        self._process = subprocess.Popen(  # noqa: S603  our own module, no shell
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            bufsize=0,
            start_new_session=True,  # what a terminal sends to the service is not for its workers
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def spent(self) -> bool:
        """It has served long enough."""
        return self._requests >= MAX_REQUESTS

    def ask(self, request: bytes, seconds: float) -> dict[str, object]:
        """The answer to one request, within so many seconds.

        Raises:
            WorkerFailed: none came; the worker is of no more use.
        """
        if not self._ready:
            told = self._receive(time.monotonic() + self._limits.start_seconds, "start", blame=False)
            if "ready" not in told:
                why = f": {str(told['unusable'])[:_MAX_REASON]}" if "unusable" in told else ""
                raise WorkerFailed(f"the worker did not start{why}", blame=False)
            self._ready = True
        self._requests += 1
        until = time.monotonic() + seconds
        used = self._cpu()
        try:
            self._send(request, until)
            return self._receive(until, "come to an end", blame=True)
        except _Late as exc:
            # A machine that is busy with others is not the policy's doing.
            raise WorkerFailed(exc.message, blame=self._cpu() - used >= seconds * _BLAME) from exc

    def kill(self) -> None:
        """End it, now."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _cpu(self) -> float:
        """Seconds of CPU that it has used. Source: proc(5), utime and stime of /proc/PID/stat."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _send(self, body: bytes, until: float) -> None:
        left = memoryview(len(body).to_bytes(4, "big") + body)
        while left:
            try:
                left = left[os.write(self._to, left) :]
            except BlockingIOError:
                self._await(self._to, select.POLLOUT, until, "take the request", blame=True)
            except OSError as exc:
                raise WorkerFailed("the worker had died", blame=False) from exc

    def _receive(self, until: float, deed: str, *, blame: bool) -> dict[str, object]:
        head = self._exactly(4, until, deed, blame=blame)
        size = int.from_bytes(head, "big")
        if size > MAX_ANSWER:
            raise WorkerFailed("the worker's answer is too long", blame=True)
        return _read_answer(self._exactly(size, until, deed, blame=blame))

    def _exactly(self, size: int, until: float, deed: str, *, blame: bool) -> bytes:
        found = bytearray()
        while len(found) < size:
            try:
                piece = os.read(self._from, size - len(found))
            except BlockingIOError:
                self._await(self._from, select.POLLIN, until, deed, blame=blame)
                continue
            if not piece:
                hint = f"it was ended: no more than {self._limits.memory_mib} MiB, {self._limits.cpu_seconds} s of CPU"
                raise WorkerFailed(hint if blame else "the worker did not start", blame=blame)
            found += piece
        return bytes(found)

    def _await(self, descriptor: int, event: int, until: float, deed: str, *, blame: bool) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise _Late(f"it did not {deed} in time", blame=blame)


class Pool:
    """Some workers, each for whoever comes next. Safe to share between threads.

    A worker is started when it is first needed, and one that failed is replaced at once. A request waits for one no
    longer than it would be let run: twice its deadline is the most that it takes.

    Args:
        workers: how many at most.
        limits: what one request may cost.
        program: what is started in place of a worker; tests show with it what a broken one can do.
    """

    def __init__(self, workers: int, limits: Limits, *, program: Sequence[str] | None = None) -> None:
        if not 1 <= workers <= MAX_WORKERS:
            msg = f"between 1 and {MAX_WORKERS} workers"
            raise ValueError(msg)
        self._limits = limits
        self._program = tuple(program or command(limits))
        self._closed = False
        # Last in, first out: who has worked before works again. None: a worker that is not started.
        self._free: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._free.put(None)

    def ask(self, request: Mapping[str, object], *, share: float = 1.0) -> dict[str, object]:
        """The answer of one worker: `value`, `error` or `refused`, within this share of the deadline.

        Raises:
            WorkerFailed: no worker was free or could be started, or it gave none.
        """
        body = json.dumps({**request, "cpu": self._limits.cpu_seconds}, allow_nan=False).encode()
        if len(body) > MAX_REQUEST:
            raise WorkerFailed("policy and claims are too long", blame=True)
        try:
            worker = self._free.get(timeout=self._limits.seconds * share)
        except queue.Empty:
            raise WorkerFailed("all workers are busy", blame=False) from None
        good = False
        try:
            worker = worker or self._start()
            if worker is None:
                raise WorkerFailed("no worker can be started", blame=False)
            answer = worker.ask(body, self._limits.seconds * share)
            if "failed" in answer:
                raise WorkerFailed(str(answer["failed"])[:200], blame=True)
            good = not worker.spent
        finally:
            self._give_back(worker, good=good)
        return answer

    def close(self) -> None:
        """End all workers; those that are at work, when they are done. Nothing is answered any more."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._free.get_nowait()
                if worker is not None:
                    worker.kill()

    def _start(self) -> Worker | None:
        try:
            return None if self._closed else Worker(self._limits, self._program)
        except OSError:  # no process, no descriptor or no memory is to be had now
            return None

    def _give_back(self, worker: Worker | None, *, good: bool) -> None:
        if worker is not None and (not good or self._closed):
            worker.kill()
            worker = self._start()
        if not self._closed:
            self._free.put(worker)


def _read_answer(body: bytes) -> dict[str, object]:
    try:
        answer = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise WorkerFailed("the worker's answer makes no sense", blame=True) from exc
    if (
        not isinstance(answer, dict)
        or len(answer) != 1
        or not answer.keys() <= {"ready", "unusable", "value", "error", "refused", "failed"}
    ):
        raise WorkerFailed("the worker's answer makes no sense", blame=True)
    return answer


def _no_number(word: str) -> object:
    msg = f"{word} is no number"
    raise ValueError(msg)
