"""Running an application on a real TLS socket: in this thread until a signal, or in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from ambergate.core.errors import Unavailable
from ambergate.services.web.accepting import accept, listening
from ambergate.services.web.live import Live
from ambergate.services.web.protocol import BoundedProtocol
from ambergate.services.web.seats import MAX_CONNECTIONS, Seat, Seats
from ambergate.services.web.tls import TlsFiles, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from starlette.types import ASGIApp

__all__ = ["TlsFiles", "bound_socket", "bound_unix_socket", "running", "serve", "server_context"]

KEEP_ALIVE: Final = 15  # seconds an idle connection is kept
GRACE: Final = 10  # seconds that running requests have to end when the service stops
_START_SECONDS: Final = 30.0


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything is announced. Port 0 takes a free one.

    Raises:
        Unavailable: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise Unavailable(
            "the address cannot be listened on",
            seen=f"{host}:{port}: {exc}",
            hint="is another service running there?",
        ) from exc
    return listener


def bound_unix_socket(path: Path) -> socket.socket:
    """A UNIX socket that only its owner can connect to, mode 0600. One that nobody listens on is replaced.

    Raises:
        Unavailable: somebody listens there, something else is there, or it cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and _abandoned(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as exc:
        listener.close()
        hint = "is another service running there?"
        raise Unavailable("the socket cannot be listened on", seen=f"{path}: {exc}", hint=hint) from exc
    return listener


def _abandoned(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def serve(
    live: Live,
    *listeners: socket.socket,
    on_start: Callable[[], None] | None = None,
    watched: Callable[[], bool] = lambda: True,
) -> None:
    """Serve until SIGTERM or SIGINT, let running requests end, return. SIGHUP has the configuration read again.

    Args:
        live: the application.
        listeners: from `bound_socket` and `bound_unix_socket`; closed on return.
        on_start: called once connections are accepted.
        watched: asked ten times a second; false stops the service as SIGTERM does.
    """
    _allow_files()
    _Server(live, on_start=on_start, watched=watched).run(sockets=list(listeners))


@contextlib.contextmanager
def running(app: ASGIApp, tls: TlsFiles, *more: socket.socket, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The application on a real socket in a thread of its own, and on more; yields the port, stops it afterwards.

    Raises:
        Unavailable: it did not start.
    """
    live = app if isinstance(app, Live) else Live.lasting(app, tls)
    listener = bound_socket(host, port)
    accepting = threading.Event()
    server = _Server(live, on_start=accepting.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener, *more]}, name="serve")
    thread.start()
    try:
        if not accepting.wait(_START_SECONDS):
            raise Unavailable("the server did not start", wanted=f"within {_START_SECONDS} s")
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _allow_files() -> None:
    """Have as many files open as all seats and all else need, where the system lets us: often it is 1024 at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(4 * MAX_CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(uvicorn.Server):
    """uvicorn without its logging set-up; tells when it accepts, and returns instead of dying of a signal."""

    def __init__(
        self, live: Live, *, on_start: Callable[[], None] | None, watched: Callable[[], bool] = lambda: True
    ) -> None:
        super().__init__(
            uvicorn.Config(
                live,
                http=BoundedProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
                ssl_context_factory=lambda _config, _default: live.context,
            )
        )
        self._live = live
        self._on_start = on_start
        self._watched = watched
        self._hung_up = False
        self._work: asyncio.Task[object] | None = None
        self._accepting: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell. Connections are accepted by `accepting`, which bounds them before TLS; uvicorn does not."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise Unavailable("the service could not start", hint="its log says why")
        self.servers = []
        seats = Seats(lambda: self._live.limits)
        self._accepting = [
            asyncio.create_task(accept(listening(listener), self._live.context, seats, self._protocol))
            for listener in sockets or []
        ]
        self.started = True
        if self._on_start is not None:
            self._on_start()

    def _protocol(self, seat: Seat) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state, seat)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: what signals asked for, and what time does."""
        if self._work is None or self._work.done():
            self._work = None
            if self._hung_up:
                self._hung_up = False
                self._work = asyncio.create_task(self._live.reload())
            elif self._live.due:  # beside the ticks: files may lie where nothing answers for long
                self._work = asyncio.create_task(self._live.look())
        return await super().on_tick(counter) or not self._watched()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and cut off whoever is still there after `GRACE`: the loop cannot close on open connections."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but a stop that was asked for ends in a return: the exit code is ours. SIGHUP reloads."""
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGHUP, self._hang_up) if main else None
        try:
            with super().capture_signals():
                yield
                self._captured_signals.clear()
        finally:
            if main:
                signal.signal(signal.SIGHUP, before)

    def _hang_up(self, _signal: int, _frame: FrameType | None) -> None:
        self._hung_up = True
