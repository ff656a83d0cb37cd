"""Transfer of a key: check the token, find the key, ask its policy, seal it for the workload. In this order.

The token comes first, so that nobody without one learns which keys exist. A caller whose token is accepted can
tell an unknown key (404) from one it may not have (401): it is an attested enclave of a trusted issuer, ids are not
secrets, and a person looking for a typing mistake needs the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from ambergate.core.errors import AmberError, Refusal
from ambergate.core.release.decision import decide
from ambergate.core.release.envelope import NONCE_SIZE, SWK_SIZE, seal
from ambergate.services.keybroker.ports import Audit, Decision, S, Secrets, Trust, UnknownKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.release.envelope import Envelope
    from ambergate.core.token.claims import AttestationClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransfer(Generic[S]):
    """The broker's one deed. Safe to call from several threads."""

    secrets: Secrets[S]
    trust: Trust
    audit: Audit
    token_bytes: Callable[[int], bytes]

    def __call__(self, key_id: UUID, token: str, *, at: datetime, request_id: str | None = None) -> Envelope:
        """The key, sealed for the workload that the token speaks of.

        Args:
            key_id: which key.
            token: an attestation token.
            at: now.
            request_id: the caller's name for this request, for the audit line.

        Raises:
            MalformedToken: not a token.
            TokenRejected: it proves nothing here.
            UnknownKey: no key of this id.
            ReleaseRefused: the key's policy refuses, with every mismatch.
            Unavailable: the issuer's keys or the store do not answer.
            SettingsError: what is stored does not open.
        """
        claims: AttestationClaims | None = None
        try:
            claims = self.trust.claims(token, at)
            envelope = self._release(key_id, claims, at)
        except AmberError as error:
            self.audit(_decision(key_id, request_id, at, claims, error))
            raise
        self.audit(_decision(key_id, request_id, at, claims, None))
        return envelope

    def _release(self, key_id: UUID, claims: AttestationClaims, at: datetime) -> Envelope:
        stored = self.secrets.find(key_id)
        if stored is None:
            raise UnknownKey("there is no key of this id", seen=key_id)
        grant = decide(claims, stored.policy, at)
        return seal(
            self.secrets.reveal(stored),
            grant.workload_key,
            swk=self.token_bytes(SWK_SIZE),
            nonce=self.token_bytes(NONCE_SIZE),
        )


def _decision(
    key_id: UUID, request_id: str | None, at: datetime, claims: AttestationClaims | None, error: AmberError | None
) -> Decision:
    rules = tuple(mismatch.get("rule", "") for mismatch in error.mismatches) if isinstance(error, Refusal) else ()
    return Decision(
        at=at,
        key_id=str(key_id),
        request_id=request_id,
        released=error is None,
        code="released" if error is None else error.code,
        rules=rules,
        token=None if claims is None else _who(claims),
    )


def _who(claims: AttestationClaims) -> dict[str, object]:
    """The claims that tell later which enclave asked, and on whose word."""
    return {
        "issuer": claims.issuer,
        "jti": claims.raw.get("jti"),
        "mr_enclave": claims.mr_enclave,
        "mr_signer": claims.mr_signer,
        "isv_prod_id": claims.isv_prod_id,
        "isv_svn": claims.isv_svn,
        "tcb_status": claims.tcb_status,
        "debug": claims.debug,
        "simulated": claims.simulated,
    }
