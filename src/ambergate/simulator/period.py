"""Stretches of time that certificates, revocation lists and signed documents are valid in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

# What precedes the instant of signing, so that a reader whose clock is behind by less still accepts.
BACKDATED: Final = timedelta(hours=1)
# Intel's PCS publishes TCB info, QE identities and PCK CRLs for 30 days.
PUBLISHED_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` to `end`, both in UTC and in whole seconds."""

    start: datetime
    end: datetime

    @classmethod
    def around(cls, at: datetime, *, after: timedelta, before: timedelta = BACKDATED) -> Self:
        """A period that `at` lies in.

        Raises:
            ValueError: `at` has no time zone, so it names no instant.
        """
        instant = utc_seconds(at)
        return cls(instant - before, instant + after)

    @classmethod
    def ended_before(cls, at: datetime) -> Self:
        """Thirty days that ended one day before `at`."""
        end = utc_seconds(at) - timedelta(days=1)
        return cls(end - PUBLISHED_FOR, end)

    @classmethod
    def starting_after(cls, at: datetime) -> Self:
        """Thirty days that start one day after `at`."""
        start = utc_seconds(at) + timedelta(days=1)
        return cls(start, start + PUBLISHED_FOR)


def utc_seconds(at: datetime) -> datetime:
    """The instant in UTC without fractions of a second, which X.509 and Intel's JSON cannot express.

    Raises:
        ValueError: `at` has no time zone, so it names no instant.
    """
    if at.tzinfo is None:
        message = "an instant needs a time zone"
        raise ValueError(message)
    return at.astimezone(UTC).replace(microsecond=0)


def iso(at: datetime) -> str:
    """The instant as Intel writes it: `YYYY-MM-DDThh:mm:ssZ`."""
    return utc_seconds(at).strftime("%Y-%m-%dT%H:%M:%SZ")
