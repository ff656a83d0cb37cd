"""Callers: whose API key a request shows, and what that key sets for it, without asking the database each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import NotAuthorised, TooManyRequests
from ambergate.services.attestation.memory import Memory
from ambergate.services.attestation.ports import Caller
from ambergate.services.web.rates import Rate, Rates
from ambergate.stores.api_keys import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ambergate.stores.api_keys import ApiKey, ApiKeyStore

MAX_KEY: Final = 256  # characters; longer ones are not looked up
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
        self._known: Memory[bytes, ApiKey] = Memory(keys.since, now=now)

    def at_hand(self, text: str, /) -> Caller | None:
        """Whose key this is, if that is known in memory and fresh; None: `authorise` may know. Waits for nothing.

        Raises:
            NotAuthorised: revoked or expired.
            TooManyRequests: asks more often than it may.
        """
        key = self._known.at_hand(digest_of(text)) if 1 <= len(text) <= MAX_KEY else None
        return None if key is None else self._admit(key)

    def authorise(self, text: str, /) -> Caller:
        """Whose key this is. May wait for the database.

        Raises:
            NotAuthorised: unknown, revoked, expired or no key at all; which of these is not told.
            TooManyRequests: asks more often than it may.
            Unavailable: the database has not answered for too long.
        """
        key = self._known.get(digest_of(text)) if 1 <= len(text) <= MAX_KEY else None
        if key is None:
            raise _refused()
        return self._admit(key)

    def check(self) -> None:
        """Raises `Unavailable` when it could not tell."""
        self._keys.check()

    def _admit(self, key: ApiKey) -> Caller:
        terms, at = key.terms, self._now()
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


def _refused() -> NotAuthorised:
    return NotAuthorised("the API key is not valid here", code="bad-api-key", hint=_HINT)
