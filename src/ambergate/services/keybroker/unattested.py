"""A key for a public key that a user brings, without any attestation: `POST /kbs/v1/keys/{id}` of Intel's service.

The release policy is not asked: there is no enclave. So this is off unless the configuration says, in so many words,
that it may be; then whoever has the permission `keys:transfer` can have every key in the clear.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ambergate.core.errors import AmberError, Malformed, NotFound, NotPermitted, TooLarge, Unavailable
from ambergate.core.release.envelope import MAX_KEY_BITS
from ambergate.services.keybroker.ports import Audit, Decision, S, Secrets

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_PEM: Final = 8 * 1024  # bytes; a key of 8192 bits takes 1.5 KiB
MIN_BITS: Final = 2048  # NIST SP 800-131A
_EXPONENT: Final = 65537
_HASH: Final = hashes.SHA384()  # as that service; for the mask too, with an empty label
_OAEP: Final = padding.OAEP(mgf=padding.MGF1(_HASH), algorithm=_HASH, label=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnattestedTransfer(Generic[S]):
    """The use case. Safe to call from several threads.

    Attributes:
        secrets: the keys.
        audit: writes decisions down.
        allowed: whether the operator allows this at all.
    """

    secrets: Secrets[S]
    audit: Audit
    allowed: bool

    def __call__(self, key_id: UUID, pem: bytes, *, by: str, at: datetime) -> bytes:
        """The key's bytes under RSA-OAEP.

        Raises:
            NotPermitted: this broker gives no key without attestation.
            Malformed: no public key, or a weak one.
            NotFound: there is no such key.
            TooLarge: the key does not fit under this public key.
            Unavailable: the store or the audit log does not answer.
            others: as `ports.Secrets.take`.
        """
        stored: S | None = None
        try:
            if not self.allowed:
                hint = "users.dangerously_allow_unattested_transfer in the broker's configuration"
                raise NotPermitted(
                    "no key leaves this broker without attestation", code="attestation-needed", hint=hint
                )
            public_key = read_public_key(pem)
            stored = self.secrets.find(key_id)
            if stored is None:
                raise NotFound("there is no key of this id", code="unknown-key", seen=key_id)
            wrapped = self._wrapped(stored, public_key)
        except Unavailable:  # that decides nothing
            raise
        except AmberError as error:
            self.audit(_decision(key_id, stored, by, at, error))
            raise
        self.audit(_decision(key_id, stored, by, at))
        return wrapped

    def _wrapped(self, stored: S, public_key: RSAPublicKey) -> bytes:
        taken = self.secrets.take(stored, public_key)
        if not isinstance(taken, bytes):
            raise Malformed("this key leaves its key manager in an envelope only", code="attestation-needed")
        room = public_key.key_size // 8 - 2 * _HASH.digest_size - 2  # RFC 8017, 7.1.1
        if len(taken) > room:
            raise TooLarge(
                "the key does not fit under this public key", seen=f"{len(taken)} bytes", wanted=f"<= {room}"
            )
        return public_key.encrypt(taken, _OAEP)


def read_public_key(pem: bytes) -> RSAPublicKey:
    """An RSA public key in PEM, SubjectPublicKeyInfo.

    Raises:
        Malformed: (`malformed-public-key`) something else, or a weak one.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _bad("the body is no public key", seen=f"{len(pem)} bytes") from exc
    if not isinstance(key, RSAPublicKey):
        raise _bad("the public key is of another kind", seen=type(key).__name__.strip("_"))
    if not MIN_BITS <= key.key_size <= MAX_KEY_BITS or key.public_numbers().e != _EXPONENT:
        raise _bad("the public key is not accepted", seen=f"{key.key_size} bits, e {key.public_numbers().e}")
    return key


def wrapped_form(wrapped: bytes) -> dict[str, str]:
    """As that service answers."""
    return {"wrapped_key": base64.b64encode(wrapped).decode()}


def _decision(key_id: UUID, stored: S | None, by: str, at: datetime, error: AmberError | None = None) -> Decision:
    return Decision(
        at=at,
        key_id=str(key_id),
        key_version=None if stored is None else stored.version,
        policy_hash=None if stored is None else hashlib.sha256(stored.policy.to_json().encode()).digest(),
        user=by,
        error=error,
    )


def _bad(message: str, *, seen: object) -> Malformed:
    wanted = f"PEM of an RSA public key, {MIN_BITS} to {MAX_KEY_BITS} bits, exponent {_EXPONENT}"
    return Malformed(message, code="malformed-public-key", seen=seen, wanted=wanted)
