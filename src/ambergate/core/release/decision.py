"""May this token's holder have this secret? Every reason against is collected, not only the first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import ReleaseRefused
from ambergate.core.release.rules import RULES, Circumstances, attester_type, lifetime, sealable, workload_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ambergate.core.release.envelope import WorkloadKey
    from ambergate.core.release.resource_policy import Alternative, ResourcePolicy
    from ambergate.core.release.rules import Finding
    from ambergate.core.release.terms import Terms
    from ambergate.core.token.claims import AttestationClaims

MAX_ALTERNATIVES_TOLD: Final = 4  # of those that came nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The decision that, at `at`, the enclave of these claims may have the secret. Made by `decide` only.

    `workload_key` is the key that enclave attested: the only one the secret may be sealed for.
    """

    claims: AttestationClaims
    policy: ResourcePolicy
    workload_key: WorkloadKey
    at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """What every rule made of a token: those that hold for any policy, and those of each alternative.

    It is no grant: nothing in it says that the token's signature was checked.
    """

    general: tuple[Finding, ...]
    alternatives: tuple[tuple[Alternative, tuple[Finding, ...]], ...]

    @property
    def mismatches(self) -> list[dict[str, str]]:
        """Why not; empty: the secret may be released. Of several alternatives those that came nearest are told."""
        refusing = [[each for each in found if not each.holds] for _, found in self.alternatives]
        nearest = sorted(refusing, key=len)[:MAX_ALTERNATIVES_TOLD] if all(refusing) else []
        told = [*(each for each in self.general if not each.holds), *(each for found in nearest for each in found)]
        return [each.as_dict() for each in dict.fromkeys(told)]


def decide(
    claims: AttestationClaims, policy: ResourcePolicy, at: datetime, *, nonce: Mapping[str, str] | None = None
) -> Grant:
    """Compare what a token proves with what the owner asks.

    Takes claims whose signature and issuer were checked (`ambergate.core.token.check.check_token`); it does not
    check them again. Debug and simulated enclaves are refused unless the policy names them; the platform's TCB
    status must be one the policy lists. It does not count releases: whoever releases does (`ResourcePolicy`).

    Args:
        claims: what a trusted issuer attested.
        policy: what the secret's owner asks.
        at: the instant of the decision, aware.
        nonce: what the broker handed out for this request; see `Circumstances`.

    Raises:
        ReleaseRefused: with every mismatch.
    """
    mismatches = judge(claims, policy, Circumstances(at, nonce)).mismatches
    if mismatches:
        rules = ", ".join(found["rule"] for found in mismatches)
        raise ReleaseRefused(f"the release policy refuses this enclave: {rules}", mismatches=mismatches)
    return Grant(claims=claims, policy=policy, workload_key=workload_key(claims), at=at)


def judge(claims: AttestationClaims, policy: ResourcePolicy, given: Circumstances) -> Judgement:
    """What each rule makes of these claims, those that hold as well: for explanations. `decide` releases."""
    # A table stands in many alternatives: what the rules make of it is the same in each.
    known: dict[tuple[str, int], list[Finding]] = {}

    def of_terms(terms: Terms, path: str = "") -> list[Finding]:
        key = path, id(terms)
        if key not in known:
            found = [found for _, rule in RULES for found in rule(claims, terms, given)]
            known[key] = [replace(each, rule=path + each.rule) for each in found] if path else found
        return known[key]

    def of_alternative(alternative: Alternative) -> tuple[Finding, ...]:
        return (
            attester_type(claims, alternative),
            *(each for group in alternative.groups for each in of_terms(group.terms, group.path)),
            *(each for terms in alternative.defaults for each in of_terms(terms)),
        )

    return Judgement(
        (lifetime(claims, given.at), sealable(claims)),
        tuple((each, of_alternative(each)) for each in policy.alternatives),
    )
