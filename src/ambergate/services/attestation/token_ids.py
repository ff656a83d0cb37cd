"""Ids of tokens: UUIDs in the order of time (RFC 9562, version 7).

The audit log finds a token's record by its id. In an index of a million ids each random one falls on another page,
which is read and written for it; ids in the order of time fall on the last. An id tells when its token was issued, as
`iat` does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

RANDOM_BYTES: Final = 10  # 80 bits, six of which the version and the variant take
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TIME_MASK: Final = (1 << 48) - 1
# Bits 76 to 79 are the version, 62 and 63 the variant (RFC 9562, 5.7).
_FIXED_MASK: Final = ~(0xF << 76 | 0x3 << 62)
_FIXED: Final = 0x7 << 76 | 0x2 << 62


def token_id(at: datetime, token_bytes: Callable[[int], bytes]) -> UUID:
    """The id of a token that is issued at this instant (aware): 74 of its bits cannot be guessed."""
    time = ((at - _EPOCH) // _MILLISECOND) & _TIME_MASK
    drawn = int.from_bytes(token_bytes(RANDOM_BYTES), "big")
    return UUID(int=(time << 80 | drawn) & _FIXED_MASK | _FIXED)
