"""Whose word is taken about enclaves: the configured issuers, each with its keys and its limits.

A token names its issuer and its key; neither is believed. They only choose which configured issuer's keys the token
is then checked with. Addresses in a token (`jku`, `x5u`) and certificates (`x5c`) are never looked at.

Key sets are fetched at the start, ahead of their age while the broker serves (`fetched_ahead.py`), when they are old or
a token names a key that they do not have, and by whoever asks whether the broker is ready: not more often than
`RETRY_AFTER` for each issuer, whatever tokens name. Where a signing root is pinned, a key set counts for no more than
the root says of it (`ambergate.core.token.certified`).
"""

from __future__ import annotations

import json
import logging
import threading
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ambergate.core.errors import AmberError, MalformedToken, TokenRejected, Unavailable
from ambergate.core.token.check import KeySet, check_token
from ambergate.core.token.jose import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from ambergate.core.token.claims import AttestationClaims

_LOG = logging.getLogger("ambergate.keybroker")

MAX_TOKEN: Final = 64 * 1024  # characters; the longest known tokens have about 6,200
MAX_AGE: Final = timedelta(minutes=5)  # after which a key set is fetched anew: as long as our issuers say it holds
MAX_STALE: Final = timedelta(hours=24)  # after which a key set that cannot be fetched anew is not used any more
RETRY_AFTER: Final = timedelta(seconds=10)  # between two fetches, so that strangers' key ids cannot make us flood
_MAX_DOUBLED: Final = 5  # times that the wait after a failure is doubled
WAIT_SECONDS: Final = 2.0  # that a request waits for another's fetch; then it is told to come again


class Vouched(Protocol):
    """Keys that a signing root vouches for, until an instant."""

    @property
    def keys(self) -> KeySet:
        """The keys."""

    @property
    def until(self) -> datetime:
        """The first instant at which it does not."""


class _Held(NamedTuple):
    keys: KeySet
    since: datetime
    until: datetime | None  # None: nothing but their age ends them


