"""Transfer of a key: check the token, find the key, ask its policy, seal it for the workload. In this order.

The token comes first, so that nobody without one learns which keys exist. A caller whose token is accepted can
tell an unknown key (404) from one it may not have (401): it is an attested enclave of a trusted issuer, ids are not
secrets, and a person looking for a typing mistake needs the difference.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from ambergate.core.errors import AmberError, Unavailable
from ambergate.core.release.decision import decide
from ambergate.core.release.envelope import NONCE_SIZE, SWK_SIZE, Envelope, seal
from ambergate.core.token.forms import flat_claims
from ambergate.services.keybroker.ports import Audit, Decision, S, Secrets, Stored, Trust, UnknownKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.token.claims import AttestationClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransfer(Generic[S]):
    """The broker's one deed. Safe to call from several threads."""

    secrets: Secrets[S]
    trust: Trust
    audit: Audit
    token_bytes: Callable[[int], bytes]

    def __call__(self, key_id: UUID, token: str, *, at: datetime, version: int | None = None) -> Envelope:
        """The key, sealed for the workload that the token speaks of.

        Args:
            key_id: which key.
            token: an attestation token.
            at: now.
            version: which version of it; the latest when not given.

        Raises:
            MalformedToken: not a token.
            TokenRejected: it proves nothing here.
            UnknownKey: no key of this id, or it is no more.
            ReleaseRefused: the key's policy refuses, with every mismatch; or it is disabled.
            Unavailable: the issuer's keys, the key manager, the store or the audit log do not answer.
            SettingsError: what is stored does not open.
        """
        claims: AttestationClaims | None = None
        stored: S | None = None
        try:
            claims = self.trust.claims(token, at)
            stored = self.secrets.find(key_id, version)
            envelope = self._sealed(key_id, stored, claims, at)
        except Unavailable:  # that decides nothing
            raise
        except AmberError as error:
            self.audit(_decision(key_id, at, claims, stored, error))
            raise
        self.audit(_decision(key_id, at, claims, stored))
        return envelope

    def _sealed(self, key_id: UUID, stored: S | None, claims: AttestationClaims, at: datetime) -> Envelope:
        if stored is None:
            raise UnknownKey("there is no key of this id", seen=key_id)
        grant = decide(claims, stored.policy, at)
        taken = self.secrets.take(stored, grant.workload_key)
        if isinstance(taken, Envelope):
            return taken
        return seal(taken, grant.workload_key, swk=self.token_bytes(SWK_SIZE), nonce=self.token_bytes(NONCE_SIZE))


def _decision(
    key_id: UUID,
    at: datetime,
    claims: AttestationClaims | None,
    stored: Stored | None,
    error: AmberError | None = None,
) -> Decision:
    return Decision(
        at=at,
        key_id=str(key_id),
        key_version=None if stored is None else stored.version,
        policy_hash=None if stored is None else hashlib.sha256(stored.policy.to_json().encode()).digest(),
        token=None if claims is None else _who(claims),
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
