"""Who is connected: how many in all, how many from one address, and who leaves first when there is no room.

Counted from the first packet on, before TLS: who connects and says nothing takes a file descriptor too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from ambergate.services.web.addresses import group_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.services.web.limits import Limits

MAX_CONNECTIONS: Final = 1024  # of a process


class Seat:
    """One connection's. `idle` and `busy` say whether it has a request; `leave` gives the seat back, once."""

    __slots__ = ("_seats", "abort", "group")

    def __init__(self, seats: Seats, group: str) -> None:
        self._seats: Seats | None = seats
        self.group = group
        self.abort: Callable[[], None] | None = None

    def idle(self) -> None:
        """It has no request: it may be sent away if somebody else needs the room."""
        if self._seats is not None:
            self._seats.became_idle(self)

    def busy(self) -> None:
        """It has one, and stays until that is answered."""
        if self._seats is not None:
            self._seats.idle.pop(self, None)

    def leave(self) -> None:
        """It has ended."""
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.left(self)


class Seats:
    """The seats of one process. For one event loop.

    Args:
        limits: those in force.
        most: how many there are; `MAX_CONNECTIONS` when not given.
    """

    def __init__(self, limits: Callable[[], Limits], *, most: int | None = None) -> None:
        self._limits = limits
        self._most = most or MAX_CONNECTIONS
        self._taken: Counter[str] = Counter()
        self._all = 0
        self._changed = asyncio.Event()
        self.idle: dict[Seat, None] = {}  # in the order in which they became it

    def welcome(self, host: str) -> bool:
        """Whether that address may have one more: nobody has to make room for it otherwise."""
        limits = self._limits()
        return self._taken[group_of(host)] < limits.connections or limits.proxies.trusts(host)

    def take(self, host: str) -> Seat:
        """A seat for who connects from there. Whether there is one, `welcome` and `room` said."""
        group = group_of(host)
        self._taken[group] += 1
        self._all += 1
        seat = Seat(self, group)
        seat.idle()
        return seat

    def became_idle(self, seat: Seat) -> None:
        """Who waits for room may have its seat."""
        self.idle[seat] = None
        self._changed.set()

    def left(self, seat: Seat) -> None:
        """A seat is free."""
        self.idle.pop(seat, None)
        self._all -= 1
        self._taken[seat.group] -= 1
        if not self._taken[seat.group]:
            del self._taken[seat.group]
        self._changed.set()

    async def room(self) -> None:
        """Returns when there is a seat. If there is none, who has had no request for longest leaves."""
        while self._all >= self._most:
            longest = next(iter(self.idle), None)
            if longest is not None:
                self.idle.pop(longest)
                if longest.abort is not None:
                    longest.abort()
            self._changed.clear()
            await self._changed.wait()
