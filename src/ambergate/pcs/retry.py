"""When a request is made again, and how long is waited before.

Exponential backoff with full jitter: the wait is drawn evenly from nothing up to a bound that doubles with every try,
so that many callers who failed together do not come back together.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import TimedOut
from ambergate.pcs.transport import BROKEN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ambergate.core.errors import Unavailable
    from ambergate.pcs.transport import Deadline

# Statuses that another try can change. Source: RFC 9110, 15.6 and RFC 6585, 4; the PCCS's 502 is "no access to PCS".
RETRYABLE: Final = frozenset({429, 500, 502, 503, 504})
RETRYABLE_CODES: Final = frozenset({BROKEN, TimedOut.CODE})
MAX_RETRY_AFTER: Final = 24 * 3600  # seconds; what asks for more is taken to ask for this
_MAX_HEADER: Final = 64  # characters; an HTTP-date has 29
_SECONDS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how fast, how long.

    Attributes:
        attempts: of one request, the first included.
        base: seconds; the bound of the first wait.
        cap: seconds; what the bound of a wait grows to at most.
        deadline: seconds for the whole fetch of all documents, waits included.
    """

    attempts: int = 4
    base: float = 0.5
    cap: float = 8.0
    deadline: float = 30.0

    def backoff(self, failures: int, draw: float) -> float:
        """Seconds to wait after this many failures; `draw` is a number from 0 to 1."""
        return draw * min(self.cap, self.base * 2.0 ** min(failures - 1, 30))


def system_draw() -> float:
    """A number from 0 to 1, of the system's randomness."""
    return random.SystemRandom().random()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the answer asks to wait: 0 to `MAX_RETRY_AFTER`; None when it does not say so readably.

    A date is read against the same answer's `Date`, so that nobody's clock matters; without that it says nothing.
    Source: RFC 9110, 10.2.3.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(min(int(text), MAX_RETRY_AFTER))
    then, now = _http_date(text), _http_date(headers.get("date", "").strip())
    if then is None or now is None:
        return None
    return min(max((then - now).total_seconds(), 0.0), float(MAX_RETRY_AFTER))


def pause(
    failed: Unavailable, *, failures: int, asked: float | None, policy: RetryPolicy, draw: float, deadline: Deadline
) -> float:
    """Seconds to wait before the next try: what was asked for, or backoff.

    Args:
        failed: how the last try failed.
        failures: how many tries did.
        asked: what the answer's `Retry-After` says.
        policy: how often, how fast.
        draw: a number from 0 to 1.
        deadline: of the whole.

    Raises:
        Unavailable: no further try. `failed` itself after the last one; when there is no time to wait, one saying so.
    """
    if failures >= policy.attempts:
        raise failed
    wait = policy.backoff(failures, draw) if asked is None else asked
    left = max(deadline.left(), 0.0)
    if wait < left:
        return wait
    why = "did not recover in time" if asked is None else "asks to wait longer than there is time"
    raise type(failed)(
        f"the collateral service {why}",
        code=failed.code,
        seen=f"{failed.seen}; {wait:.1f} s to wait, {left:.1f} s left",
        wanted=f"an answer within {deadline.seconds:g} s",
        hint=failed.hint
        if asked is None
        else "try again later; a PCCS or a directory of your own is asked without limit",
    ) from failed


def _http_date(text: str) -> datetime | None:
    if not text or len(text) > _MAX_HEADER or not text.isascii():
        return None
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
