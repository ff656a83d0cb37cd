"""Transfer of a key: check the token, find the key, ask its policy, seal it for the workload. In this order.

The token comes first, so that nobody without one learns which keys exist. A caller whose token is accepted can
tell an unknown key (404) from one it may not have (401): it is an attested enclave of a trusted issuer, ids are not
secrets, and a person looking for a typing mistake needs the difference.

In the background check, where the operator has it, evidence comes instead of a token, and the key's policy says what
the attestation service is asked. Then everybody can learn whether there is a key of an id, as with Intel's service.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic
from uuid import UUID

from ambergate.core.errors import AmberError, Malformed, ReleaseRefused, TokenRejected, Unavailable
from ambergate.core.release.decision import decide
from ambergate.core.token.forms import flat_claims
from ambergate.services.keybroker.delivery import INTELS, Delivered, Form, delivered
from ambergate.services.keybroker.ports import (
    Audit,
    Decision,
    Evidence,
    Releases,
    S,
    Secrets,
    Trust,
    UnknownKey,
    Verifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.core.token.claims import AttestationClaims


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a workload without a token is told: which kind of evidence to bring, and the nonce to make it with."""

    tee: str
    nonce: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class _Asked(Generic[S]):
    """One request, and what has come out so far, for its record."""

    key_id: UUID
    at: datetime
    version: int | None
    tee: str | None
    forms: frozenset[Form]
    nonce: Mapping[str, str] | None = None  # of the evidence that the broker had appraised
    claims: AttestationClaims | None = None
    stored: S | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransfer(Generic[S]):
    """The broker's one deed. Safe to call from several threads.

    Attributes:
        secrets: the keys.
        trust: whose tokens are believed.
        audit: writes decisions down.
        token_bytes: randomness for envelopes.
        verifier: the attestation service that is asked about evidence; None: the broker takes tokens only.
    """

    secrets: Secrets[S]
    releases: Releases
    trust: Trust
    audit: Audit
    token_bytes: Callable[[int], bytes]
    verifier: Verifier | None = None

    def __call__(
        self,
        key_id: UUID,
        token: str,
        *,
        at: datetime,
        version: int | None = None,
        tee: str | None = None,
        forms: frozenset[Form] = INTELS,
    ) -> Delivered:
        """The key, sealed for the workload that the token speaks of.

        Args:
            key_id: which key.
            token: an attestation token.
            at: now.
            version: which version of it; the latest when not given.
            tee: what the caller says that it runs in; None: it does not say.
            forms: what the caller opens.

        Raises:
            MalformedToken: not a token.
            Malformed: (`form-not-taken`) the key exists in no form that the caller opens.
            TokenRejected: it proves nothing here, or speaks of another kind of environment.
            UnknownKey: no key of this id, or it is no more.
            ReleaseRefused: the key's policy refuses, with every mismatch; or it is disabled.
            Unavailable: the issuer's keys, the key manager, the store or the audit log do not answer.
            SettingsError: what is stored does not open.
        """
        asked: _Asked[S] = _Asked(key_id=key_id, at=at, version=version, tee=tee, forms=forms)
        return self._recorded(asked, lambda: self._released(asked, token))

    def challenge(self, key_id: UUID, *, version: int | None = None) -> Challenge:
        """The first half of the background check. It decides nothing and promises nothing.

        Raises:
            Malformed: this broker takes tokens only.
            UnknownKey: no key of this id: ids are no secrets.
            Unavailable: the store or the attestation service does not answer.
        """
        verifier = self._asked_verifier()
        tees = self._found(key_id, version).policy.tees
        return Challenge(tees[0], verifier.nonce(request_id=str(key_id)))

    def appraised(
        self,
        key_id: UUID,
        evidence: Evidence,
        *,
        tee: str,
        at: datetime,
        version: int | None = None,
        forms: frozenset[Form] = INTELS,
    ) -> Delivered:
        """The second half: the key, sealed for the workload whose evidence this is.

        The attestation service is asked about the evidence, and its token looked at like any other.

        Raises:
            NotGenuine: the evidence is not genuine, or its nonce not good; names the step.
            NotWelcome: a policy of the attestation service refuses it.
            Malformed: the evidence cannot be read, or this broker takes tokens only.
            others: as for a token.
        """
        verifier = self._asked_verifier()
        asked: _Asked[S] = _Asked(key_id=key_id, at=at, version=version, tee=tee, forms=forms, nonce=evidence.nonce)

        def attempt() -> Delivered:
            asked.stored = self._found(key_id, version)
            wanted = asked.stored.policy.tees
            if tee not in wanted:
                raise _other_tee(tee, " or ".join(wanted))
            policy_ids = [UUID(each) for each in asked.stored.policy.policy_ids]
            token = verifier.token(evidence, policy_ids=policy_ids, request_id=str(key_id))
            return self._released(asked, token)

        return self._recorded(asked, attempt)

    def _recorded(self, asked: _Asked[S], attempt: Callable[[], Delivered]) -> Delivered:
        try:
            key = attempt()
        except Unavailable:  # that decides nothing
            raise
        except AmberError as error:
            self.audit(_decision(asked, error))
            raise
        self.audit(_decision(asked))
        return key

    def _released(self, asked: _Asked[S], token: str) -> Delivered:
        asked.claims = self.trust.claims(token, asked.at)
        if asked.tee is not None and asked.claims.attester_type != asked.tee:
            raise _other_tee(asked.claims.attester_type, asked.tee)
        if asked.stored is None:
            asked.stored = self._found(asked.key_id, asked.version)
        grant = decide(asked.claims, asked.stored.policy, asked.at, nonce=asked.nonce)
        taken = self.secrets.take(asked.stored, grant.workload_key)
        key = delivered(taken, grant.workload_key, asked.forms, token_bytes=self.token_bytes)
        self._count(asked.key_id, asked.stored.policy)
        return key

    def _found(self, key_id: UUID, version: int | None) -> S:
        stored = self.secrets.find(key_id, version)
        if stored is None:
            raise UnknownKey("there is no key of this id", seen=key_id)
        return stored

    def _count(self, key_id: UUID, policy: ResourcePolicy) -> None:
        """Take one of the releases that the policy allows. What fails afterwards does not give it back."""
        limit = policy.max_releases
        if limit is not None and self.releases.take(key_id, limit) is None:
            mismatch = {
                "rule": "max_releases",
                "seen": f"{limit} releases before this one",
                "wanted": f"<= {limit} in all",
            }
            raise ReleaseRefused("the secret was released as often as it may be", mismatches=[mismatch])

    def _asked_verifier(self) -> Verifier:
        if self.verifier is None:
            hint = "send a token; this broker has no [verifier] to ask about evidence"
            raise Malformed("this broker takes tokens only", code="malformed-request", hint=hint)
        return self.verifier


