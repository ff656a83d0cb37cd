"""Whoever keeps the key set no longer than told has the key of every token that is good, whatever is done when."""

from __future__ import annotations

import bisect
import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.attestation.key_scene import AT, RULES, begun, keeper

from ambergate.core.errors import Conflict
from ambergate.services.attestation import key_plan as plan
from ambergate.services.attestation.certificates import ends_at
from ambergate.services.attestation.key_plan import KEY_SET_AGE, LEAD, MARGIN, RENEW, STANDBY_AFTER
from ambergate.services.attestation.memory import TRUST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ambergate.stores.token_keys import TokenKey

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
KINDS = ("rsa", "ec")
Past = list[tuple["datetime", tuple["TokenKey", ...]]]


def rsa(keys: Sequence[TokenKey]) -> TokenKey:
    return next(key for key in keys if key.kind == "rsa")


def follower(key: TokenKey, start: datetime | None, **changes: object) -> TokenKey:
    return replace(key, id="f" * 96, active_from=start, **changes)  # type: ignore[arg-type]


def test_a_key_lives_from_its_publication_to_its_last_tokens_end() -> None:
    key = rsa(begun())
    follows = follower(key, AT + 10 * DAY, published_at=AT + DAY)
    both = (key, follows)
    last = AT + 10 * DAY + RULES.token_lifetime + MARGIN
    expected = [
        (AT + DAY, "active", "next"),
        (AT + 10 * DAY - SECOND, "active", "next"),
        (AT + 10 * DAY, "retired", "active"),
        (last - SECOND, "retired", "active"),
        (last, "gone", "active"),
    ]
    for at, *states in expected:
        assert [plan.state_of(both, each, at) for each in both] == states
        signing = plan.active(both, "rsa", at)
        assert signing is both[states.index("active")]
        assert plan.published(both, "rsa", at)[0] is signing, "who signs comes first"
        assert len(plan.published(both, "rsa", at)) == 2 - states.count("gone")
    assert plan.state_of(both, replace(key, revoked_at=AT), AT) == "revoked"
    assert plan.state_of(both, follower(key, None), AT) == "standing by"


def test_a_clock_that_is_behind_has_a_key_all_the_same() -> None:
    assert plan.active(begun(), "rsa", AT - DAY) is rsa(begun())
    wiped = (replace(rsa(begun()), private=None), follower(rsa(begun()), AT + DAY))
    assert plan.active(wiped, "rsa", AT) is wiped[1]
    assert plan.active([wiped[0]], "rsa", AT) is None
    assert plan.active([replace(rsa(begun()), revoked_at=AT)], "rsa", AT) is None


def test_a_key_stands_by_soon_after_the_start_and_not_during_it() -> None:
    assert not plan.tasks(begun(), AT, RULES)
    assert plan.tasks(begun(), AT + STANDBY_AFTER, RULES).make == KINDS


@pytest.mark.parametrize("days", [1, 30])
def test_the_schedule_starts_the_next_key_when_its_time_comes(days: int) -> None:
    rules = replace(RULES, rotate_every=days * DAY)
    keys, kept = keeper()
    keys.keep_up(AT + 2 * MINUTE, rules)
    assert {key.active_from for key in kept.keys} == {AT, None}, "not before it is time to say so"
    keys.keep_up(AT + days * DAY - LEAD, rules)
    for kind in KINDS:
        starts = {key.active_from for key in kept.keys if key.kind == kind}
        assert starts == {AT, AT + days * DAY, None}, "and another stands by"


def test_who_is_late_with_the_schedule_publishes_first_and_rotates_then() -> None:
    """A service that was started after the key's time: the next one is not known to anybody yet."""
    rules = replace(RULES, rotate_every=30 * DAY)
    keys, kept = keeper()
    late = AT + 100 * DAY
    keys.keep_up(late, rules)
    assert {key.active_from for key in kept.keys if key.kind == "rsa"} == {AT, late + LEAD}
    keys.keep_up(late + LEAD, rules)
    assert {key.active_from for key in kept.keys if key.kind == "rsa"} == {AT, late + LEAD, None}


def test_a_certificate_near_its_end_has_the_next_key_sign() -> None:
    keys, kept = keeper()
    keys.keep_up(AT + MINUTE, RULES)
    near = ends_at(rsa(kept.keys).certificate) - RENEW
    keys.keep_up(near - DAY, RULES)
    standing = {key.id for key in kept.keys if key.active_from is None}
    assert not {key.id for key in kept.keys if key.published_at == AT + MINUTE} & standing, "as old as the first"
    keys.keep_up(near, RULES)
    for kind in KINDS:
        signing = plan.active(kept.keys, kind, near + LEAD)
        assert signing is not None
        assert ends_at(signing.certificate) > near + 4 * 365 * DAY
        assert near <= (signing.active_from or AT) <= near + LEAD


