"""`appraise`: a proven quote and a policy in, an appraisal or every reason against it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambergate.core.appraise.rules import RULES
from ambergate.core.errors import NotWelcome

if TYPE_CHECKING:
    from ambergate.core.appraise.policy import AppraisalPolicy
    from ambergate.core.verify.verdict import VerifiedQuote


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """A proven quote that a policy welcomes. Made by `appraise` only."""

    verified: VerifiedQuote
    policy: AppraisalPolicy


def appraise(verified: VerifiedQuote, policy: AppraisalPolicy) -> Appraisal:
    """Judge a proven quote by a policy. All rules run; all mismatches are told.

    Raises:
        NotWelcome: with every mismatch.
    """
    mismatches = [found for rule in RULES if (found := rule(verified, policy)) is not None]
    if mismatches:
        rules = ", ".join(found["rule"] for found in mismatches)
        hint = "the evidence is genuine; the policy of this service refuses it"
        raise NotWelcome(f"the appraisal policy refuses this enclave: {rules}", mismatches=mismatches, hint=hint)
    return Appraisal(verified=verified, policy=policy)
