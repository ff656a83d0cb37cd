"""Issuers' key sets, fetched anew before they are old: no request waits for an issuer that answers.

A slow or absent issuer delays nobody but itself: each key set has a thread of its own, which ends with the service.
When a set is fetched differs from set to set and from time to time, so that many brokers do not ask at one moment.
What cannot be fetched is as it is without this (`trust.py`): used until it is too old, then not, and not ready.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from ambergate.services.keybroker.trust import IssuerKeys

_LOG = logging.getLogger("ambergate.keybroker")

# Of the time for which a set is not old: when it is fetched, at the earliest and at the latest.
FROM: Final = 0.6
UNTIL: Final = 0.9
_JITTER_BYTES: Final = 4


@contextlib.contextmanager
def fetched_ahead(
    key_sets: Iterable[IssuerKeys], *, now: Callable[[], datetime], token_bytes: Callable[[int], bytes]
) -> Iterator[None]:
    """For the time of the block, keep these key sets from getting old.

    Nobody waits at its end for a fetch that is under way: that comes to nothing, within the time that it has.

    Args:
        key_sets: of the issuers.
        now: the clock, aware.
        token_bytes: randomness for the instants.
    """
    stop = threading.Event()
    for keys in key_sets:
        told = {"now": now, "token_bytes": token_bytes, "wait": stop.wait}
        threading.Thread(target=keep_fresh, args=(keys,), kwargs=told, name="issuer's keys", daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def keep_fresh(
    keys: IssuerKeys,
    *,
    now: Callable[[], datetime],
    token_bytes: Callable[[int], bytes],
    wait: Callable[[float], bool],
) -> None:
    """Fetch one key set again and again, each time before it is old.

    Args:
        keys: the key set.
        now: the clock, aware.
        token_bytes: randomness for the instants.
        wait: waits so many seconds; whether this is to end.
    """
    while True:
        jitter = int.from_bytes(token_bytes(_JITTER_BYTES), "big") / (1 << 8 * _JITTER_BYTES)
        if wait(keys.due_in(now(), FROM + (UNTIL - FROM) * jitter).total_seconds()):
            return
        try:
            keys.fetch_ahead(now())
        except Exception:  # a fault of ours: keys are still fetched at need, and it is tried again later  # noqa: BLE001
            _LOG.exception("an issuer's keys could not be fetched ahead")
