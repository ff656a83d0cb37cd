"""What is done to the keys that sign tokens: made at the first start, rotated, revoked, and kept in good order.

Each deed is one transaction, so a process that dies between two leaves whole keys behind, and the next goes on. Fresh
keys are made before it begins: other writers do not wait for them.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import AmberError, Conflict, NotFound
from ambergate.services.attestation import key_plan as plan
from ambergate.services.attestation.certificates import certify, new_key
from ambergate.services.attestation.key_making import authority_of, first_keys, made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from ambergate.services.attestation.certificates import PrivateKey
    from ambergate.services.attestation.key_plan import Rules
    from ambergate.stores.token_keys import TokenKey, TokenKeyStore

_LOG = logging.getLogger("ambergate.attestation")

# Why a key is revoked, as RFC 5280, 5.3.1, names it.
CA_COMPROMISE: Final = "cACompromise"
REASONS: Final = ("keyCompromise", "superseded", "cessationOfOperation", "unspecified")
_ROUNDS: Final = 4  # after which keeping up is done: making a key asks for its start, and that for nothing
RETRY: Final = timedelta(seconds=30)  # after keeping up has failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """What a revocation did: the key, and the one that signs from now on, if another has to.

    `trusted_from`: when everybody who keeps the key set as told knows the new one; None: they do already.
    """

    key: TokenKey
    successor: TokenKey | None = None
    trusted_from: datetime | None = None


class KeyKeeper:
    """Changes the stored keys. Safe to share between threads; nodes on one database may do the same at once.

    Args:
        store: the keys.
        base_url: where revocation lists are found; written into certificates.
        make: fresh private keys by kind.
    """

    def __init__(self, store: TokenKeyStore, base_url: str, *, make: Callable[[str], PrivateKey] = new_key) -> None:
        self.store = store
        self._base_url = base_url
        self._make = make
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failed_at: datetime | None = None

    def begin(self, at: datetime, rules: Rules) -> None:
        """See to it that there are keys: made at the first start (about a second), or taken over from what was kept.

        Raises:
            SettingsError: what is stored cannot be used.
            Unavailable: the database does not answer.
        """
        self.store.begin(lambda kept: first_keys(kept, self._base_url, at, rules.token_lifetime, self._make))

    def keep_up(self, at: datetime, rules: Rules) -> None:
        """Do whatever is due: publish a key that stands by, start it by the schedule, renew certificates, clear up.

        Raises:
            SettingsError: what is stored cannot be used.
            Unavailable: the database does not answer.
        """
        for _ in range(_ROUNDS):
            due = plan.tasks(self.store.all(), at, rules)
            if not due:
                return
            fresh = {kind: self._make(kind) for kind in due.make}

            def decide(keys: tuple[TokenKey, ...], fresh: Mapping[str, PrivateKey] = fresh) -> Iterable[TokenKey]:
                return self._performed(keys, fresh, at, rules)

            self.store.change(decide)

    def keep_up_soon(self, at: datetime, rules: Rules) -> None:
        """The same beside requests, in a thread; one at a time. What goes wrong is logged, and tried again later."""
        with self._lock:
            failed = self._failed_at
            if failed is not None and timedelta() <= at - failed < RETRY:
                return
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._try, args=(at, rules), name="signing keys", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for what was begun."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def rotate(self, at: datetime, rules: Rules) -> tuple[TokenKey, ...]:
        """Have other keys sign: at once if those that stand by are known to everybody, else as soon as they are.

        Returns:
            The keys that will sign, one of each kind, with the instant from which they do.

        Raises:
            Conflict: a rotation is under way, or too many keys are still in use.
            SettingsError: what is stored cannot be used.
            Unavailable: the database does not answer.
        """
        before = self.store.all()
        fresh = {kind: self._make(kind) for kind in plan.LEAVES if _standby(before, kind) is None}

        def decide(keys: tuple[TokenKey, ...]) -> Iterable[TokenKey]:
            for kind in plan.LEAVES:
                _check_rotation(keys, kind, at)
            keys = self._with_standby(keys, fresh, at, rules)
            chosen = {key.id for kind in plan.LEAVES if (key := _standby(keys, kind)) is not None}
            return [replace(k, active_from=max(at, k.published_at + plan.LEAD)) if k.id in chosen else k for k in keys]

        after = self.store.change(decide)
        return tuple(max((k for k in after if k.kind == kind and k.active_from), key=_start) for kind in plan.LEAVES)

    def revoke_ca(self, at: datetime, rules: Rules) -> tuple[TokenKey, ...]:
        """Put another signing CA in place of the present one, whose key somebody else has, and revoke that.

        Whatever it certified counts for nothing with it: every key that signed or stood by is revoked too, and fresh
        ones sign at once. Who keeps the key set refuses their tokens until it fetches it anew.

        Returns:
            The keys that sign, one of each kind.

        Raises:
            SettingsError: what is stored cannot be used.
            Unavailable: the database does not answer.
        """
        fresh = {kind: self._make(kind) for kind in ("ca", *plan.LEAVES)}

        def decide(keys: tuple[TokenKey, ...]) -> Iterable[TokenKey]:
            gone = [_revoked(key, at, CA_COMPROMISE) if key.kind != "root" else key for key in keys]
            root = authority_of(gone, "root")
            certificate = certify("ca", fresh["ca"], root, at=at, base_url=self._base_url)
            gone.append(made("ca", fresh["ca"], certificate, at=at, lifetime=timedelta(), active_from=at))
            leaves = [self._leaf(gone, kind, fresh[kind], at, rules) for kind in plan.LEAVES]
            return [*gone, *(replace(leaf, active_from=at) for leaf in leaves)]

        after = self.store.change(decide)
        return tuple(key for kind in plan.LEAVES if (key := plan.active(after, kind, at)) is not None)

    def revoke(self, key_id: str, at: datetime, rules: Rules, *, reason: str = REASONS[0]) -> Revoked:
        """Put a leaf onto the revocation list and take it out of the key set, for good. If it signs, another does.

        Raises:
            NotFound: no leaf has this id.
            Conflict: it is revoked already.
            SettingsError: what is stored cannot be used.
            Unavailable: the database does not answer.
        """
        kinds = {key.kind for key in self.store.all() if key.id == key_id and key.kind in plan.LEAVES}
        fresh = {kind: self._make(kind) for kind in kinds}
        successors: list[TokenKey] = []

        def decide(keys: tuple[TokenKey, ...]) -> Iterable[TokenKey]:
            found = _to_revoke(keys, key_id)
            gone = _revoked(found, at, reason)
            rest = [gone if key is found else key for key in keys]
            if plan.active(keys, found.kind, at) is not found:
                return rest
            heir = _heir(rest, found.kind, at) or self._leaf(rest, found.kind, fresh[found.kind], at, rules)
            successors.append(replace(heir, active_from=at))
            return [*(key for key in rest if key.id != heir.id), successors[0]]

        after = self.store.change(decide)
        revoked = next(key for key in after if key.id == key_id)
        if not successors:
            return Revoked(key=revoked)
        known = successors[0].published_at + plan.LEAD
        return Revoked(key=revoked, successor=successors[0], trusted_from=known if known > at else None)

    def _try(self, at: datetime, rules: Rules) -> None:
        try:
            self.keep_up(at, rules)
            self._failed_at = None
        except AmberError as exc:
            self._failed_at = at
            _LOG.warning("the signing keys could not be kept in order: %s", exc.as_dict())

    def _performed(
        self, keys: Sequence[TokenKey], fresh: Mapping[str, PrivateKey], at: datetime, rules: Rules
    ) -> list[TokenKey]:
        """What is due now, done; of what has to be made, what is at hand. Another node may have done it meanwhile."""
        due = plan.tasks(keys, at, rules)
        done = [key for key in keys if key.id not in due.drop]
        for kind in due.renew:
            done.append(self._renewed(done, kind, at))
        done += [self._leaf(done, kind, fresh[kind], at, rules) for kind in due.make if kind in fresh]
        for number, key in enumerate(done):
            done[number] = replace(
                key,
                active_from=due.start.get(key.id, key.active_from),
                private=None if key.id in due.wipe else key.private,
                lifetime=rules.token_lifetime if key.id in due.promise else key.lifetime,
            )
        for key_id, start in due.start.items():
            _LOG.info("the signing key %s signs from %s", key_id[:16], start.isoformat())
        return done

    def _with_standby(
        self, keys: Sequence[TokenKey], fresh: Mapping[str, PrivateKey], at: datetime, rules: Rules
    ) -> tuple[TokenKey, ...]:
        kinds = [kind for kind in plan.LEAVES if _standby(keys, kind) is None and kind in fresh]
        return (*keys, *(self._leaf(keys, kind, fresh[kind], at, rules) for kind in kinds))

    def _leaf(self, keys: Sequence[TokenKey], kind: str, private: PrivateKey, at: datetime, rules: Rules) -> TokenKey:
        certificate = certify(kind, private, authority_of(keys, "ca"), at=at, base_url=self._base_url)
        return made(kind, private, certificate, at=at, lifetime=rules.token_lifetime)

    def _renewed(self, keys: Sequence[TokenKey], kind: str, at: datetime) -> TokenKey:
        """The same key under a new certificate: whatever it has certified stays certified."""
        issuer = None if kind == "root" else authority_of(keys, "root")
        key = authority_of(keys, kind).key
        certificate = certify(kind, key, issuer, at=at, base_url=self._base_url)
        _LOG.info("the certificate of the token PKI's %s was issued anew", kind)
        return made(kind, key, certificate, at=at, lifetime=timedelta(), active_from=at)


def _stands_by(key: TokenKey) -> bool:
    return key.private is not None and key.revoked_at is None and key.active_from is None


def _standby(keys: Iterable[TokenKey], kind: str) -> TokenKey | None:
    """What stands by, the longest published first."""
    return next((key for key in keys if key.kind == kind and _stands_by(key)), None)


def _heir(keys: Sequence[TokenKey], kind: str, at: datetime) -> TokenKey | None:
    """Who signs when the one that did must not: who would have next, or who stands by."""
    told = (key for key in keys if key.kind == kind and plan.state_of(keys, key, at) == "next")
    return next(told, None) or _standby(keys, kind)


def _start(key: TokenKey) -> datetime:
    assert key.active_from is not None
    return key.active_from


def _check_rotation(keys: Sequence[TokenKey], kind: str, at: datetime) -> None:
    for key in keys:
        # What was published when it began is no rotation's: the first, or the successor of a revoked one.
        if key.kind == kind and key.active_from is not None and key.published_at < key.active_from:
            state, start = plan.state_of(keys, key, at), key.active_from
            if state == "next" or (state == "active" and at < start + plan.LEAD):
                hint = "a key that must not sign any more is revoked: that takes effect at once"
                raise Conflict("a rotation is under way", seen=f"{key.id[:16]} signs from {start}", hint=hint)
    if len(plan.published(keys, kind, at)) >= plan.MAX_PUBLISHED:
        raise Conflict(
            "too many keys are still in use",
            seen=f"{plan.MAX_PUBLISHED} of kind {kind}",
            hint="wait until tokens of the oldest have expired; `signing-key list` says when",
        )


def _revoked(key: TokenKey, at: datetime, reason: str) -> TokenKey:
    """The key, revoked if it was not; what had not begun to sign never did."""
    if key.revoked_at is not None:
        return key
    started = key.active_from if key.active_from is not None and key.active_from <= at else None
    return replace(key, revoked_at=at, reason=reason, private=None, active_from=started)


def _to_revoke(keys: Iterable[TokenKey], key_id: str) -> TokenKey:
    found = next((key for key in keys if key.id == key_id and key.kind in plan.LEAVES), None)
    if found is None:
        raise NotFound("there is no such signing key", seen=key_id[:96], hint="`signing-key list --all` shows them")
    if found.revoked_at is not None:
        raise Conflict("the signing key is revoked already", seen=found.revoked_at.isoformat())
    return found
