"""The lives of the keys that sign tokens, as rules over what is stored and an instant. Nothing here is made or written.

    standing by  published in the key set, signs nothing yet
    next         as that, and it is said from when on it will sign
    active       signs; the last of its kind whose instant has come
    retired      a later one signs; published until its last token has expired and clocks agree that it has
    gone         published no more; kept as history until its certificate ends
    revoked      in the revocation list, and published no more from that instant on

Relying parties keep the key set for `KEY_SET_AGE`, as it tells them. A key is published for `LEAD` before it signs, and
after its last token for `MARGIN` more: so who keeps the set no longer than told has the key of every good token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from ambergate.services.attestation.certificates import CA_LIFETIME, CRL_LIFETIME, LEAF_LIFETIME, ends_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ambergate.stores.token_keys import TokenKey

KEY_SET_AGE: Final = timedelta(minutes=5)  # `max-age` of the key set
# Longer than that, by what nodes may take to see a new key (ADR 0028) and by how far clocks may be apart.
LEAD: Final = timedelta(minutes=10)
MARGIN: Final = timedelta(minutes=5)  # how far clocks of nodes and relying parties may be apart
RENEW: Final = timedelta(days=90)  # before a certificate's end another takes its place
STANDBY_AFTER: Final = timedelta(minutes=1)  # after which a key that stands by is made: not during a start
MAX_PUBLISHED: Final = 8  # keys of a kind; each takes 13 kB in the key set, and relying parties read 256 KiB
LEAVES: Final = ("rsa", "ec")

State = Literal["standing by", "next", "active", "retired", "gone", "revoked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says of keys.

    Attributes:
        token_lifetime: how long a token lives.
        rotate_every: how long a key signs; None: until it is rotated by command, or its certificate nears its end.
    """

    token_lifetime: timedelta
    rotate_every: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """What has to be done now; falsy: nothing.

    Attributes:
        renew: authorities whose certificate has to be issued anew, the root first.
        make: kinds of which a key has to stand by.
        start: id -> when it shall begin to sign.
        wipe: ids whose private half is needed no more.
        drop: ids that are history no longer, or stood by for too long.
        promise: ids whose tokens may live longer than was known.
    """

    renew: tuple[str, ...] = ()
    make: tuple[str, ...] = ()
    start: dict[str, datetime]
    wipe: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    promise: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return any((self.renew, self.make, self.start, self.wipe, self.drop, self.promise))


def authority(keys: Iterable[TokenKey], kind: str) -> TokenKey | None:
    """The certificate of this authority that counts: the latest that is not revoked."""
    able = (key for key in keys if key.kind == kind and key.revoked_at is None)
    return max(able, key=lambda key: key.published_at, default=None)


def active(keys: Iterable[TokenKey], kind: str, at: datetime) -> TokenKey | None:
    """The key of this kind that signs. Where a clock is behind the instant of all that can, the first of them."""
    able = [key for key in keys if key.kind == kind and _signs(key) and key.active_from is not None]
    begun = [key for key in able if _start(key) <= at]
    return max(begun, key=_start) if begun else min(able, key=_start, default=None)


def published(keys: Sequence[TokenKey], kind: str, at: datetime) -> list[TokenKey]:
    """The keys of this kind that belong into the key set: who signs, who will, who did."""
    shown: list[State] = ["active", "next", "standing by", "retired"]
    found = [(state_of(keys, key, at), key) for key in keys if key.kind == kind]
    return [key for state in shown for has, key in found if has == state]


def state_of(keys: Iterable[TokenKey], key: TokenKey, at: datetime) -> State:
    """What this leaf is at this instant."""
    if key.revoked_at is not None:
        return "revoked"
    if key.active_from is None:
        return "standing by"
    if key.active_from > at:
        return "next"
    ends = retired_from(keys, key)
    if ends is None or at < ends:
        return "active"
    return "retired" if at < ends + key.lifetime + MARGIN else "gone"


def retired_from(keys: Iterable[TokenKey], key: TokenKey) -> datetime | None:
    """When the next of its kind takes over; None: none is known."""
    own = key.active_from
    later = [
        each.active_from
        for each in keys
        if each.kind == key.kind and own is not None and each.active_from is not None and each.active_from > own
    ]
    return min(later, default=None)


def tasks(keys: Sequence[TokenKey], at: datetime, rules: Rules) -> Tasks:
    """What has to be done now. What is done may ask for more: ask again."""
    wipe, drop, promise = set(), set(), set()
    for key in keys:
        if key.private is not None and _is_over(keys, key, at):
            wipe.add(key.id)
        over = state_of(keys, key, at) in _OVER
        # A service that was away for years signs by a key whose certificate has ended, until the next one may.
        if key.kind in LEAVES and over and not _signs(key) and at > ends_at(key.certificate) + CRL_LIFETIME:
            drop.add(key.id)
        if key.kind in LEAVES and not over and key.lifetime < rules.token_lifetime:
            promise.add(key.id)
    stale = {key.id for key in keys if _standby(key) and ends_at(key.certificate) - at < 2 * RENEW}
    make, start = [], {}
    for kind in LEAVES:
        standby = [key for key in keys if key.kind == kind and _standby(key) and key.id not in stale]
        due = _due(keys, kind, at, rules)
        newest = max((key.published_at for key in keys if key.kind == kind), default=at)
        if not standby and (due is not None or at >= newest + STANDBY_AFTER):
            make.append(kind)
        elif standby and due is not None:
            start[standby[0].id] = max(due, standby[0].published_at + LEAD)
    return Tasks(
        renew=_to_renew(keys, at),
        make=tuple(make),
        start=start,
        wipe=frozenset(wipe),
        drop=frozenset(drop | stale),
        promise=frozenset(promise),
    )


_OVER: Final = frozenset({"gone", "revoked"})


def _signs(key: TokenKey) -> bool:
    return key.private is not None and key.revoked_at is None


def _standby(key: TokenKey) -> bool:
    return key.kind in LEAVES and _signs(key) and key.active_from is None


def _start(key: TokenKey) -> datetime:
    assert key.active_from is not None
    return key.active_from


def _is_over(keys: Sequence[TokenKey], key: TokenKey, at: datetime) -> bool:
    """Whether its private half is needed no more, on any node."""
    if key.kind not in LEAVES:
        latest = authority(keys, key.kind)
        return key.revoked_at is not None or (latest is not None and latest.id != key.id)
    ends = retired_from(keys, key)
    return key.revoked_at is not None or (ends is not None and at >= ends + MARGIN)


def _due(keys: Sequence[TokenKey], kind: str, at: datetime, rules: Rules) -> datetime | None:
    """When another key of this kind shall begin to sign, if it is time to say so."""
    signing = active(keys, kind, at)
    if any(key.kind == kind and key.active_from is not None and key.active_from > at and _signs(key) for key in keys):
        return None  # said already
    if signing is None or signing.active_from is None:
        return at
    ends = ends_at(signing.certificate) - RENEW
    if rules.rotate_every is not None:
        ends = min(ends, signing.active_from + rules.rotate_every)
    return max(ends, at) if at >= ends - 2 * LEAD else None


def _to_renew(keys: Sequence[TokenKey], at: datetime) -> tuple[str, ...]:
    """Authorities that what they certify would outlive."""
    spans = {"root": CA_LIFETIME + RENEW, "ca": LEAF_LIFETIME + RENEW}
    found = ((kind, authority(keys, kind), span) for kind, span in spans.items())
    return tuple(kind for kind, key, span in found if key is not None and ends_at(key.certificate) - at < span)
