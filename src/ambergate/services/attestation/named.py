"""Named policies in the way of a request: which count for it, what they say of its evidence, and a refusal's words.

What policies said of a kind of evidence (`VerifiedQuote.kind`) is remembered for the next evidence of that kind, if
each of them would say it again: an engine tells (`Lasting`) whether a policy looks at the clock, or at what differs
within a kind. It is remembered by the kind and by the policies themselves, and so for no other version of any of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

from ambergate.core.appraise.named import PolicyLanguage, PolicyOutcome
from ambergate.core.errors import MalformedPolicy, NotWelcome
from ambergate.core.verify.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.named import Policy, PolicyEngine
    from ambergate.core.appraise.rules import Mismatch
    from ambergate.services.attestation.evidence import Evidence
    from ambergate.services.attestation.ports import Caller, Policies

MAX_KINDS: Final = 4096  # outcomes that are remembered by kind; each some KiB at most, but for what it exports (8 KiB)
_INSTALL = {PolicyLanguage.REGO: "pip install 'ambergate[rego]'"}


class NotAtHand(Exception):  # no error, and nobody is told of it
    """Something has to be waited for."""


@runtime_checkable
class Recalling(Protocol):
    """An engine that remembers what it said."""

    def recall(self, policy: Policy, claims: Mapping[str, object], /) -> PolicyOutcome | None:
        """What it would say, if that is remembered."""
        ...


@runtime_checkable
class Lasting(Protocol):
    """An engine that can tell for how much its word holds."""

    def lasts(self, policy: Policy, /) -> bool:
        """Whether what it said of this policy holds for all evidence of a kind, and at any instant."""
        ...


class _Said(NamedTuple):
    """What these policies, in these versions, said of one kind of evidence."""

    policies: tuple[Policy, ...]
    outcomes: tuple[PolicyOutcome, ...]


class NamedPolicies:
    """Named policies, and what judges them. Safe to share between threads.

    Args:
        policies: finds them.
        engines: one for each language that this service judges.
        judged: is told of each outcome, and of the seconds that it took, None where it was remembered; None: nobody is.
    """

    def __init__(
        self,
        policies: Policies,
        engines: Mapping[PolicyLanguage, PolicyEngine],
        *,
        judged: Callable[[PolicyLanguage, PolicyOutcome, float | None], None] | None = None,
    ) -> None:
        self._policies = policies
        self._engines = engines
        self._judged = judged
        self._said: Recent[tuple[Hashable, tuple[UUID, ...]], _Said] = Recent(MAX_KINDS)
        self._recalling = {language: engine for language, engine in engines.items() if isinstance(engine, Recalling)}
        self._lasting = {language: engine for language, engine in engines.items() if isinstance(engine, Lasting)}

    def wanted(self, evidence: Evidence, caller: Caller) -> tuple[Policy, ...]:
        """The policies that count for a request: those that it names, or else those of its caller's key.

        Raises:
            NotWelcome: one of them is not here. Without it nobody could say what was judged.
            Unavailable: the database does not answer.
        """
        ids = tuple(dict.fromkeys(evidence.policy_ids or caller.policy_ids))
        found = {each: self._policies.get(each) for each in ids}
        missing = [each for each, policy in found.items() if policy is None]
        if missing:
            whose = "the request names" if evidence.policy_ids else "the API key has"
            raise NotWelcome(
                "no such policy is known here",
                code="unknown-policy",
                mismatches=[
                    {"rule": "policy_ids", "seen": str(each), "wanted": "a policy of this service"} for each in missing
                ],
                hint=f"{whose} a policy that was deleted, or never made; `amber policy list` shows those that are here",
            )
        return tuple(policy for policy in found.values() if policy is not None)

    def at_hand(self, evidence: Evidence, caller: Caller) -> tuple[Policy, ...] | None:
        """As `wanted`, if all of them are in memory; None: ask for them, and wait."""
        ids = dict.fromkeys(evidence.policy_ids or caller.policy_ids)
        found = [self._policies.at_hand(each) for each in ids]
        policies = tuple(each for each in found if each is not None)
        return policies if len(policies) == len(found) else None

    def judge(
        self, policies: Sequence[Policy], claims: Mapping[str, object], *, at: datetime
    ) -> tuple[PolicyOutcome, ...]:
        """What each policy says of these claims (`evidence_claims`) at this instant. May wait."""
        return tuple(self._evaluate(policy, claims, at) for policy in policies)

    def recall(
        self,
        policies: tuple[Policy, ...],
        claims: Mapping[str, object],
        *,
        at: datetime,
        kind: Hashable | None = None,
    ) -> tuple[PolicyOutcome, ...]:
        """As `judge`, of policies that are judged here and now, or were over the same claims or the same kind before.

        Rego is judged in another process, which may take as long as it is let.

        Args:
            policies: what is to be judged.
            claims: about the evidence.
            at: now, aware.
            kind: of the evidence (`VerifiedQuote.kind`), where that is known.

        Raises:
            NotAtHand: one of them has to be waited for.
        """
        if kind is None or not policies:
            return tuple(self._recall(policy, claims, at) for policy in policies)
        key = kind, tuple([policy.id for policy in policies])
        said = self._said.get(key)
        if said is not None and said.policies == policies:
            self._tell(said.outcomes)
            return said.outcomes
        outcomes = tuple(self._recall(policy, claims, at) for policy in policies)
        if all(self._lasts(policy) for policy in policies):
            self._said.put(key, _Said(policies, outcomes))
        return outcomes

    def _recall(self, policy: Policy, claims: Mapping[str, object], at: datetime) -> PolicyOutcome:
        engine = self._recalling.get(policy.language)
        if engine is None:
            if policy.language is PolicyLanguage.REGO:
                raise NotAtHand
            return self._evaluate(policy, claims, at)
        outcome = engine.recall(policy, claims)
        if outcome is None:
            raise NotAtHand
        if self._judged is not None:
            self._judged(policy.language, outcome, None)
        return outcome

    def _lasts(self, policy: Policy) -> bool:
        engine = self._lasting.get(policy.language)
        return engine is not None and engine.lasts(policy)

    def _tell(self, outcomes: Sequence[PolicyOutcome]) -> None:
        if self._judged is not None:
            for outcome in outcomes:
                self._judged(outcome.policy.language, outcome, None)

    def _evaluate(self, policy: Policy, claims: Mapping[str, object], at: datetime) -> PolicyOutcome:
        engine = self._engines.get(policy.language)
        if engine is None:
            mismatch = {"rule": "policy", "seen": f"a policy in {policy.language.value}", "wanted": "what judges that"}
            return PolicyOutcome(policy=policy, matched=False, mismatches=(mismatch,))
        began = time.monotonic()
        outcome = engine.evaluate(policy, claims, at=at)
        if self._judged is not None:
            self._judged(policy.language, outcome, time.monotonic() - began)
        return outcome


def check_policy(engines: Mapping[PolicyLanguage, PolicyEngine], policy: Policy) -> None:
    """Returns if the policy can be judged by one of these engines.

    Raises:
        MalformedPolicy: it cannot; says in which line, where that is known.
        Unavailable: it could not be tried.
    """
    engine = engines.get(policy.language)
    if engine is None:
        hint = _INSTALL.get(policy.language)
        raise MalformedPolicy("this service does not judge policies in that", seen=policy.language.value, hint=hint)
    engine.check(policy)


def check_matched(outcomes: Sequence[PolicyOutcome]) -> None:
    """Returns if each policy matched.

    Raises:
        NotWelcome: one did not; with every mismatch of each that did not.
    """
    unmatched = [outcome for outcome in outcomes if not outcome.matched]
    if unmatched:
        raise NotWelcome(
            f"named policies do not match: {', '.join(outcome.policy.name for outcome in unmatched)}",
            code="policy-unmatched",
            mismatches=[told for outcome in unmatched for told in told_of(outcome)],
            hint="the evidence is genuine; the request or the API key says that all of these policies must match",
        )


def told_of(outcome: PolicyOutcome) -> list[Mismatch]:
    """An outcome's mismatches, each with the policy whose rule it was."""
    policy = outcome.policy
    named = {"policy": str(policy.id), "policy_name": policy.name, "policy_version": f"v{policy.version}"}
    nothing: Mismatch = {"rule": "policy", "seen": "no match", "wanted": "a match"}
    return [{**mismatch, **named} for mismatch in outcome.mismatches or (nothing,)]
