"""The keys that a process signs with and publishes: from memory, and never older than five seconds (ADR 0028)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.services.attestation import key_plan as plan
from ambergate.services.attestation.memory import REFRESH, Memory
from ambergate.services.attestation.pki import TokenPki
from ambergate.stores.token_keys import CHANGES, TokenKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ambergate.core.token.jose import SigningKey
    from ambergate.services.attestation.key_plan import Rules
    from ambergate.services.attestation.rotation import KeyKeeper

_Keys = tuple[TokenKey, ...]


class KeyRing:
    """The stored keys, as they stand now. Fits `ports.SigningKeys`. Safe to share between threads.

    Whoever asks also sees to it that what is due is done, beside the requests.

    Args:
        keeper: changes the keys.
        rules: what the configuration says of them.
        now: the clock, aware.
    """

    def __init__(self, keeper: KeyKeeper, rules: Rules, *, now: Callable[[], datetime]) -> None:
        self._keeper = keeper
        self._rules = rules
        self._now = now
        self._memory: Memory[str, _Keys] = Memory(self._since, now=now)
        self._lock = threading.Lock()  # for whoever makes a view; who reads `_held` needs none
        self._held: tuple[_Keys, TokenPki, datetime | None] | None = None
        self._looked: datetime | None = None

    def at_hand(self, alg: str, /) -> SigningKey | None:
        """The key that signs with this algorithm now, if that is known in memory and fresh. Waits for nothing.

        Raises:
            KeyError: none does.
            Unavailable: what is known cannot be used.
        """
        keys = self._memory.at_hand(CHANGES)
        return None if keys is None else self._view(keys).key_for(alg)

    def key_for(self, alg: str, /) -> SigningKey:
        """The key that signs with this algorithm now. May wait for the database.

        Raises:
            KeyError: none does.
            Unavailable: the database has not answered for too long, or what it holds cannot be used.
        """
        return self.current().key_for(alg)

    def current(self) -> TokenPki:
        """The keys as they stand now. May wait for the database.

        Raises:
            Unavailable: the database has not answered for too long, or what it holds cannot be used.
        """
        keys = self._memory.get(CHANGES)
        if keys is None:
            raise Unavailable("there are no signing keys", code="keys-missing")
        return self._view(keys)

    async def published(self) -> TokenPki:
        """The same for what is public. While the database does not answer, as they were known to stand.

        Who checks tokens then is better served by the keys of a minute ago than by none.

        Raises:
            Unavailable: nothing is known.
        """
        keys = self._memory.at_hand(CHANGES)
        if keys is not None:
            return self._view(keys)
        try:
            return await run_in_threadpool(self.current)
        except Unavailable:
            if self._held is None:
                raise
            return self._view(self._held[0])

    def _since(self, number: int) -> tuple[int, Mapping[str, _Keys]]:
        try:
            return self._keeper.store.since(number)
        except SettingsError as exc:  # put under another key, say, and this process was not started again
            raise Unavailable("the signing keys cannot be read", code="keys-unreadable", seen=exc.message) from exc

    def _view(self, keys: _Keys) -> TokenPki:
        at = self._now()
        held = self._held
        if held is None or not _holds(held, keys, at):
            with self._lock:
                held = self._held
                if held is None or not _holds(held, keys, at):
                    held = self._held = self._made(keys, at)
        if self._looked is None or abs(at - self._looked) >= REFRESH:
            self._looked = at
            if plan.tasks(keys, at, self._rules):
                self._keeper.keep_up_soon(at, self._rules)
        return held[1]

    @staticmethod
    def _made(keys: _Keys, at: datetime) -> tuple[_Keys, TokenPki, datetime | None]:
        try:
            view = TokenPki(keys, at)
        except SettingsError as exc:
            raise Unavailable(exc.message, code="keys-unreadable", seen=exc.seen) from exc
        return keys, view, view.until()


def _holds(held: tuple[_Keys, TokenPki, datetime | None], keys: _Keys, at: datetime) -> bool:
    """Whether what was made of the keys still says how they stand; a clock that went back asks anew."""
    known, view, until = held
    return known is keys and view.at <= at and (until is None or at < until)
