"""The key broker's HTTP surface: reading requests, writing answers. Judgement is the use case's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

import ambergate
from ambergate.core.errors import Malformed, MalformedToken, NotPermitted, ReleaseRefused
from ambergate.services.keybroker.ports import UnknownKey
from ambergate.services.keybroker.requests import refuse_content_type, refuse_media
from ambergate.services.keybroker.wire import TransferRequest, TransferResponse, Version, parse_key_id
from ambergate.services.web.bodies import decode, read_body
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from starlette.requests import Request
    from starlette.responses import Response

    from ambergate.core.errors import AmberError
    from ambergate.core.release.envelope import Envelope

_VERSION: Final = re.compile("[1-9][0-9]{0,8}")
MAX_BODY: Final = 96 * 1024  # bytes; a token of 64 KiB and room for its JSON

# What the Key Broker Service's clients expect: a token that proves nothing and a policy that refuses are both 401.
STATUSES: Final[tuple[tuple[type[AmberError], int], ...]] = (
    (UnknownKey, 404),
    (MalformedToken, 401),
    (ReleaseRefused, 401),
    (NotPermitted, 401),  # the documentation knows no 403
)


def transfer_route(transfer: Callable[..., Envelope], now: Callable[[], datetime]) -> Route:
    """`POST /kbs/v1/keys/{id}/transfer`, passport mode; with `?version=N` for another version than the latest.

    Args:
        transfer: the use case.
        now: the clock.
    """

    async def handle(request: Request) -> Response:
        refuse_media(request)
        key_id = _key_id(request)
        body = await read_body(request, limit=MAX_BODY)
        if not body:
            hint = "this broker takes tokens; it does not ask for evidence in their stead"
            raise Malformed("the request has no body", code="malformed-request", wanted="attestation_token", hint=hint)
        refuse_content_type(request)
        if request.headers.get("attestation-type"):
            hint = "leave Attestation-Type out and send a token"
            raise Malformed("evidence is not taken here", code="malformed-request", hint=hint)
        token = decode(body, TransferRequest).attestation_token
        envelope = await run_in_threadpool(transfer, key_id, token, at=now(), version=_version(request))
        return json_response(TransferResponse.of(envelope), headers={"attestation-type": ""})

    return Route("/kbs/v1/keys/{id}/transfer", handle, methods=["POST"])


def version_route() -> Route:
    """`GET /kbs/v1/version`."""
    version = Version(name="ambergate key broker", version=ambergate.__version__)

    async def handle(request: Request) -> Response:
        del request
        return json_response(version)

    return Route("/kbs/v1/version", handle, methods=["GET"])


def _key_id(request: Request) -> UUID:
    try:
        return parse_key_id(request.path_params["id"])
    except Malformed as exc:
        raise UnknownKey("there is no key of this id", code=exc.code, seen=exc.seen, wanted=exc.wanted) from exc


def _version(request: Request) -> int | None:
    """The version that is asked for, an extension of ours: `?version=2`; None: the latest."""
    given = request.query_params.getlist("version")
    if not given:
        return None
    if len(given) > 1 or not _VERSION.fullmatch(given[0]):
        raise Malformed("this is no version", code="malformed-request", seen=given[0][:32], wanted="1, 2, ...")
    return int(given[0])
