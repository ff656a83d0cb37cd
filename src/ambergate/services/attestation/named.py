"""Named policies in the way of a request: which count for it, what they say of its evidence, and a refusal's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ambergate.core.appraise.named import PolicyLanguage, PolicyOutcome
from ambergate.core.errors import MalformedPolicy, NotWelcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ambergate.core.appraise.named import Policy, PolicyEngine
    from ambergate.core.appraise.rules import Mismatch
    from ambergate.services.attestation.evidence import Evidence
    from ambergate.services.attestation.ports import Caller, Policies

_INSTALL = {PolicyLanguage.REGO: "pip install 'ambergate[rego]'"}


class NotAtHand(Exception):  # no error, and nobody is told of it
    """Something has to be waited for."""


@runtime_checkable
class Recalling(Protocol):
    """An engine that remembers what it said."""

    def recall(self, policy: Policy, claims: Mapping[str, object], /) -> PolicyOutcome | None:
        """What it would say, if that is remembered."""
        ...


class NamedPolicies:
    """Named policies, and what judges them. Safe to share between threads.

    Args:
        policies: finds them.
        engines: one for each language that this service judges.
    """

    def __init__(self, policies: Policies, engines: Mapping[PolicyLanguage, PolicyEngine]) -> None:
        self._policies = policies
        self._engines = engines
        self._recalling = {language: engine for language, engine in engines.items() if isinstance(engine, Recalling)}

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
        self, policies: Sequence[Policy], claims: Mapping[str, object], *, at: datetime
    ) -> tuple[PolicyOutcome, ...]:
        """As `judge`, of policies that are judged here and now, or were over the same claims before.

        Rego is judged in another process, which may take as long as it is let.

        Raises:
            NotAtHand: one of them has to be waited for.
        """
        found = []
        for policy in policies:
            engine = self._recalling.get(policy.language)
            if engine is None and policy.language is PolicyLanguage.REGO:
                raise NotAtHand
            outcome = self._evaluate(policy, claims, at) if engine is None else engine.recall(policy, claims)
            if outcome is None:
                raise NotAtHand
            found.append(outcome)
        return tuple(found)

    def _evaluate(self, policy: Policy, claims: Mapping[str, object], at: datetime) -> PolicyOutcome:
        engine = self._engines.get(policy.language)
        if engine is None:
            mismatch = {"rule": "policy", "seen": f"a policy in {policy.language.value}", "wanted": "what judges that"}
            return PolicyOutcome(policy=policy, matched=False, mismatches=(mismatch,))
        return engine.evaluate(policy, claims, at=at)


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
