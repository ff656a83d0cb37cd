"""Owners of a secret, some of whom must approve of another policy for it: who they are, and what they sign.

    [owners]
    approvals = 2                     # so many of these
    keys = ["MFkwEwYHKoZIzj0C..."]    # public keys: PEM, or base64 of DER (SubjectPublicKeyInfo)

An approval is a JWS (ES256 or PS384) by one owner's key over what is changed: the key's id, SHA-256 of the policy that
it is under and of the one that it is to be under, and the instant at which the change lapses. It proves that who holds
that key approved of exactly this. It does not prove when.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from ambergate.core.errors import Conflict, MalformedToken, NotPermitted, TokenRejected
from ambergate.core.release.values import bad, listed, number
from ambergate.core.token.jose import KeySet, SigningKey, public_members, sign, take_apart

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

MAX_OWNERS: Final = 32
MAX_KEY: Final = 4096  # characters; an RSA key of 8192 bits takes about 1,400
MAX_APPROVALS: Final = 64  # that are looked at for one change
MAX_APPROVAL: Final = 8 * 1024  # characters; by an RSA key of 8192 bits it takes about 2,100
_PURPOSE: Final = "ambergate release policy change"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Whose approval another policy takes. Made by `read_owners`.

    Attributes:
        needed: how many of them.
        keys: their public keys, base64 of DER, each once.
    """

    needed: int
    keys: tuple[str, ...]

    def to_mapping(self) -> dict[str, object]:
        """As it is written."""
        return {"approvals": self.needed, "keys": list(self.keys)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """Another policy for a key, as owners are asked about it.

    Attributes:
        id: names the change.
        key_id: the key's id.
        before: SHA-256, in hex, of the policy that the key is under.
        after: the other policy, in its stored form.
        expires_at: when it lapses, aware.
        approvals: what owners signed; compact JWS.
    """

    id: str
    key_id: str
    before: str
    after: str
    expires_at: datetime
    approvals: tuple[str, ...] = ()

    def claims(self) -> dict[str, object]:
        """What an owner signs."""
        return {
            "purpose": _PURPOSE,
            "change": self.id,
            "key": self.key_id,
            "from": self.before,
            "to": digest(self.after),
            "exp": int(self.expires_at.timestamp()),
        }


def digest(policy: str) -> str:
    """What names a policy's stored form in a change."""
    return hashlib.sha256(policy.encode()).hexdigest()


def owner_id(key: str) -> str:
    """What names an owner: SHA-256 of the public key, as `Owners` has it, in hex."""
    return hashlib.sha256(base64.b64decode(key)).hexdigest()


def read_owners(where: str, value: object) -> Owners:
    """The `[owners]` of a policy.

    Raises:
        MalformedPolicy: an unknown member, a key that cannot be used or is there twice, or more approvals than owners.
    """
    if not isinstance(value, dict) or value.keys() != {"approvals", "keys"}:
        raise bad(f"{where} is not complete", seen=repr(value)[:80], wanted="approvals and keys, and nothing else")
    items = listed(f"{where}.keys", value["keys"])
    if len(items) > MAX_OWNERS:
        raise bad(f"{where}.keys names too many", seen=len(items), wanted=f"<= {MAX_OWNERS}")
    keys = tuple(sorted(_public(f"{where}.keys", item) for item in items))
    if len(set(keys)) != len(keys):
        raise bad(f"{where}.keys names an owner twice", hint="an owner has one word")
    return Owners(needed=number(len(keys), least=1)(f"{where}.approvals", value["approvals"]), keys=keys)


def approve(change: PolicyChange, key: PrivateKey) -> str:
    """An owner's approval of this change."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signer = SigningKey(owner_id(base64.b64encode(der).decode()), key, ())
    return sign(change.claims(), signer, signer.algorithms[0], jku=None)


def approver(owners: Owners, change: PolicyChange, approval: str) -> str:
    """The id of the owner who signed this approval of this very change.

    Raises:
        MalformedToken: no JWS.
        TokenRejected: no owner's, or of another change.
    """
    if len(approval) > MAX_APPROVAL:
        seen, wanted = f"{len(approval)} characters", f"<= {MAX_APPROVAL}"
        raise MalformedToken("the approval is too long", seen=seen, wanted=wanted)
    signed = _key_set(owners).verify(approval)
    if signed != change.claims():
        wrong = sorted(name for name, value in change.claims().items() if signed.get(name) != value)
        seen = ", ".join(wrong) or "more members"
        raise TokenRejected("the approval is of another change", code="other-change", seen=seen)
    header, _ = take_apart(approval)
    return str(header["kid"])


def approvers(owners: Owners, change: PolicyChange) -> frozenset[str]:
    """Who approved of this change: each owner once, and nobody by an approval that does not hold."""
    found = set()
    for approval in change.approvals[:MAX_APPROVALS]:
        try:
            found.add(approver(owners, change, approval))
        except (MalformedToken, TokenRejected):  # it may have been an owner's under an earlier policy
            continue
    return frozenset(found)


def require_approval(
    owners: Owners | None, before: str, after: str, *, key_id: str, change: PolicyChange | None, at: datetime
) -> frozenset[str]:
    """Who approved that this key goes from one policy to another; returns only if enough did, or nobody has to.

    Args:
        owners: of the policy that the key is under; None: it has none.
        before: that policy, in its stored form.
        after: the other one.
        key_id: the key.
        change: what was proposed and approved; None: nothing was.
        at: now, aware.

    Raises:
        NotPermitted: (`approval-needed`) too few approved, or the change has lapsed.
        Conflict: (`other-change`) the change is of another key, or from or to another policy.
    """
    if owners is None:
        return frozenset()
    wanted = f"{owners.needed} of {len(owners.keys)} owners"
    if change is None:
        hint = "amber keybroker change propose"
        raise NotPermitted("the key's owners must approve", code="approval-needed", wanted=wanted, hint=hint)
    if (change.key_id, change.before, change.after) != (key_id, digest(before), after):
        hint = "propose it again, from the policy that the key is under now"
        raise Conflict("the change is another than was approved", code="other-change", hint=hint)
    if at >= change.expires_at:
        seen = change.expires_at.isoformat()
        raise NotPermitted("the change has lapsed", code="approval-needed", seen=seen, hint="propose it again")
    found = approvers(owners, change)
    if len(found) < owners.needed:
        seen = f"{len(found)} approvals"
        raise NotPermitted("too few owners approve", code="approval-needed", seen=seen, wanted=wanted)
    return found


def _key_set(owners: Owners) -> KeySet:
    entries: list[dict[str, object]] = []
    for key in owners.keys:
        public = load_der_public_key(base64.b64decode(key))
        assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        entries += public_members(owner_id(key), public, ())
    return KeySet.from_json(json.dumps({"keys": _without_chains(entries)}))


def _without_chains(entries: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in entry.items() if name != "x5c"} for entry in entries]


def _public(where: str, value: object) -> str:
    """A public key that can sign here, as base64 of its DER."""
    wanted = "a public key, P-256 or RSA of 2048 to 8192 bits, in PEM or base64 of DER"
    if not isinstance(value, str) or len(value) > MAX_KEY:
        raise bad(f"{where} is no public key", seen=type(value).__name__, wanted=wanted)
    try:
        pem = "-----BEGIN" in value
        key = (
            load_pem_public_key(value.encode()) if pem else load_der_public_key(base64.b64decode(value, validate=True))
        )
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm) as exc:
        raise bad(f"{where} cannot be read", seen=type(exc).__name__, wanted=wanted) from exc
    on_curve = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not on_curve and not (isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 8192):
        raise bad(f"{where} is a key of another kind", seen=type(key).__name__, wanted=wanted)
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
