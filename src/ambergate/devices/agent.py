"""The process that answers the shim: the files' state machine behind a UNIX socket, one connection for each open.

One thread owns all connections and waits for none of them. What has to be fetched is fetched by a few threads that were
started in advance; everything else is answered at once. Before an open is answered, what finished writers wrote is in
force: a writer's close is the end of its connection, and the shim sees no close.

Only the standard library, and little of it: this runs inside enclaves (`agent_wire` has the protocol).
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import queue
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ambergate.devices.agent_wire import Request, answer, refusal, request_in
from ambergate.devices.nodes import MAX_CONTENT, SETTING_FILES, os_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.devices.model import Tree

# Our limits.
WORKERS: Final = 16  # threads that fetch; as many tokens are on their way at once, further readers wait
MAX_CONNECTIONS: Final = 512  # beyond, connections wait in the kernel's queue
MAX_WRITERS: Final = 128  # files open for writing; ENFILE beyond
BACKLOG: Final = 256
ASK_SECONDS: Final = 5.0  # from connection to complete request: the shim sends it at once
SEND_SECONDS: Final = 5.0  # a reply fits into the socket's buffer, so it is taken even from a stopped reader
_RECEIVE: Final = 64 * 1024  # bytes taken from a connection at once
# How often a writer is asked in one turn: more than a socket holds, so that a finished one is taken to its end, and
# still an end for one that writes without.
_MAX_PIECES: Final = 16
_MAX_REQUEST: Final = 512  # more than the longest request
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RENEW: Final = "renew"
_TELLS_OF_RENEWALS: Final = ("status", _RENEW)


@dataclass(slots=True, eq=False)
class _Asking:
    """A connection whose request is not complete."""

    connection: socket.socket
    until: float
    received: bytes


@dataclass(slots=True, eq=False)
class _Writer:
    """A connection that is an open file; what it brings is in force at its end."""

    connection: socket.socket
    request: Request
    handle: int
    written: bytearray = field(default_factory=bytearray)
    busy: bool = False  # a word written to `renew` is being obeyed


@dataclass(slots=True, eq=False)
class _Waiting:
    """An open that tells of renewals, and waits for those that were under way when it came."""

    connection: socket.socket
    request: Request
    renewals: set[_Writer]


class Agent:
    """Answers the shim until `ends` is at its end.

    Args:
        tree: the files.
        listener: a listening UNIX socket.
        ends: a descriptor; readable or closed at its other end when there is nobody left to serve.
        workers: threads that fetch.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        tree: Tree,
        listener: socket.socket,
        ends: int,
        *,
        workers: int = WORKERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = tree
        self._listener = listener
        self._clock = clock
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._connections = 0
        self._asking: dict[_Asking, None] = {}  # oldest first
        self._writers: set[_Writer] = set()
        self._waiting: list[_Waiting] = []
        self._done: collections.deque[Callable[[], None]] = collections.deque()  # by workers, for the loop
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._accepting = False
        self._ended = False
        listener.setblocking(False)  # noqa: FBT003 - the standard library's
        self._selector.register(ends, selectors.EVENT_READ, self._end)
        self._selector.register(self._woken, selectors.EVENT_READ, self._awake)
        self._accept_more()
        self._threads = [threading.Thread(target=self._work, daemon=True, name="fetch") for _ in range(workers)]

    def run(self) -> None:
        """Serve; returns at the end. Fetches under way are left behind in their daemon threads."""
        for thread in self._threads:
            thread.start()
        try:
            while not self._ended:
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                while self._done:
                    self._done.popleft()()
                self._drop_silent()
        finally:
            for _ in self._threads:
                self._jobs.put(None)
            self._selector.close()

    def later(self, job: Callable[[], None]) -> None:
        """Have one of the fetching threads do something, before or while `run` serves."""
        self._jobs.put(job)

    # The loop's own: connections.

    def _end(self) -> None:
        self._ended = True

    def _accept_more(self) -> None:
        if not self._accepting and self._connections < MAX_CONNECTIONS:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            self._accepting = True

    def _accept(self) -> None:
        if self._connections >= MAX_CONNECTIONS:
            self._accept_no_more()
            return
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS and self._connections:
                self._accept_no_more()  # until one is closed
            return
        self._connections += 1
        # The request was sent right behind the connection, and is mostly there.
        received = self._listen(connection, b"")
        if received is not None:
            asking = _Asking(connection, self._clock() + ASK_SECONDS, received)
            self._asking[asking] = None
            self._selector.register(connection, selectors.EVENT_READ, lambda: self._heard(asking))

    def _accept_no_more(self) -> None:
        self._selector.unregister(self._listener)
        self._accepting = False

    def _heard(self, asking: _Asking) -> None:
        if asking not in self._asking:
            return  # dropped in the same turn
        self._selector.unregister(asking.connection)
        received = self._listen(asking.connection, asking.received)
        if received is None:
            del self._asking[asking]
        else:
            asking.received = received
            self._selector.register(asking.connection, selectors.EVENT_READ, lambda: self._heard(asking))

    def _listen(self, connection: socket.socket, received: bytes) -> bytes | None:
        """Take what came of a request: None if that settled it, else all that came so far."""
        try:
            came = connection.recv(_MAX_REQUEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return received
        except OSError:
            came = b""
        received += came
        try:
            request = request_in(received)
        except ValueError:
            came, request = b"", None
        if request is not None:
            self._open(connection, request)
        elif came:
            return received
        else:
            self._close(connection)
        return None

    def _patience(self) -> float | None:
        first = next(iter(self._asking), None)
        return None if first is None else max(0.0, first.until - self._clock())

    def _drop_silent(self) -> None:
        if not self._asking:
            return
        now = self._clock()
        for asking in list(self._asking):
            if asking.until > now:
                return
            del self._asking[asking]
            self._selector.unregister(asking.connection)
            self._close(asking.connection)

    def _close(self, connection: socket.socket) -> None:
        connection.close()
        self._connections -= 1
        self._accept_more()

    # The loop's own: opens.

    def _open(self, connection: socket.socket, request: Request) -> None:
        """Answer an open, or have it answered."""
        if self._writers:
            self._drain()
            renewals = {writer for writer in self._writers if writer.busy}
            if renewals and request.name in _TELLS_OF_RENEWALS and not request.writes:
                self._waiting.append(_Waiting(connection, request, renewals))
                return
        self._answer(connection, request)

    def _answer(self, connection: socket.socket, request: Request) -> None:
        try:
            handle = self._handle(request)
            if request.writes:
                self._begin_writer(connection, request, handle)
                return
            if request.flags & os.O_TRUNC:
                self._tree.truncate(request.name, 0)
        except OSError as error:
            self._send(connection, refusal(error))
            self._close(connection)
            return
        if self._tree.ready(handle):
            self._serve(connection, handle)
            self._close(connection)
        else:
            self._jobs.put(lambda: self._fetch(connection, handle))

    def _handle(self, request: Request) -> int:
        if not request.writes:
            return self._tree.open(request.name, request.flags)
        if len(self._writers) >= MAX_WRITERS:
            raise os_error(errno.ENFILE, request.name)
        # Emptying is done here, at the writer's end: a value that was refused must not leave the setting unset.
        return self._tree.open(request.name, request.flags & ~os.O_TRUNC)

    def _serve(self, connection: socket.socket, handle: int) -> None:
        """Make an open's content and send it."""
        try:
            content = self._tree.read(handle, MAX_CONTENT, 0)
        except OSError as error:
            self._send(connection, refusal(error))
        else:
            self._send(connection, answer(content))
        finally:
            self._tree.release(handle)

    @staticmethod
    def _send(connection: socket.socket, reply: bytes) -> None:
        with contextlib.suppress(OSError):  # who asked has gone
            sent = connection.send(reply, socket.MSG_DONTWAIT)
            if sent < len(reply):  # only where the system's buffers are smaller than what Linux gives
                connection.settimeout(SEND_SECONDS)
                connection.sendall(reply[sent:])

    # The loop's own: writers.

    def _begin_writer(self, connection: socket.socket, request: Request, handle: int) -> None:
        content = self._tree.read(handle, MAX_CONTENT, 0) if request.reads else b""
        self._send(connection, answer(b"") + content)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)  # the end of what a writer may read
        writer = _Writer(connection, request, handle)
        self._writers.add(writer)
        self._watch(writer)

    def _watch(self, writer: _Writer) -> None:
        self._selector.register(writer.connection, selectors.EVENT_READ, lambda: self._take(writer))

    def _drain(self) -> None:
        """What finished writers wrote is put in force, and what others wrote is taken."""
        for writer in list(self._writers):
            self._take(writer)

    def _take(self, writer: _Writer) -> None:
        """Take all that a writer sent so far; what is left of a flood waits for the next turn."""
        for _ in range(_MAX_PIECES):
            if writer not in self._writers or writer.busy:
                return
            try:
                came = writer.connection.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                came = b""
            if not came:
                self._finish(writer)
                return
            writer.written += came
            del writer.written[MAX_CONTENT + 1 :]  # enough to know that it is too much
            if writer.request.name == _RENEW and (b"\n" in came or len(writer.written) > MAX_CONTENT):
                self._obey(writer)

    def _finish(self, writer: _Writer) -> None:
        if writer.request.name == _RENEW and writer.written:
            self._obey(writer)  # and comes back here
            return
        self._selector.unregister(writer.connection)
        self._writers.remove(writer)
        try:
            with contextlib.suppress(OSError):  # the writer is gone: `status` tells
                if writer.written:
                    self._tree.write(writer.handle, bytes(writer.written), 0)
                    self._tree.flush(writer.handle)
                elif writer.request.flags & os.O_TRUNC and writer.request.name in SETTING_FILES:
                    self._tree.truncate(writer.request.name, 0)
        finally:
            self._tree.release(writer.handle)
            self._close(writer.connection)

    def _obey(self, writer: _Writer) -> None:
        """Have a word that was written to `renew` obeyed by a thread that may wait."""
        word = bytes(writer.written)
        writer.written.clear()
        writer.busy = True
        self._selector.unregister(writer.connection)
        self._jobs.put(lambda: self._renew(writer, word))

    def _obeyed(self, writer: _Writer) -> None:
        writer.busy = False
        self._watch(writer)
        for waiting in list(self._waiting):
            waiting.renewals.discard(writer)
            if not waiting.renewals:
                self._waiting.remove(waiting)
                self._answer(waiting.connection, waiting.request)
        self._take(writer)

    def _awake(self) -> None:
        """A worker left something to the loop, which looks after every turn."""
        os.read(self._woken, _RECEIVE)

    # The workers'.

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # noqa: BLE001 - a fault of ours in one open must not cost the others a thread
                sys.excepthook(*sys.exc_info())

    def _fetch(self, connection: socket.socket, handle: int) -> None:
        try:
            self._serve(connection, handle)
        except BaseException as error:
            # A fault of ours: the reader must not wait for ever.
            self._send(connection, refusal(OSError(errno.EIO, type(error).__name__)))
            raise
        finally:
            self._done.append(lambda: self._close(connection))
            connection.close()
            if not self._accepting:
                self._rouse()

    def _renew(self, writer: _Writer, word: bytes) -> None:
        try:
            with contextlib.suppress(OSError):  # `status` tells
                self._tree.write(writer.handle, word, 0)
                self._tree.flush(writer.handle)
        finally:
            self._done.append(lambda: self._obeyed(writer))
            self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it will wake
            os.write(self._wake, b"\0")
