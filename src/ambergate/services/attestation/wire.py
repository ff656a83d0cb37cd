"""What travels: request bodies, read strictly but with the leniency that deployed clients need."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from ambergate.core.errors import Malformed
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.core.token.jose import ALGORITHMS
from ambergate.core.token.names import OFFERED, Profile
from ambergate.services.attestation.evidence import Evidence, Rule
from ambergate.services.attestation.nonces import Nonce

MAX_RUNTIME_DATA: Final = 256 * 1024  # bytes; base64 of it fits the body's limit
MAX_POLICY_IDS: Final = 10


class NonceWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A nonce: exactly three members, since some clients refuse any other."""

    val: str
    iat: str
    signature: str


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller may choose, in every body. Null, absent and empty are alike."""

    policy_ids: list[str] | None = None
    policy_must_match: bool | None = None
    token_signing_alg: str | None = None
    token_profile: str | None = None  # ours: no deployed client sends it


class AttestRequest(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The flat body of `POST /appraisal/v1/attest`. Null is as good as absent; older names are known."""

    quote: str
    verifier_nonce: NonceWire | None = None
    nonce: NonceWire | None = None  # until 2023
    signed_nonce: NonceWire | None = None  # 2022
    runtime_data: str | None = None
    user_data: str | None = None  # runtime_data until 2023; beside it where the endpoint is Azure's
    event_log: str | None = None  # the quote does not vouch for it: not looked at


class TeeEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sgx` or `tdx` of a composite body. Which of the two it is, the quote says."""

    quote: str
    verifier_nonce: NonceWire | None = None
    runtime_data: str | None = None
    user_data: str | None = None
    event_log: str | None = None


class CompositeRequest(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /appraisal/v2/attest`: one object for each kind of evidence. Two kinds are read."""

    sgx: TeeEvidence | None = None
    tdx: TeeEvidence | None = None
    tpm: object = None
    nvgpu: object = None
    sevsnp: object = None
    gcp: object = None


class TokenResponse(msgspec.Struct, frozen=True):
    """Exactly one member, since some clients refuse any other."""

    token: str


class Version(msgspec.Struct, frozen=True):
    """The answer of the version endpoint."""

    name: str
    version: str
    commit: str
    buildDate: str  # noqa: N815  the protocol's spelling


class Endpoint(NamedTuple):
    """What an endpoint's path says about the bodies that come to it."""

    rule: Rule
    profile: Profile  # of its tokens, where neither request nor key says


def read_request(request: AttestRequest, endpoint: Endpoint) -> Evidence:
    """A flat request's members, decoded and bounded.

    Raises:
        Malformed: not base64, too long, contradictory, or an algorithm or profile that is not offered.
    """
    given = [n for n in (request.verifier_nonce, request.nonce, request.signed_nonce) if n is not None]
    if len(given) > 1:
        raise _bad("the request has several nonces", seen=len(given), wanted="verifier_nonce alone")
    evidence = TeeEvidence(
        quote=request.quote,
        verifier_nonce=given[0] if given else None,
        runtime_data=request.runtime_data,
        user_data=request.user_data,
    )
    return _read(request, evidence, endpoint)


def read_composite(request: CompositeRequest, endpoint: Endpoint) -> Evidence:
    """The one evidence of a composite request, decoded and bounded.

    Raises:
        Malformed: no evidence, several, a kind that is not read here, or as for `read_request`.
    """
    others = [name for name in ("tpm", "nvgpu", "sevsnp", "gcp") if getattr(request, name) is not None]
    given = {name: each for name, each in (("sgx", request.sgx), ("tdx", request.tdx)) if each is not None}
    if others or len(given) != 1:
        seen = " and ".join([*given, *others]) or "no evidence"
        raise _bad("one evidence of one kind is read here", seen=seen, wanted="sgx or tdx, alone")
    return _read(request, next(iter(given.values())), endpoint)