def test_authorities_are_issued_anew_before_what_they_certify_would_outlive_them() -> None:
    keys, kept = keeper()
    before = {kind: plan.authority(kept.keys, kind) for kind in ("root", "ca")}
    at = AT
    for _ in range(30):
        at += 365 * DAY
        keys.keep_up(at, RULES)
        for kind, span in (("ca", 5), ("root", 15)):
            authority = plan.authority(kept.keys, kind)
            assert authority is not None
            assert ends_at(authority.certificate) - at >= span * 365 * DAY
            assert authority.private == (before[kind] or authority).private, "what its key signed stays good"
    for kind in ("root", "ca"):
        replaced = [key for key in kept.keys if key.kind == kind and key != plan.authority(kept.keys, kind)]
        assert replaced
        assert all(key.private is None for key in replaced)


def test_what_is_needed_no_more_is_destroyed_and_then_forgotten() -> None:
    keys, kept = keeper()
    first = rsa(kept.keys)
    keys.keep_up(AT + MINUTE, RULES)
    at = AT + DAY
    keys.rotate(at, RULES)
    keys.keep_up(at + MARGIN - SECOND, RULES)
    assert next(key for key in kept.keys if key.id == first.id).private is not None, "a clock may be behind"
    keys.keep_up(at + MARGIN, RULES)
    assert next(key for key in kept.keys if key.id == first.id).private is None
    keys.keep_up(ends_at(first.certificate), RULES)
    assert first.id in {key.id for key in kept.keys}, "it is history"
    keys.keep_up(ends_at(first.certificate) + 31 * DAY, RULES)
    assert first.id not in {key.id for key in kept.keys}


def test_a_longer_life_of_tokens_is_promised_by_the_keys_that_sign_them() -> None:
    keys, kept = keeper()
    longer = replace(RULES, token_lifetime=timedelta(hours=2))
    keys.keep_up(AT, longer)
    keys.keep_up(AT, RULES)
    assert {key.lifetime for key in kept.keys if key.kind in KINDS} == {timedelta(hours=2)}, "and it stays promised"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "wait", "rotate", "rotate", "revoke standby"]),
        st.sampled_from([SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, LEAD, DAY, 40 * DAY, 800 * DAY]),
    ),
    max_size=6,
)


def run(steps: Sequence[tuple[str, timedelta]], rules: plan.Rules) -> Past:
    """What was stored since when, if operators do this and the service keeps up every minute for a while after it."""
    keys, kept = keeper()
    at, past = AT, [(AT, kept.keys)]
    for deed, pause in steps:
        with contextlib.suppress(Conflict):
            if deed == "rotate":
                keys.rotate(at, rules)
            elif deed == "revoke standby" and (ids := [k.id for k in kept.keys if k.private and not k.active_from]):
                keys.revoke(ids[0], at, rules)
        past.append((at, kept.keys))
        for wait in (MINUTE, MARGIN, LEAD, pause):
            at += wait
            keys.keep_up(at, rules)
            past.append((at, kept.keys))
    return past


class Node:
    """What somebody who follows the database some seconds late signs with and publishes."""

    def __init__(self, past: Past, kind: str, lag: timedelta) -> None:
        self._past, self._kind, self._lag = past, kind, lag
        self._instants = [at for at, _ in past]
        self._shown: dict[datetime, frozenset[str]] = {}

    def signer(self, at: datetime) -> str:
        key = plan.active(self._seen(at), self._kind, at)
        assert key is not None
        return key.id

    def published(self, at: datetime) -> frozenset[str]:
        if at not in self._shown:
            self._shown[at] = frozenset(key.id for key in plan.published(self._seen(at), self._kind, at))
        return self._shown[at]

    def _seen(self, at: datetime) -> tuple[TokenKey, ...]:
        return self._past[max(bisect.bisect_right(self._instants, at - self._lag) - 1, 0)][1]


@settings(max_examples=100)
@example([("wait", 800 * DAY)] * 3 + [("wait", SECOND)], None, DAY)  # away for so long that a certificate has ended
@given(STEPS, st.sampled_from([None, 1, 30]), st.sampled_from([SECOND, 5 * MINUTE, timedelta(hours=24)]))
def test_no_good_token_is_refused_by_who_keeps_the_key_set_as_told(
    steps: Sequence[tuple[str, timedelta]], days: int | None, lifetime: timedelta
) -> None:
    past = run(steps, plan.Rules(token_lifetime=lifetime, rotate_every=None if days is None else days * DAY))
    starts = {key.active_from for _, keys in past for key in keys if key.active_from is not None}
    around = (-SECOND, timedelta(), TRUST - SECOND, TRUST)
    instants = {at + off for at in starts for off in around} | {at for at, _ in past}
    for kind in KINDS:
        nodes = [Node(past, kind, lag) for lag in (timedelta(), TRUST)]
        for at in instants:
            signers = {node.signer(at) for node in nodes}
            for used in (at, at + lifetime - SECOND):
                for fetched in (used - KEY_SET_AGE, used):
                    # What was fetched before the beginning of time is nobody's key set.
                    assert fetched < AT or all(signers <= node.published(fetched) for node in nodes)
