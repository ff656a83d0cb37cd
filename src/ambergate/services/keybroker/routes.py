"""The key broker's HTTP surface: reading requests, writing answers. Judgement is the use case's."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

import ambergate
from ambergate.core.errors import (
    Malformed,
    MalformedToken,
    NotPermitted,
    NotWelcome,
    ReleaseRefused,
    TooManyRequests,
)
from ambergate.core.release.values import TEES
from ambergate.services.keybroker.ports import UnknownKey
from ambergate.services.keybroker.requests import refuse_content_type, refuse_media
from ambergate.services.keybroker.wire import TransferRequest, TransferResponse, Version, parse_key_id
from ambergate.services.web.bodies import decode, read_body
from ambergate.services.web.problems import json_response
from ambergate.services.web.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from starlette.requests import Request
    from starlette.responses import Response

    from ambergate.core.errors import AmberError
    from ambergate.core.release.envelope import Envelope
    from ambergate.services.keybroker.usecase import KeyTransfer
    from ambergate.services.web.rates import Rate

_VERSION: Final = re.compile("[1-9][0-9]{0,8}")
_TYPE: Final = "attestation-type"

# What the Key Broker Service's clients expect: a token that proves nothing and a policy that refuses are both 401.
STATUSES: Final[tuple[tuple[type[AmberError], int], ...]] = (
    (UnknownKey, 404),
    (MalformedToken, 401),
    (ReleaseRefused, 401),
    (NotWelcome, 401),  # by the attestation service, in the background check
    (NotPermitted, 401),  # the documentation knows no 403
)


def transfer_route(transfer: KeyTransfer[Any], now: Callable[[], datetime], rate: Rate | None) -> Route:
    """`POST /kbs/v1/keys/{id}/transfer`: with a token, or the background check in two steps.

    With `?version=N`, ours, for another version than the latest.

    Args:
        transfer: the use case.
        now: the clock.
        rate: of one address; None: as many as there are.
    """
    rates = Rates()

    async def handle(request: Request) -> Response:
        _refuse_hasty(request, rates, rate, now())
        refuse_media(request)
        key_id, version = _key_id(request), _version(request)
        body = await read_body(request)
        tee = _tee(request)
        if not body and tee is None and transfer.verifier is not None:
            challenge = await run_in_threadpool(partial(transfer.challenge, key_id, version=version))
            return json_response(challenge.nonce, headers={_TYPE: challenge.tee})
        if not body:
            raise Malformed("the request has no body", code="malformed-request", wanted="attestation_token")
        refuse_content_type(request)
        asked = decode(body, TransferRequest)
        work: Callable[[], Envelope]
        if asked.attestation_token is not None:
            work = partial(transfer, key_id, asked.attestation_token, at=now(), version=version, tee=tee)
        elif tee is not None:
            work = partial(transfer.appraised, key_id, asked.evidence(), tee=tee, at=now(), version=version)
        else:
            wanted = "attestation_token, or evidence with the header Attestation-Type"
            raise Malformed("the body has no token", code="malformed-request", wanted=wanted)
        return json_response(TransferResponse.of(await run_in_threadpool(work)), headers={_TYPE: ""})

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


def _tee(request: Request) -> str | None:
    """What the caller says that it runs in; None: it does not say."""
    given = request.headers.get(_TYPE, "").strip()
    if given and given not in TEES:
        wanted = " or ".join(TEES)
        raise Malformed("there is no such Attestation-Type", code="malformed-request", seen=given[:32], wanted=wanted)
    return given or None


def _refuse_hasty(request: Request, rates: Rates, rate: Rate | None, at: datetime) -> None:
    if rate is None:
        return
    wait = rates.take("" if request.client is None else request.client.host, rate, at=at)
    if wait:
        wanted = f"at most {rate.per_second:g} requests per second of one address, {rate.burst} at once"
        raise TooManyRequests("Too many requests, limit exceeded.", retry_after=wait, wanted=wanted)


def _version(request: Request) -> int | None:
    """The version that is asked for, an extension of ours: `?version=2`; None: the latest."""
    given = request.query_params.getlist("version")
    if not given:
        return None
    if len(given) > 1 or not _VERSION.fullmatch(given[0]):
        raise Malformed("this is no version", code="malformed-request", seen=given[0][:32], wanted="1, 2, ...")
    return int(given[0])
