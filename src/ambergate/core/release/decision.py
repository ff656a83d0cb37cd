"""May this token's holder have this secret? Every reason against is collected, not only the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed, ReleaseRefused
from ambergate.core.measurements import MrEnclave, MrSigner
from ambergate.core.release.envelope import decode_held_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.core.token.claims import AttestationClaims

Mismatch = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The decision that, at `at`, the enclave of these claims may have the secret. Made by `decide` only.

    `workload_key` is the key that enclave attested: the only one the secret may be sealed for.
    """

    claims: AttestationClaims
    policy: ResourcePolicy
    workload_key: RSAPublicKey
    at: datetime


def decide(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Grant:
    """Compare what a token proves with what the owner asks.

    Takes claims whose signature and issuer were checked (`ambergate.core.token.check.check_token`); it does not
    check them again. Debug and simulated enclaves are refused unless the policy names them; the platform's TCB
    status must be one the policy lists.

    Args:
        claims: what a trusted issuer attested.
        policy: what the secret's owner asks.
        at: the instant of the decision, aware.

    Raises:
        ReleaseRefused: with every mismatch.
    """
    mismatches = [found for rule in RULES if (found := rule(claims, policy, at)) is not None]
    if mismatches:
        rules = ", ".join(found["rule"] for found in mismatches)
        raise ReleaseRefused(f"the release policy refuses this enclave: {rules}", mismatches=mismatches)
    assert claims.held_data is not None
    return Grant(claims=claims, policy=policy, workload_key=decode_held_key(claims.held_data), at=at)


def lifetime(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The token is neither expired nor from the future at the instant of the decision."""
    del policy
    if claims.issued_at <= at < claims.expires_at:
        return None
    wanted = f"between {claims.issued_at.isoformat()} and {claims.expires_at.isoformat()}"
    return _mismatch("lifetime", at.isoformat(), wanted)


def tee(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The policy's measurements are those of SGX; the same digits from another TEE mean something else."""
    del policy, at
    return None if claims.attester_type == "SGX" else _mismatch("attester_type", claims.attester_type, "SGX")


def mr_enclave(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The program is one the policy names."""
    del at
    if not policy.mr_enclave or _read(MrEnclave, claims.mr_enclave) in policy.mr_enclave:
        return None
    return _mismatch("mr_enclave", claims.mr_enclave, _any_of(policy.mr_enclave))


def mr_signer(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The program's signer is one the policy names."""
    del at
    if not policy.mr_signer or _read(MrSigner, claims.mr_signer) in policy.mr_signer:
        return None
    return _mismatch("mr_signer", claims.mr_signer, _any_of(policy.mr_signer))


def isv_prod_id(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The signer's product is one the policy names."""
    del at
    if not policy.isv_prod_id or claims.isv_prod_id in policy.isv_prod_id:
        return None
    return _mismatch("isv_prod_id", claims.isv_prod_id, _any_of(policy.isv_prod_id))


def isv_svn(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The program's security version is not older than the policy's minimum."""
    del at
    minimum = policy.minimum_isv_svn
    if minimum is None or (claims.isv_svn is not None and claims.isv_svn >= minimum):
        return None
    return _mismatch("isv_svn", claims.isv_svn, f">= {minimum}")


def tcb_status(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The platform's TCB status is one the policy lists."""
    del at
    if claims.tcb_status in policy.tcb_statuses:
        return None
    return _mismatch("tcb_status", claims.tcb_status, _any_of(policy.tcb_statuses))


def debug(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The enclave's memory is closed to its host, or the policy says in so many words that it need not be."""
    del at
    if claims.debug is False or policy.dangerously_allow_debug:
        return None
    return _mismatch("debug", claims.debug, "False")


def simulated(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The platform is hardware, or the policy says in so many words that software will do."""
    del at
    if claims.simulated is False or policy.insecure_accept_simulated:
        return None
    return _mismatch("simulated", claims.simulated, "False")


def workload_key(claims: AttestationClaims, policy: ResourcePolicy, at: datetime) -> Mismatch | None:
    """The enclave attested a public key good enough to seal for. Runtime data is never looked at."""
    del policy, at
    if claims.held_data is None:
        return _mismatch("workload_key", "no attester_held_data", "an RSA public key in attester_held_data")
    try:
        decode_held_key(claims.held_data)
    except Malformed as exc:
        return _mismatch("workload_key", f"{exc.message} ({exc.seen})", exc.wanted)
    return None


# Every rule runs on every decision. One rule, one function, one test that fails without it.
RULES: Final[tuple[Callable[[AttestationClaims, ResourcePolicy, datetime], Mismatch | None], ...]] = (
    lifetime,
    tee,
    mr_enclave,
    mr_signer,
    isv_prod_id,
    isv_svn,
    tcb_status,
    debug,
    simulated,
    workload_key,
)


def _read(kind: type[MrEnclave | MrSigner], text: str | None) -> MrEnclave | MrSigner | None:
    """A claim's measurement as its type; None when it is none, which no policy names."""
    try:
        return None if text is None else kind.from_hex(text)
    except ValueError:
        return None


def _any_of(values: tuple[object, ...]) -> str:
    return " or ".join(str(value) for value in values)


def _mismatch(rule: str, seen: object, wanted: object) -> Mismatch:
    return {"rule": rule, "seen": str(seen), "wanted": str(wanted)}