def _read(options: Options, one: TeeEvidence, endpoint: Endpoint) -> Evidence:
    runtime_data, user_data, rule = _data_of(one, endpoint.rule)
    nonce = one.verifier_nonce
    return Evidence(
        quote=decode_base64(one.quote, "quote", limit=MAX_QUOTE),
        nonce=None if nonce is None else Nonce(nonce.val, nonce.iat, nonce.signature),
        runtime_data=decode_base64(runtime_data, "runtime_data", limit=MAX_RUNTIME_DATA) if runtime_data else None,
        user_data=decode_base64(user_data, "user_data", limit=MAX_RUNTIME_DATA) if user_data else None,
        rule=rule,
        policy_ids=_policy_ids(options.policy_ids or []),
        policy_must_match=bool(options.policy_must_match),
        algorithm=_one_of("token_signing_alg", options.token_signing_alg, ALGORITHMS),
        profile=_one_of("token_profile", options.token_profile, OFFERED),
        endpoint_profile=endpoint.profile,
    )


def _data_of(one: TeeEvidence, rule: Rule) -> tuple[str | None, str | None, Rule]:
    """Runtime data, user data, and the rule that binds them.

    User data alone is runtime data by its name of 2022. Beside it, it is that of a TD on Azure: of those that come to
    the plain endpoint of v2 this tells, or else REPORTDATA will.
    """
    if rule is Rule.AZURE_TD:
        if not one.runtime_data:
            raise _bad("evidence of a TD on Azure needs its runtime data", wanted="runtime_data")
        return one.runtime_data, one.user_data, rule
    if not (one.runtime_data and one.user_data):
        return one.runtime_data or one.user_data, None, rule
    if rule is not Rule.EITHER:
        raise _bad("user_data beside runtime_data has no meaning here", wanted="runtime_data alone")
    return one.runtime_data, one.user_data, Rule.AZURE_TD


def _one_of(name: str, value: str | None, offered: tuple[str, ...]) -> str | None:
    if value and value not in offered:
        raise _bad(f"{name} is not offered", seen=value[:32], wanted=" or ".join(offered))
    return value or None


def decode_base64(text: str, name: str, *, limit: int) -> bytes:
    """Standard or URL-safe base64, padded or not: clients in use send all four.

    Raises:
        Malformed: neither, or more than `limit` bytes.
    """
    if len(text) > limit * 4 // 3 + 4:
        raise _too_long(text, name, limit)
    standard = text.translate(_TO_STANDARD) if "-" in text or "_" in text else text
    try:
        # As strict as `binascii` in its strict mode, and where that takes padding for nothing; a quarter of its time.
        data = msgspec.convert(standard + "=" * (-len(standard) % 4), bytes)
    except msgspec.ValidationError as exc:
        raise _bad(f"{name} is not base64", seen=str(exc)) from exc
    if len(data) > limit:
        raise _too_long(text, name, limit)
    return data


_TO_STANDARD: Final = str.maketrans("-_", "+/")


def _too_long(text: str, name: str, limit: int) -> Malformed:
    return _bad(f"{name} is too long", seen=f"{len(text)} characters", wanted=f"at most {limit} bytes")


def _policy_ids(texts: list[str]) -> tuple[UUID, ...]:
    if len(texts) > MAX_POLICY_IDS:
        raise _bad("too many policy ids", seen=len(texts), wanted=f"at most {MAX_POLICY_IDS}")
    try:
        return tuple([_policy_id(text) for text in texts])
    except ValueError as exc:
        raise _bad("a policy id is no UUID", seen=str(exc)) from exc


@functools.lru_cache(1024)  # the same few are named again and again
def _policy_id(text: str) -> UUID:
    return UUID(text)


def _bad(message: str, *, seen: object = None, wanted: object = None) -> Malformed:
    return Malformed(message, code="malformed-request", seen=seen, wanted=wanted)
