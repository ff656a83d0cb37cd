"""Accepting connections: each has a seat before TLS, and so many seconds for its handshake."""

from __future__ import annotations

import asyncio
import errno
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from ambergate.services.web.protocol import BoundedProtocol
    from ambergate.services.web.seats import Seat, Seats

HANDSHAKE_SECONDS: Final = 10.0  # from the connection to the end of TLS's handshake: two round trips
_BACKLOG: Final = 2048  # connections that wait to be accepted; the kernel may allow fewer
_PAUSE: Final = 0.5  # seconds without accepting when the machine has nothing left for another connection
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_LOG = logging.getLogger("ambergate.web")


def listening(listener: socket.socket) -> socket.socket:
    """A bound socket, from now on taking connections; other processes may accept from it too."""
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # noqa: FBT003  it takes no name
    return listener


async def accept(
    listener: socket.socket, context: ssl.SSLContext, seats: Seats, protocol: Callable[[Seat], BoundedProtocol]
) -> None:
    """Accept until cancelled. Connections that were accepted live on.

    Args:
        listener: from `listening`.
        context: for TLS.
        seats: who may connect.
        protocol: what serves a connection on its seat.
    """
    loop = asyncio.get_running_loop()
    handshakes: set[asyncio.Task[None]] = set()
    try:
        while True:
            connection, address = await _next(listener)
            # A UNIX socket's peers have no address: they are one, on this machine.
            seat = await _seated(connection, str(address[0]) if isinstance(address, tuple) else "", seats)
            if seat is None:
                continue
            task = loop.create_task(_shake_hands(connection, context, seat, protocol))
            seat.abort = partial(_cancel, task)
            handshakes.add(task)
            task.add_done_callback(handshakes.discard)
    finally:
        for task in handshakes:
            task.cancel()


async def _seated(connection: socket.socket, host: str, seats: Seats) -> Seat | None:
    """Its seat, when there is one; None: that address has no more."""
    seat = None
    try:
        if seats.welcome(host):
            await seats.room()
            seat = seats.take(host)
    finally:
        if seat is None:
            connection.close()
    return seat


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _next(listener: socket.socket) -> tuple[socket.socket, object]:
    """The next connection that there is."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.sock_accept(listener)
        except OSError as exc:  # most end before they are taken, and are nobody's fault
            if exc.errno in _EXHAUSTED:
                _LOG.error("no connection can be accepted: %s", exc.strerror)
                await asyncio.sleep(_PAUSE)


async def _shake_hands(
    connection: socket.socket, context: ssl.SSLContext, seat: Seat, protocol: Callable[[Seat], BoundedProtocol]
) -> None:
    """TLS, then HTTP. The seat is given back by the protocol at its end, or here if it has none."""
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol(seat), connection, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
    except (OSError, asyncio.CancelledError):  # no TLS, or not in time; `ssl.SSLError` is an `OSError`
        seat.leave()
    except BaseException:
        seat.leave()
        raise
    else:
        seat.abort = transport.abort
