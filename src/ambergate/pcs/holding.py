"""The parts of the cache: what is held for one family, one fetch that many wait for, and what outlives the process."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from ambergate.core.appraise.grace import MAX_GRACE
from ambergate.core.errors import AmberError, TimedOut, Unavailable
from ambergate.pcs.admission import goes_back

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify.verdict import Dated, Window
    from ambergate.pcs.admission import Marks
    from ambergate.pcs.fetcher import Wanted

EXPIRED: Final = "collateral-expired"
_DOUBLINGS: Final = 16  # more would be years


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How long things are kept, and how often upstreams are asked.

    Attributes:
        entries: platform families held in memory; the one used longest ago is dropped first.
        refresh_after: since it was accepted; half of what it still holds for, if that is less. A PCCS refreshes itself
            daily too (its default `RefreshSchedule`).
        refresh_pause: after a refresh that failed; doubles with every further one.
        refresh_pause_cap: what it grows to at most.
        failure_hold: how long callers are told a failure again when there is nothing to serve; doubles too.
        failure_hold_cap: what it grows to at most.
        patience: seconds that a caller waits for somebody else's fetch.
        refreshes: made at the same time, in threads of their own.
        closing: seconds that `close` waits for these.
        grace: for how long after their end statements are served when no newer can be had. A policy's decision
            (`AppraisalPolicy.collateral_grace`); certificates get none.

    Raises:
        ValueError: a grace below zero or above 30 days.
    """

    entries: int = 256
    refresh_after: timedelta = timedelta(hours=24)
    refresh_pause: timedelta = timedelta(minutes=1)
    refresh_pause_cap: timedelta = timedelta(hours=1)
    failure_hold: timedelta = timedelta(seconds=5)
    failure_hold_cap: timedelta = timedelta(seconds=30)
    patience: float = 60.0
    refreshes: int = 4
    closing: float = 5.0
    grace: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        """Bound the grace."""
        if not timedelta(0) <= self.grace <= MAX_GRACE:
            msg = f"a grace is 0 to {MAX_GRACE.days} days, not {self.grace}"
            raise ValueError(msg)


class CollateralMemory(Protocol):
    """Remembers, beyond the process, what was accepted for a key and how new that was."""

    def load(self, key: str) -> tuple[str, datetime] | None:
        """The bundle as JSON, and when it was accepted; None when there is none. Raises `Unavailable`."""
        ...

    def save(self, key: str, text: str, *, at: datetime, marks: Marks) -> Marks | None:
        """Keep a bundle, unless it goes back; what was accepted then, None when it was kept. Raises `Unavailable`.

        Comparing and keeping are one step for all who share the memory.
        """
        ...