def _other_tee(seen: str, wanted: str) -> TokenRejected:
    return TokenRejected(
        "the evidence is of another kind of environment", code="attester-type", seen=seen, wanted=wanted
    )


def _decision(asked: _Asked[S], error: AmberError | None = None) -> Decision:
    stored = asked.stored
    return Decision(
        at=asked.at,
        key_id=str(asked.key_id),
        key_version=None if stored is None else stored.version,
        policy_hash=None if stored is None else hashlib.sha256(stored.policy.to_json().encode()).digest(),
        token=None if asked.claims is None else _who(asked.claims),
        error=error,
    )


def _who(claims: AttestationClaims) -> dict[str, object]:
    """The claims that tell later which enclave asked, and on whose word."""
    signed = flat_claims(claims.raw)
    return {
        "issuer": claims.issuer,
        "jti": claims.raw.get("jti"),
        "attester_type": claims.attester_type,
        "mr_enclave": claims.mr_enclave,
        "mr_signer": claims.mr_signer,
        "isv_prod_id": claims.isv_prod_id,
        "isv_svn": claims.isv_svn,
        **{name: signed[name] for name in _TDX if name in signed},
        "tcb_status": claims.tcb_status,
        "debug": claims.debug,
        "simulated": claims.simulated,
    }


# What tells one TD from another, by the names that tokens have.
_TDX: Final = (
    *("tdx_mrtd", "tdx_rtmr0", "tdx_rtmr1", "tdx_rtmr2", "tdx_rtmr3"),
    *("tdx_mrseam", "tdx_mrsignerseam", "tdx_seamsvn"),
)
