"""`appraise`: a proven quote and a policy in, an appraisal or every reason against it out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from ambergate.core.appraise.evidence import evidence_claims
from ambergate.core.appraise.facts import Facts
from ambergate.core.appraise.grace import collateral_grace, holds_until
from ambergate.core.appraise.rules import RULES
from ambergate.core.errors import NotWelcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ambergate.core.appraise.policy import AppraisalPolicy
    from ambergate.core.verify.verdict import VerifiedQuote


@dataclass(frozen=True, kw_only=True)
class Appraisal:
    """A proven quote that a policy welcomes. Made by `appraise` only."""

    verified: VerifiedQuote
    policy: AppraisalPolicy

    @cached_property
    def claims(self) -> Mapping[str, object]:
        """What was proven, as flat claims (`evidence_claims`), for policies, the token and the record of it."""
        return MappingProxyType(evidence_claims(self.verified))

    @property
    def holds_until(self) -> datetime:
        """The last instant at which the policy would still take this verdict: no token may outlive it.

        The end of the verdict's window, or what the policy's grace makes of it.
        """
        return holds_until(self.verified, self.policy)


def appraise(verified: VerifiedQuote, policy: AppraisalPolicy, *, at: datetime | None = None) -> Appraisal:
    """Judge a proven quote by a policy. All rules run; all mismatches are told.

    Args:
        verified: what was proven.
        policy: what is welcome.
        at: the instant to judge at, aware; give it wherever it is not the very instant of the proof. When not given,
            the verdict is judged as of `verified.at`, and says nothing of any later instant.

    Raises:
        NotWelcome: with every mismatch.
        ValueError: `at` has no time zone.
    """
    when = verified.at if at is None else at
    if when.tzinfo is None:
        msg = "`at` must say its time zone"
        raise ValueError(msg)
    facts = Facts.of(verified)
    found = [rule(facts, policy) for rule in RULES]
    mismatches = [each for each in (*found, collateral_grace(verified, policy, when)) if each is not None]
    if mismatches:
        rules = ", ".join(each["rule"] for each in mismatches)
        hint = "the evidence is genuine; the policy of this service refuses it"
        raise NotWelcome(f"the appraisal policy refuses this enclave: {rules}", mismatches=mismatches, hint=hint)
    return Appraisal(verified=verified, policy=policy)