class ProcessMemory:
    """What is remembered where nothing outlives the process: how new things were.

    Grows with the families that the anchor's holder signed statements about, of which there are few.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: dict[str, Marks] = {}

    def load(self, key: str) -> tuple[str, datetime] | None:
        """Nothing."""
        del key
        return None

    def save(self, key: str, text: str, *, at: datetime, marks: Marks) -> Marks | None:
        """Remember the marks, unless they go back (see `CollateralMemory`)."""
        del text, at
        with self._lock:
            accepted = self._marks.get(key)
            if accepted is not None and goes_back(marks, accepted):
                return accepted
            self._marks[key] = marks
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Collateral that was verified, and until when that holds."""

    collateral: Collateral
    window: Window
    until: datetime  # the end of the window, or what the grace makes of it
    ends: Dated
    accepted: datetime
    refresh_at: datetime
    evaluation: int  # of the TCB info

    def holds(self, at: datetime) -> bool:
        """Whether it may be served."""
        return self.window.not_before <= at <= self.window.not_after

    def late(self, at: datetime) -> bool:
        """Whether it has ended, and the grace takes it still."""
        return self.window.not_after < at <= self.until

    def told(self, at: datetime) -> str:
        """Until when it is served, for the log."""
        end = self.window.not_after
        if self.late(at):
            return f"served late until {self.until}, since {self.ends.what} ended {end}"
        return f"served until {end}" + (f", then late until {self.until}" if end < self.until else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the cache has for one family, for people and for metrics."""

    wanted: Wanted
    expires: datetime | None  # None: nothing is held
    accepted: datetime | None
    refresh_at: datetime | None
    served: bool  # whether it may be, now
    late: bool  # served in spite of `expires`, because `failure` and the grace
    late_until: datetime | None  # the last instant of that; `expires` where no grace is granted
    evaluation: int | None  # the TCB info's evaluation number; None: nothing is held
    failures: int  # in a row, since the last success
    failure: AmberError | None  # the last of them


class Flight:
    """One fetch, and everybody who waits for it."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._value: Collateral | None = None
        self._error: AmberError | None = None

    def land(self, value: Collateral) -> None:
        """It is here."""
        self._value = value
        self._done.set()

    def crash(self, error: AmberError) -> None:
        """It will not come."""
        self._error = error
        self._done.set()

    def result(self, patience: float) -> Collateral:
        """What came of it.

        Raises:
            AmberError: as it crashed.
            TimedOut: it takes longer than `patience` seconds.
        """
        if not self._done.wait(patience):
            raise TimedOut(
                "the collateral did not come in time", seen=f"{patience:g} s", hint="is the collateral service slow?"
            )
        if self._error is not None:
            raise again(self._error)
        assert self._value is not None
        return self._value


class Entry:
    """The state of one family. Whoever holds the cache's lock may touch it."""

    __slots__ = ("failed_at", "failure", "failures", "fingerprint", "flight", "held")

    def __init__(self) -> None:
        self.held: Held | None = None
        self.fingerprint: object = None  # of the source, before it was asked last
        self.flight: Flight | None = None
        self.failure: AmberError | None = None
        self.failed_at: datetime | None = None
        self.failures = 0

    def succeed(self, held: Held) -> None:
        """Hold this from now on; the same object while it is the same collateral."""
        self.held = held
        self.failure, self.failed_at, self.failures = None, None, 0

    def fail(self, error: AmberError, at: datetime) -> None:
        """Remember a failure."""
        self.failure, self.failed_at = error, at
        self.failures += 1

    def serving(self, at: datetime) -> Collateral | None:
        """What may be served: what holds; and, once newer could not be had, what the grace takes."""
        held = self.held
        if held is None:
            return None
        return held.collateral if held.holds(at) or (self.failures > 0 and held.late(at)) else None

    def due(self, at: datetime, policy: CachePolicy) -> bool:
        """Whether a refresh should start: it is time, none is under way, the last failure is long enough ago."""
        return (
            self.held is not None
            and at >= self.held.refresh_at
            and self.flight is None
            and not self._within(at, policy.refresh_pause, policy.refresh_pause_cap)
        )

    def resting(self, at: datetime, policy: CachePolicy) -> AmberError | None:
        """The failure that is told again instead of asking again."""
        if self.failure is None or not self._within(at, policy.failure_hold, policy.failure_hold_cap):
            return None
        return self.told(self.failure)

    def told(self, failure: AmberError) -> AmberError:
        """The failure as callers get it who cannot be served: a copy, and what they would have been served before."""
        return again(failure) if self.held is None else expired(self.held, failure)

    def _within(self, at: datetime, pause: timedelta, cap: timedelta) -> bool:
        if self.failed_at is None:
            return False
        return timedelta(0) <= at - self.failed_at < min(pause * (1 << min(self.failures - 1, _DOUBLINGS)), cap)


def again(error: AmberError) -> AmberError:
    """A copy to raise: each thread adds its own traceback."""
    return copy.copy(error)


def expired(held: Held, cause: AmberError) -> Unavailable:
    """The error of having nothing but what no longer holds."""
    return Unavailable(
        "the collateral has expired, and no newer could be had",
        code=EXPIRED,
        seen=f"{held.ends.what} until {held.ends.window.not_after.isoformat()}; {cause.message} ({cause.seen})",
        wanted="newer collateral",
        hint=cause.hint,
    )
