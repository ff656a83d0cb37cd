"""What travels: request bodies, read strictly but with the leniency that deployed clients need."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from uuid import UUID

import msgspec

from ambergate.core.errors import Malformed
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.core.token.jose import ALGORITHMS
from ambergate.services.attestation.nonces import Nonce

MAX_RUNTIME_DATA: Final = 256 * 1024  # bytes; base64 of it fits the body's limit
MAX_POLICY_IDS: Final = 10


class NonceWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A nonce: exactly three members, since some clients refuse any other."""

    val: str
    iat: str
    signature: str


class AttestRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The flat body of `POST /appraisal/v1/attest`. Null is as good as absent; older names are known."""

    quote: str
    verifier_nonce: NonceWire | None = None
    nonce: NonceWire | None = None  # until 2023
    signed_nonce: NonceWire | None = None  # 2022
    runtime_data: str | None = None
    user_data: str | None = None  # runtime_data until 2023
    policy_ids: list[str] | None = None
    event_log: str | None = None  # of no meaning for SGX
    token_signing_alg: str | None = None
    policy_must_match: bool | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A request, decoded: what the use case takes."""

    quote: bytes
    nonce: Nonce | None
    runtime_data: bytes | None
    policy_ids: tuple[UUID, ...]  # none: the caller's
    policy_must_match: bool = False  # the caller's key may say so too
    algorithm: str | None = None  # None: the caller's, or else the service's
    profile: str | None = None  # None: the caller's, or else the endpoint's


class TokenResponse(msgspec.Struct, frozen=True):
    """Exactly one member, since some clients refuse any other."""

    token: str


class Version(msgspec.Struct, frozen=True):
    """The answer of the version endpoint."""

    name: str
    version: str
    commit: str
    buildDate: str  # noqa: N815  the protocol's spelling


def read_request(request: AttestRequest) -> Evidence:
    """The request's members, decoded and bounded.

    Raises:
        Malformed: not base64, too long, contradictory, or an algorithm that is not offered.
    """
    algorithm = request.token_signing_alg or None
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise _bad("token_signing_alg is not offered", seen=algorithm[:32], wanted=" or ".join(ALGORITHMS))
    given = [n for n in (request.verifier_nonce, request.nonce, request.signed_nonce) if n is not None]
    if len(given) > 1:
        raise _bad("the request has several nonces", seen=len(given), wanted="verifier_nonce alone")
    if request.runtime_data and request.user_data:
        raise _bad("user_data beside runtime_data has no meaning here", wanted="runtime_data alone")
    data = request.runtime_data or request.user_data
    return Evidence(
        quote=decode_base64(request.quote, "quote", limit=MAX_QUOTE),
        nonce=Nonce(given[0].val, given[0].iat, given[0].signature) if given else None,
        runtime_data=decode_base64(data, "runtime_data", limit=MAX_RUNTIME_DATA) if data else None,
        policy_ids=_policy_ids(request.policy_ids or []),
        policy_must_match=bool(request.policy_must_match),
        algorithm=algorithm,
    )


def decode_base64(text: str, name: str, *, limit: int) -> bytes:
    """Standard or URL-safe base64, padded or not: clients in use send all four.

    Raises:
        Malformed: neither, or more than `limit` bytes.
    """
    too_long = _bad(f"{name} is too long", seen=f"{len(text)} characters", wanted=f"at most {limit} bytes")
    if len(text) > limit * 4 // 3 + 4:
        raise too_long
    standard = text.translate(_TO_STANDARD)
    try:
        data = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _bad(f"{name} is not base64", seen=str(exc)) from exc
    if len(data) > limit:
        raise too_long
    return data


_TO_STANDARD: Final = str.maketrans("-_", "+/")


def _policy_ids(texts: list[str]) -> tuple[UUID, ...]:
    if len(texts) > MAX_POLICY_IDS:
        raise _bad("too many policy ids", seen=len(texts), wanted=f"at most {MAX_POLICY_IDS}")
    try:
        return tuple(UUID(text) for text in texts)
    except ValueError as exc:
        raise _bad("a policy id is no UUID", seen=str(exc)) from exc


def _bad(message: str, *, seen: object = None, wanted: object = None) -> Malformed:
    return Malformed(message, code="malformed-request", seen=seen, wanted=wanted)
