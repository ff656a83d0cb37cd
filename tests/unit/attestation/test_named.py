"""Named policies beside a request: whatever is missing or goes wrong is a refusal or no match, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest
from tests.unit.appraise.told import SGX

from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage, PolicyOutcome
from ambergate.core.appraise.typed import TypedEngine
from ambergate.core.errors import MalformedPolicy, NotWelcome
from ambergate.services.attestation import policies
from ambergate.services.attestation.evidence import Evidence
from ambergate.services.attestation.memory import REFRESH
from ambergate.services.attestation.named import NamedPolicies, NotAtHand, check_matched, check_policy, told_of
from ambergate.services.attestation.policies import KnownPolicies, open_engines
from ambergate.services.attestation.ports import ANYBODY, Caller
from ambergate.stores.policies import Draft, PolicyStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from ambergate.core.appraise.named import PolicyEngine

AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
REGO: Final = "default matches_sgx_policy = false\nmatches_sgx_policy = true { input.sgx_isvsvn >= 1 }\n"
TYPED: Final = "dangerously_allow_any_enclave = true\n"


def policy(number: int, language: PolicyLanguage = PolicyLanguage.TYPED, text: str = TYPED) -> Policy:
    return Policy(
        id=UUID(int=number),
        version=3,
        name=f"policy-{number}",
        kind=PolicyKind.APPRAISAL,
        language=language,
        text=text,
    )


class Shelf:
    """Policies that a test puts there."""

    def __init__(self, *held: Policy) -> None:
        self._held = {each.id: each for each in held}

    def get(self, policy_id: UUID, /) -> Policy | None:
        return self._held.get(policy_id)

    at_hand = get


def request(*numbers: int) -> Evidence:
    ids = tuple(UUID(int=number) for number in numbers)
    return Evidence(quote=b"", nonce=None, runtime_data=None, policy_ids=ids)


def holder(*numbers: int) -> Caller:
    ids = tuple(UUID(int=number) for number in numbers)
    return Caller(key_id=UUID(int=99), label="x", scopes=frozenset({"attest"}), policy_ids=ids)


@pytest.mark.parametrize(
    ("asked", "key", "counts"),
    [((), (), ()), ((1,), (), (1,)), ((), (2, 1), (2, 1)), ((1,), (2,), (1,)), ((2, 1, 2), (), (2, 1))],
)
def test_which_count(asked: tuple[int, ...], key: tuple[int, ...], counts: tuple[int, ...]) -> None:
    named = NamedPolicies(Shelf(policy(1), policy(2)), {})
    assert [each.id.int for each in named.wanted(request(*asked), holder(*key))] == list(counts)


@pytest.mark.parametrize(("asked", "key", "whose"), [((1, 7, 8), (), "request"), ((), (7, 1, 8), "API key")])
def test_each_that_is_not_here_is_told(asked: tuple[int, ...], key: tuple[int, ...], whose: str) -> None:
    named = NamedPolicies(Shelf(policy(1)), {})
    with pytest.raises(NotWelcome) as caught:
        named.wanted(request(*asked), holder(*key))
    assert caught.value.code == "unknown-policy"
    assert [each["seen"] for each in caught.value.mismatches] == [str(UUID(int=7)), str(UUID(int=8))]
    assert whose in str(caught.value.hint)


def test_a_language_that_nothing_judges_never_matches() -> None:
    rego = policy(1, PolicyLanguage.REGO, REGO)
    engines = {PolicyLanguage.TYPED: TypedEngine()}
    (outcome,) = NamedPolicies(Shelf(rego), engines).judge([rego], {}, at=AT)
    assert not outcome.matched
    assert outcome.mismatches[0]["seen"] == "a policy in rego"
    with pytest.raises(MalformedPolicy) as caught:
        check_policy(engines, rego)
    assert caught.value.hint == "pip install 'ambergate[rego]'"


def test_what_all_must_match_tells_every_rule_of_each_that_did_not() -> None:
    first, second, good = policy(1), policy(2), policy(3)
    wrong = ({"rule": "a", "seen": "1", "wanted": "2"}, {"rule": "b", "seen": "3", "wanted": "4"})
    outcomes = (
        PolicyOutcome(policy=first, matched=False, mismatches=wrong),
        PolicyOutcome(policy=good, matched=True),
        PolicyOutcome(policy=second, matched=False),
    )
    with pytest.raises(NotWelcome) as caught:
        check_matched(outcomes)
    who = {"policy": str(first.id), "policy_name": "policy-1", "policy_version": "v3"}
    assert caught.value.mismatches[:2] == ({**wrong[0], **who}, {**wrong[1], **who})
    assert caught.value.mismatches[2]["policy_name"] == "policy-2", "one that says nothing is told as well"
    assert (caught.value.code, len(caught.value.mismatches)) == ("policy-unmatched", 3)
    check_matched(outcomes[1:2])
    check_matched(())
    assert told_of(outcomes[0]) == list(caught.value.mismatches[:2])


def test_the_engines_of_an_installation() -> None:
    with open_engines() as engines:
        assert set(engines) == {PolicyLanguage.TYPED, PolicyLanguage.REGO}
        for language, text in ((PolicyLanguage.TYPED, TYPED), (PolicyLanguage.REGO, REGO)):
            judged = policy(1, language, text)
            check_policy(engines, judged)
            claims: Mapping[str, object] = {
                "attester_type": "SGX",
                "attester_tcb_status": "UpToDate",
                "attester_tcb_date": "2026-01-01T00:00:00Z",
                "sgx_mrenclave": "00" * 32,
                "sgx_mrsigner": "00" * 32,
                "sgx_isvprodid": 1,
                "sgx_isvsvn": 1,
                "sgx_is_debuggable": False,
            }
            (outcome,) = NamedPolicies(Shelf(), engines).judge([judged], claims, at=AT)
            assert outcome.matched, outcome.mismatches


def test_an_installation_without_rego(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "find_spec", lambda _name: None)
    with open_engines() as engines:
        assert set(engines) == {PolicyLanguage.TYPED}


def test_policies_are_known_from_memory(engine: Engine) -> None:
    store, now = PolicyStore(engine), [AT]
    known = KnownPolicies(store, now=lambda: now[0])
    assert known.get(UUID(int=1)) is None
    draft = Draft(name="web-servers", language=PolicyLanguage.TYPED, text=TYPED)
    made = store.create(draft, PolicyKind.APPRAISAL, at=AT).policy
    now[0] += REFRESH
    assert known.get(made.id) == made
    changed = store.update(made.id, Draft(name="renamed", language=PolicyLanguage.TYPED, text=TYPED), at=AT).policy
    assert known.get(made.id) == made, "for two seconds"
    now[0] += REFRESH
    assert known.get(made.id) == changed
    store.delete(made.id, at=AT)
    now[0] += REFRESH
    assert known.get(made.id) is None


def test_nobody_has_policies() -> None:
    assert NamedPolicies(Shelf(), {}).wanted(request(), ANYBODY) == ()


class Remembering:
    """An engine that says of what it has said before."""

    def __init__(self) -> None:
        self.said: dict[UUID, PolicyOutcome] = {}

    def evaluate(self, policy: Policy, claims: Mapping[str, object], /, *, at: datetime) -> PolicyOutcome:
        del claims, at
        return self.said.setdefault(policy.id, PolicyOutcome(policy=policy, matched=True))

    def recall(self, policy: Policy, claims: Mapping[str, object], /) -> PolicyOutcome | None:
        del claims
        return self.said.get(policy.id)

    def check(self, policy: Policy, /) -> None:
        del policy


def test_recalled_is_what_takes_no_time() -> None:
    """Typed policies are judged, Rego is remembered; of what is not, nothing is said."""
    engines: Mapping[PolicyLanguage, PolicyEngine] = {
        PolicyLanguage.TYPED: TypedEngine(),
        PolicyLanguage.REGO: Remembering(),
    }
    named, both = NamedPolicies(Shelf(), engines), (policy(1), policy(2, PolicyLanguage.REGO))
    with pytest.raises(NotAtHand):
        named.recall(both, SGX, at=AT)
    judged = named.judge(both, SGX, at=AT)
    assert named.recall(both, SGX, at=AT) == judged
    with pytest.raises(NotAtHand):
        NamedPolicies(Shelf(), {}).recall(both, SGX, at=AT)
    (refused,) = NamedPolicies(Shelf(), {}).recall(both[:1], SGX, at=AT)
    assert not refused.matched, "there is nothing to judge it with"


def test_what_is_remembered_takes_no_time() -> None:
    """Counted, and not timed: seconds of evaluations would hide among zeros."""
    timed = list[bool]()
    engines: Mapping[PolicyLanguage, PolicyEngine] = {
        PolicyLanguage.TYPED: TypedEngine(),
        PolicyLanguage.REGO: Remembering(),
    }
    named = NamedPolicies(
        Shelf(), engines, judged=lambda _language, _outcome, seconds: timed.append(seconds is not None)
    )
    named.judge((policy(1), policy(2, PolicyLanguage.REGO)), SGX, at=AT)
    named.recall((policy(1),), SGX, at=AT, kind="kind")
    assert timed == [True, True, True]
    named.recall((policy(1),), SGX, at=AT, kind="kind")
    named.recall((policy(2, PolicyLanguage.REGO),), SGX, at=AT)
    assert timed == [True, True, True, False, False]


def test_at_hand_are_policies_that_are_in_memory() -> None:
    named = NamedPolicies(Shelf(policy(1), policy(2)), {})
    found = named.at_hand(request(1), holder(2))
    assert found is not None
    assert [each.id.int for each in found] == [1]
    assert named.at_hand(request(), holder()) == ()
    assert named.at_hand(request(1, 9), holder()) is None, "one is not in memory: it may be in the database"


class Asked(TypedEngine):
    """A typed engine that notes what it judges."""

    def __init__(self) -> None:
        super().__init__()
        self.judged: list[int] = []

    def evaluate(self, policy: Policy, claims: Mapping[str, object], /, *, at: datetime) -> PolicyOutcome:
        self.judged.append(policy.version)
        return super().evaluate(policy, claims, at=at)


def test_what_policies_said_of_a_kind_holds_for_that_kind_and_these_versions() -> None:
    engine, counted = Asked(), list[PolicyOutcome]()
    named = NamedPolicies(
        Shelf(), {PolicyLanguage.TYPED: engine}, judged=lambda _language, outcome, _seconds: counted.append(outcome)
    )
    kind, other = object(), object()
    first = named.recall((policy(1),), SGX, at=AT, kind=kind)
    assert first[0].matched
    assert named.recall((policy(1),), SGX, at=AT, kind=kind) is first
    assert len(counted) == 2, "each is counted, judged or not"
    assert engine.judged == [3]
    changed = replace(policy(1), version=4, text='[[sgx]]\nmr_signer = ["' + "11" * 32 + '"]\n')
    assert not named.recall((changed,), SGX, at=AT, kind=kind)[0].matched
    named.recall((policy(1),), SGX, at=AT, kind=other)
    named.recall((policy(1),), SGX, at=AT)
    assert engine.judged == [3, 4, 3, 3]
    named.recall((policy(1), policy(2)), SGX, at=AT, kind=other)
    assert engine.judged == [3, 4, 3, 3, 3, 3], "of others together nothing was said"


@pytest.mark.parametrize(
    "text",
    [
        TYPED + '[[tcb_grace]]\nstatus = "OutOfDate"\nuntil = 2027-01-31T00:00:00Z\n',
        TYPED + '[[tcb_grace]]\nstatus = "OutOfDate"\ndays_after_tcb_date = 9\n',
        TYPED + '[[advisory]]\nid = "INTEL-SA-00615"\nuntil = 2027-01-31T00:00:00Z\n',
        "no policy",
    ],
)
def test_what_has_an_end_is_judged_each_time(text: str) -> None:
    engine = Asked()
    named = NamedPolicies(Shelf(), {PolicyLanguage.TYPED: engine})
    for _ in range(2):
        named.recall((policy(1), policy(2, text=text)), SGX, at=AT, kind="kind")
    assert len(engine.judged) == 4


def test_an_advisory_without_an_end_is_no_matter_of_time() -> None:
    engine = Asked()
    named = NamedPolicies(Shelf(), {PolicyLanguage.TYPED: engine})
    for _ in range(2):
        named.recall((policy(1, text=TYPED + '[[advisory]]\nid = "INTEL-SA-00615"\n'),), SGX, at=AT, kind="kind")
    assert len(engine.judged) == 1
