"""Collateral kept: verified at the door, refreshed ahead of its end, one fetch for any number of callers.

What is kept is what `admission` lets in. A caller gets what is held while that holds; it waits only when nothing is.
Where a policy grants grace, statements that ended are served for so long, once newer could not be had.
Rules and failures for operators: docs/collateral.md. Decisions: ADR 0013, 0014.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.appraise.grace import first_end
from ambergate.core.collateral.bundle import Collateral
from ambergate.core.errors import AmberError, MalformedCollateral, Unavailable
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.pcs.admission import NOT_NOW, last_use, marks_of, prove, prove_late, rolled_back
from ambergate.pcs.fetcher import Wanted
from ambergate.pcs.holding import CachePolicy, Entry, Flight, Held, Holding, ProcessMemory
from ambergate.pcs.retry import system_draw
from ambergate.pcs.several import FirstOf

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from ambergate.core.measurements import Fmspc
    from ambergate.core.verify.endorsements import VerifiedCollateral
    from ambergate.pcs.fetcher import CollateralSource
    from ambergate.pcs.holding import CollateralMemory

MIN_REFRESH: Final = timedelta(minutes=1)  # between refreshes that succeed, however near the end is
JITTER: Final = 0.1  # by how much of it a refresh comes earlier, so that many processes do not refresh together
_LOG = logging.getLogger("ambergate.pcs")


class Past(NamedTuple):
    """What was found and does not hold now; `accepted`: when, if the store had it."""

    collateral: Collateral
    accepted: datetime | None


class CachedCollateral:
    """Keeps what a source has. Safe to share between threads. Call `close` at the end.

    Proves of everything that it returns: at the time of the call, all of it was the anchor's word, unrevoked and
    unexpired, about the family, CA and TEE asked for, and no document of it older than one that was accepted before.
    With a grace, statements may have ended by no more than that: then it was so at the last instant at which they held.

    Args:
        source: asked when nothing is held, or it is time for newer; with `FirstOf`, the next one is asked too when
            what one has is not let in.
        anchor: whose word counts; Intel's when not given.
        now: the clock, aware.
        store: remembers beyond this process; nothing does when not given.
        line: which of several lines of statements this is, `standard` or `early`; going back is refused within one.
        policy: how long, how often.
        draw: a number from 0 to 1, for the times of refreshes.
    """

    def __init__(  # noqa: PLR0913  each has its name, most a default
        self,
        source: CollateralSource,
        *,
        now: Callable[[], datetime],
        anchor: TrustAnchor | None = None,
        store: CollateralMemory | None = None,
        line: str = "standard",
        policy: CachePolicy | None = None,
        draw: Callable[[], float] = system_draw,
    ) -> None:
        self._source = source if isinstance(source, FirstOf) else FirstOf([("the source", source)])
        self._anchor = anchor or TrustAnchor.intel()
        self._now = now
        self._memory: CollateralMemory = ProcessMemory() if store is None else store
        self._scope = f"{hashlib.sha256(self._anchor.key).hexdigest()[:32]}/{line}"
        self._policy = policy or CachePolicy()
        self._draw = draw
        self._lock = threading.Lock()
        self._entries: OrderedDict[Wanted, Entry] = OrderedDict()
        self._refreshes: set[threading.Thread] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Start no refresh any more, let nothing in, and wait `policy.closing` seconds for those under way."""
        with self._lock:
            self._closed = True
            running = tuple(self._refreshes)
        end = time.monotonic() + self._policy.closing
        for thread in running:
            thread.join(max(end - time.monotonic(), 0.0))

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements for a platform family (see `CollateralSource`); the same object while they are the same.

        Raises:
            Unavailable: none that may be served could be had; the code says why.
            MalformedCollateral: what there is, is not collateral.
            SettingsError: the store holds something else than was written.
        """
        wanted = Wanted.of(fmspc, ca, tee)
        fingerprint = self._source.fingerprint(fmspc=fmspc, ca=ca, tee=tee)
        at = self._now()
        with self._lock:
            entry = self._entry(wanted)
            changed = fingerprint is not None and fingerprint != entry.fingerprint
            if not changed:
                serving = entry.serving(at)
                if serving is not None:
                    if entry.due(at, self._policy):
                        self._start_refresh(wanted, entry, fingerprint)
                    return serving
                resting = entry.resting(at, self._policy)
                if resting is not None:
                    raise resting
            flight = entry.flight
            mine = flight is None
            if flight is None:
                flight = entry.flight = Flight()
        if mine:
            self._fly(wanted, entry, flight, fingerprint, changed=changed)
        return flight.result(self._policy.patience)

    def at_hand(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral | None:
        """What `collateral` would return, if it is held, unchanged at its source, and no refresh is due; else None."""
        wanted = Wanted.of(fmspc, ca, tee)
        fingerprint = self._source.fingerprint(fmspc=fmspc, ca=ca, tee=tee)
        at = self._now()
        with self._lock:
            entry = self._entries.get(wanted)
            if entry is None or (fingerprint is not None and fingerprint != entry.fingerprint):
                return None
            self._entries.move_to_end(wanted)  # used last
            return None if entry.due(at, self._policy) else entry.serving(at)

    def holdings(self) -> tuple[Holding, ...]:
        """What is held, until when, and what failed: for people and for metrics."""
        with self._lock:
            at = self._now()
            return tuple(_told(wanted, entry, at) for wanted, entry in self._entries.items())

    def _entry(self, wanted: Wanted) -> Entry:
        """The family's entry, used last. What makes room is what holds nothing, then what was used longest ago."""
        entry = self._entries.setdefault(wanted, Entry())
        self._entries.move_to_end(wanted)
        if len(self._entries) > self._policy.entries:
            idle = [key for key, each in self._entries.items() if each.flight is None and each is not entry]
            empty = next((key for key in idle if self._entries[key].held is None), None)
            for key in [empty] if empty is not None else idle[:1]:
                del self._entries[key]
        return entry

    def _start_refresh(self, wanted: Wanted, entry: Entry, fingerprint: object) -> None:
        """Refresh in a thread of its own; when too many are under way, the next caller tries again."""
        if self._closed or len(self._refreshes) >= self._policy.refreshes:
            return
        flight = Flight()

        def refresh() -> None:
            try:
                self._fly(wanted, entry, flight, fingerprint, changed=False)
            finally:
                with self._lock:
                    self._refreshes.discard(thread)

        # A daemon: an upstream that does not answer must not keep the process from ending.
        thread = threading.Thread(target=refresh, name=f"collateral {wanted}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the system has no thread for us now: as above
        # It cannot end before this: it needs the lock for that, which is held.
        self._refreshes.add(thread)
        entry.flight = flight

    def _fly(self, wanted: Wanted, entry: Entry, flight: Flight, fingerprint: object, *, changed: bool) -> None:
        """Make the fetch that the flight stands for, and land it."""
        try:
            held, missing = self._obtain(wanted, entry, changed=changed)
        except AmberError as exc:
            self._failed(wanted, entry, fingerprint, exc)  # lands what still holds, or crashes
        except BaseException:
            cut = Unavailable("the fetch of collateral was cut short", seen=str(wanted))
            with self._lock:
                entry.fail(cut, self._now())
                entry.flight = None
            flight.crash(cut)
            raise
        else:
            at = self._now()
            with self._lock:
                entry.succeed(held)
                if missing is not None:  # late is not well: it is tried again as after any failure
                    entry.fail(missing, at)
                entry.fingerprint, entry.flight = fingerprint, None
            if missing is not None:
                _LOG.warning("no newer collateral for %s, %s: %s", wanted, held.told(at), missing.as_dict())
            flight.land(held.collateral)

    def _failed(self, wanted: Wanted, entry: Entry, fingerprint: object, error: AmberError) -> None:
        """Remember the failure; serve what still holds, or tell everybody."""
        at = self._now()
        with self._lock:
            entry.fail(error, at)
            flight, held, serving = entry.flight, entry.held, entry.serving(at)
            entry.fingerprint, entry.flight = fingerprint, None
        until = "nothing is served" if held is None or serving is None else held.told(at)
        _LOG.warning("no newer collateral for %s, %s: %s", wanted, until, error.as_dict())
        assert flight is not None
        if serving is None:
            flight.crash(entry.told(error))
        else:
            flight.land(serving)

    def _obtain(self, wanted: Wanted, entry: Entry, *, changed: bool) -> tuple[Held, AmberError | None]:
        """What the store has, if that is new to us; else what the source has.

        When neither has anything that holds, and what is held does not do either: the last to end of what they had, if
        the grace takes it, and why there is nothing better.
        """
        past: list[Past] = []
        stored = self._recall(wanted, entry.held, past)
        if stored is not None:
            with self._lock:
                first, entry.held = entry.held is None, stored
            if not changed and (first or self._now() < stored.refresh_at):
                return stored, None
        try:
            return self._source.first(lambda source: self._admit(source, wanted, entry.held, past)), None
        except (Unavailable, MalformedCollateral) as exc:
            late = self._late(wanted, entry.held, past)
            if late is None:
                raise
            return late, exc

    def _late(self, wanted: Wanted, held: Held | None, past: list[Past]) -> Held | None:
        """Of what has ended, the last to end that the grace takes; nothing where what is held does as well."""
        at, grace = self._now(), self._policy.grace
        if grace == timedelta(0):
            return None
        bar = held.window.not_after if held is not None and at <= held.until else None
        ended = [(first_end(each.collateral), each) for each in past]
        for last, each in sorted(ended, key=lambda pair: pair[0], reverse=True):  # of equals, the first that was found
            if bar is not None and last <= bar:
                break
            try:
                verified = prove_late(each.collateral, wanted, anchor=self._anchor, at=at, grace=grace)
                accepted = self._keep(verified, wanted, at) if each.accepted is None else each.accepted
            except (Unavailable, MalformedCollateral) as exc:
                _LOG.info("collateral for %s that has ended is not used: %s", wanted, exc.as_dict())
                continue
            return self._held(verified, accepted, held)
        return None

    def _recall(self, wanted: Wanted, held: Held | None, past: list[Past]) -> Held | None:
        """What the store has, when it was accepted later than what is held. A database is not believed either."""
        found = self._memory.load(self._key(wanted))
        if found is None or (held is not None and found[1] <= held.accepted):
            return None
        text, accepted = found
        try:
            verified = self._prove(Past(Collateral.from_json(text), accepted), wanted, past, self._now())
        except (Unavailable, MalformedCollateral) as exc:
            _LOG.info("the stored collateral for %s is not used: %s", wanted, exc.as_dict())
            return None
        return self._held(verified, accepted, held)

    def _admit(self, source: CollateralSource, wanted: Wanted, held: Held | None, past: list[Past]) -> Held:
        """What one source has, let in."""
        collateral = source.collateral(fmspc=wanted.fmspc, ca=wanted.ca, tee=wanted.tee)
        at = self._now()
        verified = self._prove(Past(collateral, None), wanted, past, at)
        return self._held(verified, self._keep(verified, wanted, at), held)

    def _prove(self, found: Past, wanted: Wanted, past: list[Past], at: datetime) -> VerifiedCollateral:
        """Proven now; what does not hold now is put to the `past`."""
        try:
            return prove(found.collateral, wanted, anchor=self._anchor, at=at)
        except Unavailable as exc:
            if exc.code == NOT_NOW:
                past.append(found)
            raise

    def _keep(self, verified: VerifiedCollateral, wanted: Wanted, at: datetime) -> datetime:
        """Remember it, unless it goes back; when it was accepted."""
        if self._closed:
            raise Unavailable("the collateral is not kept: its cache was closed", seen=str(wanted))
        marks = marks_of(verified)
        accepted = self._memory.save(self._key(wanted), verified.collateral.to_json(), at=at, marks=marks)
        if accepted is not None:
            raise rolled_back(marks, accepted)
        return at

    def _held(self, verified: VerifiedCollateral, accepted: datetime, before: Held | None) -> Held:
        window = verified.window
        wait = max(min(self._policy.refresh_after, (window.not_after - accepted) / 2), MIN_REFRESH)
        held = Held(
            collateral=verified.collateral,
            window=window,
            until=last_use(verified, self._policy.grace),
            ends=verified.earliest_expiry,
            accepted=accepted,
            refresh_at=accepted + wait * (1 - JITTER * self._draw()),
            evaluation=verified.tcb_info.evaluation_data_number,
        )
        if before is not None and before.collateral == held.collateral:
            return replace(held, collateral=before.collateral)  # the verifier's memory finds the same object faster
        return held

    def _key(self, wanted: Wanted) -> str:
        """What the store knows it by: nobody's statements are compared with those of another anchor or line."""
        return f"{self._scope}/{wanted}"


def _told(wanted: Wanted, entry: Entry, at: datetime) -> Holding:
    held = entry.held
    return Holding(
        wanted=wanted,
        expires=None if held is None else held.window.not_after,
        accepted=None if held is None else held.accepted,
        refresh_at=None if held is None else held.refresh_at,
        served=entry.serving(at) is not None,
        late=held is not None and held.late(at) and entry.serving(at) is not None,
        late_until=None if held is None else held.until,
        evaluation=None if held is None else held.evaluation,
        failures=entry.failures,
        failure=entry.failure,
    )
