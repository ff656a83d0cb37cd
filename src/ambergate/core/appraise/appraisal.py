"""`appraise`: a proven quote and a policy in, an appraisal or every reason against it out.

An `Appraiser` is `appraise` under one policy that remembers which kinds of evidence (`VerifiedQuote.kind`) that policy
welcomed, and what the claims about each say. Rules look at facts, and all facts are the same for verdicts of one kind;
what is not the same, the instant, is compared each time. What is remembered is a welcome: whatever is not found, or no
longer within the window in which its verdict holds, is appraised by `appraise`, which also words every refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ambergate.core.appraise.evidence import KindClaims, kind_claims
from ambergate.core.appraise.facts import Facts
from ambergate.core.appraise.grace import collateral_grace, holds_until
from ambergate.core.appraise.rules import RULES
from ambergate.core.errors import NotWelcome
from ambergate.core.verify.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from datetime import datetime

    from ambergate.core.appraise.policy import AppraisalPolicy
    from ambergate.core.verify.verdict import VerifiedQuote


MAX_KINDS: Final = 4096  # of evidence that an appraiser remembers; each takes some 4 KiB


@dataclass(frozen=True, kw_only=True)
class Appraisal:
    """A proven quote that a policy welcomes. Made by `appraise` and `Appraiser` only."""

    verified: VerifiedQuote
    policy: AppraisalPolicy
    of_kind: KindClaims | None = None  # what claims about its kind say, where that is known

    @cached_property
    def claims(self) -> Mapping[str, object]:
        """What was proven, as flat claims (`evidence_claims`), for policies, the token and the record of it."""
        return MappingProxyType((self.of_kind or kind_claims(self.verified)).of(self.verified))

    @property
    def debug(self) -> bool:
        """Whether the enclave or TD runs under debug: nothing in it is secret."""
        return self.claims[f"{self.verified.tee.name.lower()}_is_debuggable"] is True

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


class Appraiser:
    """Appraises by one policy, and remembers what it welcomed. Safe to share between threads.

    Args:
        policy: what is welcome.
        max_kinds: how many kinds of evidence are remembered; the one used longest ago is forgotten first.
    """

    def __init__(self, policy: AppraisalPolicy, *, max_kinds: int = MAX_KINDS) -> None:
        self._policy = policy
        self._welcomed: Recent[Hashable, KindClaims] = Recent(max_kinds)

    def appraise(self, verified: VerifiedQuote, *, at: datetime) -> Appraisal:
        """As `appraise`.

        Args:
            verified: what was proven.
            at: the instant to judge at, aware.

        Raises:
            NotWelcome: with every mismatch.
            ValueError: `at` has no time zone.
        """
        kind = verified.kind
        known = None if kind is None else self._welcomed.get(kind)
        # Within its window no verdict is too old; beyond, the policy's grace has to be asked.
        if known is not None and at.tzinfo is not None and verified.at <= at <= verified.window.not_after:
            return Appraisal(verified=verified, policy=self._policy, of_kind=known)
        appraisal = appraise(verified, self._policy, at=at)
        if kind is None:
            return appraisal
        known = kind_claims(verified)
        self._welcomed.put(kind, known)
        return Appraisal(verified=verified, policy=self._policy, of_kind=known)
