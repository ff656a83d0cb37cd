"""What an appraiser remembers is a welcome of one kind of evidence, and it says what `appraise` says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.appraise import appraisal as module
from ambergate.core.appraise.appraisal import Appraisal, Appraiser, appraise
from ambergate.core.appraise.evidence import CLAIMS, OF_EACH
from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.errors import NotWelcome
from ambergate.core.quote.codec import parse_quote
from ambergate.core.verify import TrustAnchor, VerifiedQuote, Verifier, verify_quote
from ambergate.simulator.faults import SPECIMEN, TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.td import TdIdentity

if TYPE_CHECKING:
    from ambergate.simulator.cpu import EnclaveIdentity

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("appraiser"))
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
STATEMENTS = {"SGX": PLATFORM.collateral(at=AT), "TDX": PLATFORM.td_collateral(at=AT)}
POLICY = AppraisalPolicy(mr_signer=frozenset({SPECIMEN.mr_signer}))
ANY = AppraisalPolicy()
VERIFIER = Verifier(anchor=ANCHOR)


def verified(data: bytes = bytes(64), one: EnclaveIdentity | TdIdentity = SPECIMEN, at: datetime = AT) -> VerifiedQuote:
    if isinstance(one, TdIdentity):
        return VERIFIER.verify(PLATFORM.td_quote(one, data), STATEMENTS["TDX"], at=at)
    return VERIFIER.verify(PLATFORM.quote(one, data), STATEMENTS["SGX"], at=at)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[VerifiedQuote]:
    """What is appraised from nothing."""
    seen: list[VerifiedQuote] = []

    def noting(verdict: VerifiedQuote, policy: AppraisalPolicy, *, at: datetime | None = None) -> Appraisal:
        seen.append(verdict)
        return appraise(verdict, policy, at=at)

    monkeypatch.setattr(module, "appraise", noting)
    return seen


@given(st.lists(st.binary(min_size=64, max_size=64), min_size=2, max_size=4), st.sampled_from([SPECIMEN, TD_SPECIMEN]))
def test_a_remembered_welcome_says_what_appraise_says(datas: list[bytes], one: EnclaveIdentity | TdIdentity) -> None:
    appraiser = Appraiser(ANY)
    for data in datas:
        verdict = verified(data, one)
        told = appraiser.appraise(verdict, at=AT)
        anew = appraise(verify_quote(verdict.quote, verdict.collateral, at=AT, anchor=ANCHOR), ANY, at=AT)
        assert dict(told.claims) == dict(anew.claims)
        assert told.holds_until == anew.holds_until
        assert told.verified is verdict


def test_a_kind_is_appraised_once(asked: list[VerifiedQuote]) -> None:
    appraiser = Appraiser(POLICY)
    for octet in range(4):
        appraiser.appraise(verified(bytes([octet]) * 64), at=AT)
    assert len(asked) == 1
    appraiser.appraise(verified(one=replace(SPECIMEN, isv_svn=SPECIMEN.isv_svn + 1)), at=AT)
    assert len(asked) == 2
    plain = verify_quote(parse_quote(PLATFORM.quote(SPECIMEN, bytes(64))), STATEMENTS["SGX"], at=AT, anchor=ANCHOR)
    for _ in range(2):
        appraiser.appraise(plain, at=AT)
    assert len(asked) == 4, "of a verdict whose kind is not known nothing is remembered"


def test_all_but_a_few_claims_are_those_of_the_kind() -> None:
    first, second = (dict(appraise(verified(bytes([n]) * 64), ANY, at=AT).claims) for n in range(2))
    differ = {name for name, value in first.items() if second[name] != value}
    assert differ == {"sgx_report_data", "sgx_collateral"}
    assert differ < OF_EACH < CLAIMS.keys()


def test_a_refusal_is_not_remembered(asked: list[VerifiedQuote]) -> None:
    appraiser = Appraiser(AppraisalPolicy(minimum_isv_svn=SPECIMEN.isv_svn + 1))
    for _ in range(2):
        with pytest.raises(NotWelcome, match="isv_svn"):
            appraiser.appraise(verified(), at=AT)
    assert len(asked) == 2


def test_beyond_the_window_the_policy_is_asked_again(asked: list[VerifiedQuote]) -> None:
    appraiser, verdict = Appraiser(POLICY), verified()
    appraiser.appraise(verdict, at=AT)
    end = verdict.window.not_after
    appraiser.appraise(verdict, at=end)
    assert len(asked) == 1
    for when in (end + timedelta(microseconds=1), AT - timedelta(microseconds=1)):
        with pytest.raises(NotWelcome, match="collateral_grace"):
            appraiser.appraise(verdict, at=when)
    assert len(asked) == 3
    with pytest.raises(ValueError, match="time zone"):
        appraiser.appraise(verdict, at=AT.replace(tzinfo=None))


def test_a_grace_is_granted_to_what_is_remembered_too() -> None:
    appraiser = Appraiser(AppraisalPolicy(collateral_grace=timedelta(days=1)))
    verdict = verified(at=verified().window.not_after)
    late = verdict.at + timedelta(hours=1)
    assert appraiser.appraise(verdict, at=late).holds_until > late
    assert appraiser.appraise(verdict, at=late).holds_until > late
    with pytest.raises(NotWelcome, match="collateral_grace"):
        appraiser.appraise(verdict, at=verdict.at + timedelta(days=2))


def test_what_was_used_longest_ago_is_forgotten(asked: list[VerifiedQuote]) -> None:
    appraiser = Appraiser(ANY, max_kinds=1)
    identities: tuple[EnclaveIdentity | TdIdentity, ...] = (SPECIMEN, TD_SPECIMEN, SPECIMEN)
    for one in identities:
        appraiser.appraise(verified(one=one), at=AT)
    assert len(asked) == 3
