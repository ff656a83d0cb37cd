"""The attestation service's HTTP surface: reading requests, writing answers. Judgement is the use case's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

import ambergate
from ambergate.core.errors import NotPermitted
from ambergate.core.token.names import Profile
from ambergate.services.attestation.evidence import Rule
from ambergate.services.attestation.ports import ANYBODY, ATTEST
from ambergate.services.attestation.wire import (
    AttestRequest,
    CompositeRequest,
    Endpoint,
    NonceWire,
    TokenResponse,
    Version,
    read_composite,
    read_request,
)
from ambergate.services.web.bodies import decode, header, parse, read_body, shaped
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request

    from ambergate.services.attestation.evidence import Evidence
    from ambergate.services.attestation.nonces import Nonces
    from ambergate.services.attestation.ports import Authorisation, Caller
    from ambergate.services.attestation.usecase import Attestation

_JSON: Final = "application/json"
_OLD_TOKEN: Final = "application/jwt"  # noqa: S105  a media type; before December 2022 the body was the bare token
_MEDIA: Final = frozenset({_JSON, _OLD_TOKEN, "application/*", "*/*", ""})


class Authoriser:
    """Lets a request pass whose `x-api-key` is good, for what that key is given for.

    Args:
        keys: who may ask. Asked in a thread where it may have to wait for a database.
        anonymous: whether a request without the header may attest too.
    """

    def __init__(self, keys: Authorisation, *, anonymous: bool) -> None:
        self._keys = keys
        self._anonymous = anonymous

    async def __call__(self, request: Request, scope: str = ATTEST, *, instead: str | None = None) -> Caller:
        """Who asks. `instead` counts where the header is not there.

        Raises:
            NotAuthorised: no key, or none that is known.
            NotPermitted: a key for other things.
            TooManyRequests: it asks more often than it may.
        """
        given = header(request, b"x-api-key")
        given = instead if given is None else given
        if given is None and self._anonymous and scope in ANYBODY.scopes:
            return ANYBODY
        text = given or ""
        caller = self._keys.at_hand(text)
        if caller is None:
            caller = await run_in_threadpool(self._keys.authorise, text)
        if scope not in caller.scopes:
            raise NotPermitted(
                "the API key is not for this",
                seen=f"a key to {' and '.join(sorted(caller.scopes))}",
                wanted=f"a key to {scope}",
                hint=f"create one with `amber apikey create --scope {scope}`",
            )
        return caller


def nonce_routes(nonces: Nonces, authorise: Authoriser, now: Callable[[], datetime]) -> list[Route]:
    """`GET /appraisal/v1/nonce` and `/appraisal/v2/nonce`: one nonce, good at every endpoint."""

    async def handle(request: Request) -> Response:
        await authorise(request)
        nonce = nonces.make(now())
        return json_response(NonceWire(nonce.val, nonce.iat, nonce.signature))

    return [Route(f"/appraisal/{version}/nonce", handle, methods=["GET"]) for version in ("v1", "v2")]


def attest_routes(
    attestation: Attestation, authorise: Authoriser, now: Callable[[], datetime], *, v1_profile: Profile
) -> list[Route]:
    """Every `POST` of this protocol that takes evidence and answers with a token."""

    def route(path: str, read: Callable[[bytes, Endpoint], Evidence], endpoint: Endpoint) -> Route:
        async def handle(request: Request) -> Response:
            caller = await authorise(request)
            takes = accepted(request)
            body = await read_json_body(request)
            evidence = read(body, endpoint)
            token = await attested(attestation, evidence, caller, at=now())
            if _OLD_TOKEN in takes and _JSON not in takes:
                return Response(token, media_type=_OLD_TOKEN)
            return json_response(TokenResponse(token))

        return Route(path, handle, methods=["POST"])

    def settled(endpoint: Endpoint) -> Endpoint:
        return endpoint._replace(profile=v1_profile) if endpoint.profile is Profile.V1 else endpoint

    return [route(path, read, settled(endpoint)) for path, read, endpoint in _ENDPOINTS]


async def attested(attestation: Attestation, evidence: Evidence, caller: Caller, *, at: datetime) -> str:
    """A token for this evidence, its decision recorded; raises as `Attestation.told` and `Attestation.judge` do.

    What is in memory is judged here: it takes less than to hand it to a thread and back. A platform that has to be
    proven, collateral that has to be fetched, Rego: they take milliseconds and more, in a thread, so that other
    requests, /healthz among them, are answered meanwhile.
    """
    judged = attestation.judge_at_hand(evidence, caller, at=at)
    if judged is None:
        judged = await run_in_threadpool(attestation.judge, evidence, caller, at=at)
    return await attestation.told(judged)


async def read_json_body(request: Request) -> bytes:
    """The body of a request that calls it JSON, or calls it nothing."""
    body = await read_body(request)
    named = header(request, b"content-type")
    if named not in {None, _JSON} and named.partition(";")[0].strip().lower() != _JSON:
        raise HTTPException(415, "this reads application/json only; say so in Content-Type")
    return body


def _flat(body: bytes, endpoint: Endpoint) -> Evidence:
    return read_request(decode(body, AttestRequest), endpoint)


def _flat_or_composite(body: bytes, endpoint: Endpoint) -> Evidence:
    """One client sends its flat body to the second version too."""
    members = parse(body)
    if isinstance(members, dict) and "quote" in members:
        return read_request(shaped(members, AttestRequest), endpoint)
    return read_composite(shaped(members, CompositeRequest), endpoint)


_ENDPOINTS: Final = (
    ("/appraisal/v1/attest", _flat, Endpoint(Rule.REPORT, Profile.V1)),
    ("/appraisal/v1/attest/azure/tdxvm", _flat, Endpoint(Rule.AZURE_TD, Profile.V1)),
    ("/appraisal/v1/appraise", _flat, Endpoint(Rule.REPORT, Profile.AMBER_2022)),  # until November 2022
    ("/appraisal/v2/attest", _flat_or_composite, Endpoint(Rule.EITHER, Profile.V2)),
    ("/appraisal/v2/attest/azure", _flat_or_composite, Endpoint(Rule.AZURE_TD, Profile.V2)),
)


def version_route(authorise: Authoriser) -> Route:
    """`GET /appraisal/v1/version`."""
    version = Version(name="ambergate", version=ambergate.__version__, commit="", buildDate="")

    async def handle(request: Request) -> Response:
        await authorise(request)
        return json_response(version)

    return Route("/appraisal/v1/version", handle, methods=["GET"])


def accepted(request: Request) -> frozenset[str]:
    """The media types that the request takes; 415 when JSON is none of them."""
    ranges = _ranges(header(request, b"accept") or "")
    if not _MEDIA & ranges:
        raise HTTPException(415, "this answers application/json only; say so in Accept")
    return ranges


@functools.lru_cache(64)  # clients of one kind send one text
def _ranges(accept: str) -> frozenset[str]:
    return frozenset(part.partition(";")[0].strip().lower() for part in accept.split(","))