class IssuerKeys:
    """One issuer's key set, kept, and fetched again when it is old or does not know a key. Thread-safe.

    Args:
        fetch: gives the key set's text.
        vouch: makes of that text the keys that a signing root vouches for; None: who serves the set is believed.
        algorithms: those that are taken.
        max_age: see `MAX_AGE`.
        max_stale: see `MAX_STALE`.
        retry_after: see `RETRY_AFTER`.
    """

    def __init__(
        self,
        fetch: Callable[[], str],
        *,
        vouch: Callable[[str, datetime], Vouched] | None = None,
        algorithms: Collection[str] = ALGORITHMS,
        max_age: timedelta = MAX_AGE,
        max_stale: timedelta = MAX_STALE,
        retry_after: timedelta = RETRY_AFTER,
    ) -> None:
        self._fetch = fetch
        self._vouch = vouch
        self._algorithms = frozenset(algorithms)
        self._max_age = max_age
        self._max_stale = max_stale
        self._retry_after = retry_after
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._tried: datetime | None = None
        self._failure: Unavailable | None = None
        self._failures = 0  # in a row

    def take_over(self, before: IssuerKeys) -> None:
        """Hold what another held, as old as it is, so that a new configuration serves while the issuer is away."""
        self._held = before._held

    def get(self, at: datetime, *, kid: str | None = None) -> KeySet:
        """The key set to check a token of this key id with.

        An unknown id is no error here while the issuer answers: the check will refuse the token.

        Raises:
            Unavailable: no key set, only one that is too old, or an unknown key while the issuer does not answer.
        """
        if self._wants_fetch(at, kid):
            self._fetch_once(at, kid)
        held = self._usable(at)
        uncertain = self._failure is not None or self._lock.locked()
        if held is None or (uncertain and not self._knows(kid)):
            raise Unavailable("the issuer's keys cannot be had", seen=self._failure, hint="try again in a moment")
        return held.keys

    def fetch_ahead(self, at: datetime) -> None:
        """Fetch the key set anew, whatever its age, unless that was tried just now; what fails is told by `get`."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            return  # another fetches
        try:
            if not self._just_tried(at):
                self._refresh(at)
        finally:
            self._lock.release()

    def due_in(self, at: datetime, share: float) -> timedelta:
        """How long from now the key set is best fetched ahead, `MAX_AGE` at most, whatever the clock does meanwhile.

        Args:
            at: now.
            share: 0 to 1: which part of the time in which nothing ends it shall have passed. After failures the wait
                grows from `RETRY_AFTER`, and `share` varies it.
        """
        held, tried = self._usable(at), self._tried
        if held is None and tried is None:
            return timedelta(0)
        if held is None or self._failure is not None:
            assert tried is not None
            due = tried + self._retry_after * (1 << min(self._failures, _MAX_DOUBLED)) * (0.5 + share / 2)
        else:
            ends = held.since + self._max_age
            due = held.since + ((ends if held.until is None else min(ends, held.until)) - held.since) * share
        if tried is not None:
            due = max(due, tried + self._retry_after)
        return min(max(due - at, timedelta(0)), self._max_age)

    def _fetch_once(self, at: datetime, kid: str | None) -> None:
        """One fetches; who can do without does not wait for it, who cannot waits a little."""
        waits = self._usable(at) is None or not self._knows(kid)
        if not self._lock.acquire(timeout=WAIT_SECONDS if waits else 0):
            return
        try:
            if self._wants_fetch(at, kid):  # not if another did it meanwhile
                self._refresh(at)
        finally:
            self._lock.release()

    def _just_tried(self, at: datetime) -> bool:
        return self._tried is not None and abs(at - self._tried) < self._retry_after

    def _wants_fetch(self, at: datetime, kid: str | None) -> bool:
        if self._just_tried(at):
            return False
        held = self._usable(at)
        return held is None or not self._knows(kid) or abs(at - held.since) >= self._max_age

    def _usable(self, at: datetime) -> _Held | None:
        held = self._held
        if held is None or at >= held.since + self._max_stale or (held.until is not None and at >= held.until):
            return None
        return held

    def _knows(self, kid: str | None) -> bool:
        return kid is None or (self._held is not None and kid in self._held.keys.kids)

    def _refresh(self, at: datetime) -> None:
        try:
            held = self._read(self._fetch(), at)
        except AmberError as exc:  # the issuer's failure, whatever its kind, is not the caller's
            _LOG.warning("the issuer's keys cannot be had: %s", exc.as_dict())
            self._failure = Unavailable(exc.message, seen=exc.seen)
            self._failures += 1
        else:
            self._held = held
            self._failure, self._failures = None, 0
        finally:
            self._tried = at

    def _read(self, text: str, at: datetime) -> _Held:
        vouched = None if self._vouch is None else self._vouch(text, at)
        keys = (KeySet.from_json(text) if vouched is None else vouched.keys).only(self._algorithms)
        if not keys.kids:
            wanted = ", ".join(sorted(self._algorithms))
            raise MalformedToken("the key set has no key for an algorithm that is taken", wanted=wanted)
        return _Held(keys, at, None if vouched is None else vouched.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """One issuer whose tokens are believed.

    `accept_simulated`: its word about software platforms is believed too; a key's policy must ask for it as well.
    `source`: where its keys are fetched, and under which roots; None: what one configuration holds is not the next's.
    """

    issuer: str
    keys: IssuerKeys
    accept_simulated: bool = False
    source: tuple[str, bytes] | None = None


class TrustedIssuers:
    """The issuers that are believed, by their names.

    Args:
        issuers: each name once.
    """

    def __init__(self, issuers: Sequence[TrustedIssuer]) -> None:
        self._issuers = {trusted.issuer: trusted for trusted in issuers}

    def claims(self, token: str, at: datetime) -> AttestationClaims:
        """What a trusted issuer attests, at this instant: signature, issuer and times are checked.

        Does not say that the enclave is welcome: that is the key's policy.

        Raises:
            MalformedToken: not a token.
            TokenRejected: it proves nothing here.
            Unavailable: its issuer's keys cannot be had at the moment.
        """
        kid, issuer = _named(token)
        trusted = self._issuers.get(issuer)
        if trusted is None:
            raise TokenRejected("the token's issuer is not trusted here", code="untrusted-issuer", seen=issuer[:200])
        keys = trusted.keys.get(at, kid=kid)
        return check_token(token, keys, issuer=trusted.issuer, at=at, accept_simulated=trusted.accept_simulated)

    @property
    def key_sets(self) -> tuple[IssuerKeys, ...]:
        """Each issuer's."""
        return tuple(trusted.keys for trusted in self._issuers.values())

    def take_over(self, before: TrustedIssuers) -> None:
        """Hold what was held before, of issuers that are asked in the same place under the same roots as before."""
        for name, trusted in self._issuers.items():
            was = before._issuers.get(name)
            if was is not None and trusted.source is not None and trusted.source == was.source:
                trusted.keys.take_over(was.keys)

    def ready(self, at: datetime) -> None:
        """Fetch what is not there yet.

        Raises:
            Unavailable: an issuer's keys cannot be had.
        """
        for trusted in self._issuers.values():
            trusted.keys.get(at)


def _named(token: str) -> tuple[str, str]:
    """Key id and issuer as the token names them, believed for nothing but the choice of keys."""
    if len(token) > MAX_TOKEN:
        raise MalformedToken("the token is too long", seen=f"{len(token)} characters", wanted=f"<= {MAX_TOKEN}")
    parts = token.split(".")
    if len(parts) != 3:
        raise MalformedToken("the token is not a compact JWS", seen=f"{len(parts)} parts", wanted="3 parts")
    return _text_member(parts[0], "kid"), _text_member(parts[1], "iss")


def _text_member(part: str, name: str) -> str:
    try:
        members = json.loads(urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4)))
    except (ValueError, RecursionError) as exc:
        raise MalformedToken("the token is not JSON in base64url") from exc
    value = members.get(name) if isinstance(members, dict) else None
    if not isinstance(value, str):
        raise TokenRejected(f"the token has no {name}", code=f"no-{name}", seen=type(value).__name__, wanted="text")
    return value
