"""Grace is for statements, within its bound and by a proof at their last instant; verification never grants any."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.appraise.appraisal import appraise
from ambergate.core.appraise.grace import MAX_GRACE, STATEMENTS, verify_within_grace
from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.errors import MalformedEvidence, NotGenuine, NotWelcome
from ambergate.core.verify import Dated, TrustAnchor, VerifiedQuote, Verifier, Window
from ambergate.core.verify.steps import STEPS
from ambergate.simulator.faults import FAULTS, SPECIMEN
from ambergate.simulator.period import Period
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.simulator.publication import Publication

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
END = AT + timedelta(days=30)  # of what the software platform publishes, but for the root CA's list
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("grace"))
VERIFIER = Verifier(anchor=TrustAnchor.from_pem(PLATFORM.root_pem))
RAW = PLATFORM.quote(SPECIMEN, bytes(64))
COLLATERAL = PLATFORM.collateral(at=AT)
GRANTED = AppraisalPolicy(collateral_grace=DAY)
DATES = [step.id for step in STEPS if step.id.startswith("5.")]


def prove(at: datetime, collateral: Collateral = COLLATERAL) -> VerifiedQuote:
    return VERIFIER.verify(RAW, collateral, at=at)


def within(policy: AppraisalPolicy, at: datetime, collateral: Collateral = COLLATERAL) -> VerifiedQuote:
    return verify_within_grace(lambda when: prove(when, collateral), collateral, policy, at=at)


def refusal(verified: VerifiedQuote, policy: AppraisalPolicy, at: datetime) -> tuple[str, str]:
    with pytest.raises(NotWelcome) as caught:
        appraise(verified, policy, at=at)
    (mismatch,) = caught.value.mismatches
    assert mismatch["rule"] == "collateral_grace"
    return mismatch["seen"], mismatch["wanted"]


def ending(**ends: datetime) -> Collateral:
    """Collateral whose named parts end at these instants: `tcb_info`, `qe_identity`, `root_crl`, `pck_crl`."""
    published: Publication = PLATFORM.publication(at=AT)
    parts = {name: replace(getattr(published, name), period=Period(AT - DAY, end)) for name, end in ends.items()}
    return replace(published, **parts).collateral()


def of_dates(at: datetime, *dated: tuple[str, datetime]) -> VerifiedQuote:
    """A verdict proven at `at` that rests on these dates: step and last instant."""
    dates = tuple(Dated(step, step, Window(AT - DAY, end)) for step, end in dated)
    return replace(prove(AT), at=at, dates=dates)


def test_the_statements_are_four_of_the_dated_steps() -> None:
    assert {"5.1.tcb_info_dates", "5.2.qe_identity_dates", "5.4.root_crl_dates", "5.5.pck_crl_dates"} == STATEMENTS
    assert set(DATES) > STATEMENTS


def test_verify_grants_none() -> None:
    prove(END)
    with pytest.raises(NotGenuine):
        prove(END + SECOND)


def test_without_an_instant_a_verdict_is_judged_as_of_its_proof() -> None:
    assert appraise(prove(END), AppraisalPolicy()).verified.at == END


def test_the_instant_says_its_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        appraise(prove(AT), AppraisalPolicy(), at=AT.replace(tzinfo=None))


@pytest.mark.parametrize("at", [AT, AT + SECOND, END])
def test_within_its_window_a_verdict_needs_no_grace(at: datetime) -> None:
    appraise(prove(AT), AppraisalPolicy(), at=at)


def test_by_default_nothing_that_has_expired_is_taken() -> None:
    seen, wanted = refusal(prove(END), AppraisalPolicy(), END + SECOND)
    assert "5.1.tcb_info_dates" in seen
    assert "5.5.pck_crl_dates" in seen
    assert END.isoformat() in seen
    assert "0:00:00" in wanted


def test_a_verdict_is_not_judged_before_it_was_proven() -> None:
    seen, _ = refusal(prove(AT), GRANTED, AT - SECOND)
    assert AT.isoformat() in seen


@pytest.mark.parametrize("after", [SECOND, DAY])
def test_statements_get_the_grace_that_is_granted(after: timedelta) -> None:
    appraise(prove(END), GRANTED, at=END + after)


def test_and_not_a_microsecond_more() -> None:
    refusal(prove(END), GRANTED, END + DAY + timedelta(microseconds=1))


def test_beyond_the_window_the_proof_is_of_its_last_instant() -> None:
    seen, wanted = refusal(prove(END - SECOND), GRANTED, END + SECOND)
    assert (END - SECOND).isoformat() in seen
    assert END.isoformat() in wanted


@pytest.mark.parametrize("step", DATES)
def test_grace_is_for_statements_alone(step: str) -> None:
    verified = of_dates(END, (step, END), ("5.4.root_crl_dates", END + 365 * DAY))
    appraise(verified, GRANTED, at=END)
    if step in STATEMENTS:
        appraise(verified, GRANTED, at=END + DAY)
    else:
        seen, _ = refusal(verified, replace(GRANTED, collateral_grace=MAX_GRACE), END + SECOND)
        assert step in seen


@pytest.mark.parametrize("later", [SECOND, DAY])
def test_an_appraisal_holds_as_long_as_it_would_be_given(later: timedelta) -> None:
    verified = of_dates(END, ("5.1.tcb_info_dates", END), ("5.3.pck_chain_dates", END + later))
    until = appraise(verified, GRANTED).holds_until
    assert until == END + later
    appraise(verified, GRANTED, at=until)
    refusal(verified, GRANTED, until + SECOND)
    assert appraise(verified, AppraisalPolicy()).holds_until == verified.window.not_after


def test_what_ends_with_the_calendar_has_no_grace_and_needs_none() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    assert appraise(of_dates(AT, ("5.1.tcb_info_dates", end)), GRANTED).holds_until == end


@given(
    st.lists(st.tuples(st.sampled_from(DATES), st.integers(0, 6)), min_size=1, max_size=5),
    st.integers(0, 6),
    st.integers(0, 4),
    st.integers(0, 6),
)
def test_welcome_is_exactly_what_the_rule_says(ends: list[tuple[str, int]], proven: int, grace: int, at: int) -> None:
    """Over hours: what has ended is a statement within its grace, and was proven at its last common instant."""
    hour = timedelta(hours=1)
    proven = min([proven, *(end for _, end in ends)])  # the verifier proves nothing outside its window
    verified = of_dates(AT + proven * hour, *((step, AT + end * hour) for step, end in ends))
    ended = [(step, end) for step, end in ends if end < at]
    welcome = at >= proven and (
        not ended
        or (all(step in STATEMENTS and at - end <= grace for step, end in ended) and proven == min(e for _, e in ends))
    )
    policy = AppraisalPolicy(collateral_grace=grace * hour)
    if welcome:
        appraise(verified, policy, at=AT + at * hour)
    else:
        refusal(verified, policy, AT + at * hour)


@pytest.mark.parametrize("at", [AT, END])
def test_what_can_be_proven_now_is_proven_now(at: datetime) -> None:
    assert within(GRANTED, at).at == at


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "root_crl", "pck_crl"])
@pytest.mark.parametrize("after", [SECOND, DAY])
def test_an_expired_statement_is_proven_at_its_last_instant(part: str, after: timedelta) -> None:
    last = AT + 3 * DAY
    collateral = ending(**{part: last})
    verified = within(GRANTED, last + after, collateral)
    assert verified.at == last == verified.window.not_after
    appraise(verified, GRANTED, at=last + after)


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "root_crl", "pck_crl"])
def test_beyond_the_grace_the_refusal_is_the_verifiers(part: str) -> None:
    last = AT + 3 * DAY
    collateral = ending(**{part: last})
    for policy, after in ((GRANTED, DAY + SECOND), (AppraisalPolicy(), SECOND)):
        with pytest.raises(NotGenuine) as caught:
            within(policy, last + after, collateral)
        assert caught.value.step in STATEMENTS


@pytest.mark.parametrize(
    ("policy", "at", "proofs"),
    [
        (GRANTED, END, 1),
        (GRANTED, END + DAY, 2),
        (GRANTED, END + DAY + SECOND, 1),
        (GRANTED, AT - DAY, 1),
        (AppraisalPolicy(), END + SECOND, 1),
    ],
)
def test_a_second_proof_is_made_only_where_grace_can_help(policy: AppraisalPolicy, at: datetime, proofs: int) -> None:
    instants = []

    def counted(when: datetime) -> VerifiedQuote:
        instants.append(when)
        return prove(when)

    with contextlib.suppress(NotGenuine):
        verify_within_grace(counted, COLLATERAL, policy, at=at)
    assert instants == [at, END][:proofs]


def test_what_is_wrong_besides_dates_is_proven_once() -> None:
    instants = []

    def forged(when: datetime) -> VerifiedQuote:
        instants.append(when)
        return Verifier().verify(RAW, COLLATERAL, at=when)  # under Intel's root

    with pytest.raises(NotGenuine):
        verify_within_grace(forged, COLLATERAL, GRANTED, at=END + SECOND)
    assert instants == [END + SECOND]


def test_the_first_end_counts() -> None:
    collateral = ending(qe_identity=AT + DAY, pck_crl=AT + 2 * DAY)
    assert within(GRANTED, AT + 2 * DAY, collateral).at == AT + DAY
    with pytest.raises(NotGenuine):
        within(GRANTED, AT + 2 * DAY + SECOND, collateral)


def test_no_grace_reaches_into_the_future() -> None:
    longest = AppraisalPolicy(collateral_grace=MAX_GRACE)
    with pytest.raises(NotGenuine) as caught:
        within(longest, AT - 2 * DAY)
    assert caught.value.step == "5.1.tcb_info_dates"
    never = ending(tcb_info=AT - 2 * DAY)  # ends before it begins
    with pytest.raises(NotGenuine):
        within(longest, AT, never)


def test_a_certificate_that_has_expired_too_is_no_matter_of_grace() -> None:
    """The TCB info's end hides that the PCK certificate ends before `at`: the second look does not."""
    pck = min(each.window.not_after for each in prove(AT).dates if each.step == "5.3.pck_chain_dates")
    collateral = PLATFORM.collateral(at=pck - timedelta(days=30, seconds=10))
    within(GRANTED, pck, collateral)
    with pytest.raises(NotGenuine) as caught:
        within(GRANTED, pck + SECOND, collateral)
    assert caught.value.step == "5.1.tcb_info_dates"


@pytest.mark.parametrize(
    "name", [name for name, fault in FAULTS.items() if not (fault.expected_step or "5.").startswith("5.")]
)
def test_grace_never_takes_a_forgery(name: str) -> None:
    """Whatever is wrong with evidence besides dates, an expired statement and a grace do not hide it."""
    raw, collateral = FAULTS[name].apply(PLATFORM, AT, random=stream(name))
    longest = AppraisalPolicy(collateral_grace=MAX_GRACE)
    for at in (AT, END + DAY):
        with pytest.raises((NotGenuine, MalformedEvidence)):
            verify_within_grace(lambda when: VERIFIER.verify(raw, collateral, at=when), collateral, longest, at=at)
