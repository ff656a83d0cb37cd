"""Callers: whose API key a request shows, and what that key sets for it, without asking the database each time.

What the database holds is kept in memory and read again, changes only, when it is older than `REFRESH`. No decision
rests on anything older than `TRUST`: a key that was revoked on any node has ended everywhere by then, and while the
database does not answer for longer, nobody is let in.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import NotAuthorised, TooManyRequests, Unavailable
from ambergate.services.attestation.ports import Caller
from ambergate.services.web.rates import Rate, Rates
from ambergate.stores.api_keys import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.stores.api_keys import ApiKey, ApiKeyStore

REFRESH: Final = timedelta(seconds=2)
TRUST: Final = timedelta(seconds=5)  # the promise of docs/api-keys.md
# How soon after a look a key that was not found is looked for again: it may have been made meanwhile.
MISSED: Final = timedelta(milliseconds=500)
RETRY: Final = timedelta(milliseconds=500)  # after the database did not answer
MAX_KEY: Final = 256  # characters; longer ones are not looked up
_NEVER: Final = timedelta.max
_HINT: Final = "create one with `amber apikey create` and send it as x-api-key"


class Callers:
    """The callers that the database knows. Fits `ports.Authorisation`. Safe to share between threads.

    Args:
        keys: the API keys.
        now: the clock, aware.
    """

    def __init__(self, keys: ApiKeyStore, *, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._now = now
        self._rates = Rates()
        self._lock = threading.Lock()  # for what follows; readers of `_known` and `_read_at` need none
        self._known: dict[bytes, ApiKey] = {}
        self._number = 0
        self._read_at: datetime | None = None
        self._failure: tuple[datetime, Unavailable] | None = None

    def at_hand(self, text: str, /) -> Caller | None:
        """Whose key this is, if that is known in memory and fresh; None: `authorise` may know. Waits for nothing.

        Raises:
            NotAuthorised: revoked or expired.
            TooManyRequests: asks more often than it may.
        """
        at = self._now()
        key = self._find(text) if self._age(at) < REFRESH else None
        return None if key is None else self._admit(key, at)

    def authorise(self, text: str, /) -> Caller:
        """Whose key this is. May wait for the database.

        Raises:
            NotAuthorised: unknown, revoked, expired or no key at all; which of these is not told.
            TooManyRequests: asks more often than it may.
            Unavailable: the database has not answered for too long.
        """
        self._refresh(REFRESH)
        key = self._find(text)
        if key is None:
            self._refresh(MISSED)
            key = self._find(text)
        if key is None:
            raise _refused()
        return self._admit(key, self._now())

    def check(self) -> None:
        """Raises `Unavailable` when it could not tell."""
        self._keys.check()

    def _age(self, at: datetime) -> timedelta:
        """How old what is known is. A clock that went back says nothing of it."""
        age = _NEVER if self._read_at is None else at - self._read_at
        return age if age >= timedelta() else _NEVER

    def _find(self, text: str) -> ApiKey | None:
        return self._known.get(digest_of(text)) if 1 <= len(text) <= MAX_KEY else None

    def _admit(self, key: ApiKey, at: datetime) -> Caller:
        terms = key.terms
        if not key.holds(at):
            raise _refused()
        if terms.rate is not None:
            wait = self._rates.take(key.id, Rate(terms.rate, terms.burst or 1), at=at)
            if wait:
                raise TooManyRequests(
                    "Too many requests, limit exceeded.",  # the words that the protocol's gateways use
                    retry_after=wait,
                    wanted=f"at most {terms.rate:g} requests per second, {terms.burst} at once",
                    hint=f"ask again in {wait} s",
                )
        return Caller(
            key_id=key.id,
            label=key.label,
            scopes=terms.scopes,
            policy_ids=terms.policy_ids,
            policy_must_match=terms.policy_must_match,
            default_algorithm=terms.default_algorithm,
            profile=terms.profile,
        )

    def _refresh(self, after: timedelta) -> None:
        """Read what has changed, if what is known is as old as `after`. One thread reads; the others wait for it."""
        with self._lock:
            at = self._now()
            if self._age(at) < after:
                return
            if self._failure is None or not timedelta() <= at - self._failure[0] < RETRY:
                try:
                    self._read(at)
                    if self._age(self._now()) >= TRUST:  # it took long, as the first of many keys may
                        self._read(self._now())
                except Unavailable as exc:
                    self._failure = self._now(), exc
            if self._failure is not None and self._age(self._now()) >= TRUST:
                failure = self._failure[1]
                raise Unavailable(failure.message, code=failure.code, seen=failure.seen) from failure

    def _read(self, at: datetime) -> None:
        number, changed = self._keys.since(self._number)
        if number < self._number:  # another database than before, from a backup say: nothing that is known counts
            number, changed = self._keys.since(0)
            self._known = {}
        self._known.update(changed)
        self._number, self._read_at, self._failure = number, at, None


def _refused() -> NotAuthorised:
    return NotAuthorised("the API key is not valid here", code="bad-api-key", hint=_HINT)
