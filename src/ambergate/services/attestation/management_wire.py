"""What travels at `/management/v1/policies`: members, codes and limits as the published command line has them.

Source: wire protocol, 5.1 and 5.2. That command line refuses an answer with a member that it does not know, so nothing
is added to `PolicyResponse`; what we have beside it (the language) is a header.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from ambergate.core.appraise.named import PolicyKind, PolicyLanguage
from ambergate.core.errors import Malformed
from ambergate.services.attestation.management import Submitted

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.stores.policies import StoredPolicy

LANGUAGE_HEADER: Final = "policy-language"
MAX_TYPE: Final = 64  # characters of `attestation_type`
NONE: Final = UUID(int=0)  # what clients send where there is no id, and what they are sent


class PolicyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST and PUT. Null and empty are as good as absent; `policy_language` is ours."""

    policy: str | None = None
    policy_name: str | None = None
    policy_id: str | None = None
    policy_type: str | None = None
    service_offer_id: str | None = None
    attestation_type: str | None = None
    policy_language: str | None = None


class PolicyResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One policy, as it is now."""

    policy_id: str
    policy: str
    policy_name: str
    policy_type: str
    service_offer_id: str
    attestation_type: str
    creator_id: str
    updater_id: str
    deleted: bool
    created_time: str
    modified_time: str
    policy_hash: str
    policy_signature: str
    version: str
    signed_by_tenant: bool
    policy_jwt: str | None = None


def response(stored: StoredPolicy) -> PolicyResponse:
    """A policy as clients read it. Its hash is SHA-384 of the text in base64; its signature is that of its JWT."""
    policy = stored.policy
    return PolicyResponse(
        policy_id=str(policy.id),
        policy=policy.text,
        policy_name=policy.name,
        policy_type=policy.kind.value,
        service_offer_id=str(stored.service_offer_id or NONE),
        attestation_type=stored.attestation_type,
        creator_id=str(stored.created_by or NONE),
        updater_id=str(stored.modified_by or NONE),
        deleted=stored.deleted_at is not None,
        created_time=_time(stored.created_at),
        modified_time=_time(stored.modified_at),
        policy_hash=base64.b64encode(policy.hash).decode(),
        policy_signature="" if stored.signer is None or stored.jwt is None else stored.jwt.rpartition(".")[2],
        version=f"v{policy.version}",
        signed_by_tenant=stored.signer is not None,
        policy_jwt=stored.jwt,
    )


def submitted(request: PolicyRequest) -> Submitted:
    """What a request would have as a policy.

    Raises:
        Malformed: its language is unknown.
    """
    try:
        language = PolicyLanguage(request.policy_language) if request.policy_language else None
    except ValueError as exc:
        wanted = " or ".join(each.value for each in PolicyLanguage)
        raise _bad("policy_language is unknown", seen=_short(request.policy_language), wanted=wanted) from exc
    return Submitted(name=request.policy_name or None, text=request.policy or None, language=language)


def kind_of(request: PolicyRequest) -> PolicyKind:
    """What a new policy is for.

    Raises:
        Malformed: missing or unknown.
    """
    try:
        return PolicyKind(request.policy_type)
    except ValueError as exc:
        wanted = " or ".join(each.value for each in PolicyKind)
        raise _bad("policy_type is unknown", seen=_short(request.policy_type), wanted=wanted) from exc


def offer_of(request: PolicyRequest) -> UUID | None:
    """The service offer that a new policy names.

    Raises:
        Malformed: it is no UUID.
    """
    return identity(request.service_offer_id, "service_offer_id") if request.service_offer_id else None


def attestation_type_of(request: PolicyRequest) -> str:
    """What a new policy says that it is about; of no meaning here, since a policy reads it from the claims.

    Raises:
        Malformed: too long or not printable.
    """
    text = request.attestation_type or ""
    if len(text) > MAX_TYPE or not text.isprintable():
        raise _bad("attestation_type is unusable", seen=f"{len(text)} characters", wanted=f"{MAX_TYPE} printable")
    return text


def check_same(request: PolicyRequest, wanted: UUID) -> None:
    """Returns if the request names this policy, or none.

    Raises:
        Malformed: it names another.
    """
    if request.policy_id and identity(request.policy_id, "policy_id") != wanted:
        raise _bad("policy_id is another", seen=_short(request.policy_id), wanted=wanted)


def identity(text: str, name: str) -> UUID:
    """An id in its usual form.

    Raises:
        Malformed: it is none.
    """
    try:
        found = UUID(text)
    except ValueError as exc:
        raise _bad(f"{name} is no UUID", seen=_short(text)) from exc
    if str(found) != text.lower():
        raise _bad(f"{name} is no UUID", seen=_short(text), wanted=found)
    return found


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _short(text: str | None) -> str | None:
    return None if text is None else text[:64]


def _bad(message: str, *, seen: object = None, wanted: object = None) -> Malformed:
    return Malformed(message, code="malformed-request", seen=seen, wanted=wanted)
