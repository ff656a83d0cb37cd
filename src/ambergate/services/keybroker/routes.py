"""The key broker's HTTP surface: reading requests, writing answers. Judgement is the use case's."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
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
from ambergate.core.release.keywrap import KeyWrap
from ambergate.core.release.values import TEES
from ambergate.services.keybroker.delivery import INTELS
from ambergate.services.keybroker.ports import UnknownKey
from ambergate.services.keybroker.requests import refuse_content_type, refuse_media
from ambergate.services.keybroker.wire import KeyWrapResponse, TransferRequest, TransferResponse, Version, parse_key_id
from ambergate.services.web.bodies import decode, read_body
from ambergate.services.web.problems import json_response
from ambergate.services.web.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from starlette.requests import Request

    from ambergate.core.errors import AmberError
    from ambergate.services.keybroker.delivery import Delivered, Form
    from ambergate.services.keybroker.usecase import KeyTransfer
    from ambergate.services.web.rates import Rate

JOSE: Final = "application/jose"  # RFC 7515, section 9.2.1
WRAPPING: Final = "amber-wrapping"  # a header of ours
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
        forms = _forms(request)
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
        work: Callable[[], Delivered]
        if asked.attestation_token is not None:
            work = partial(transfer, key_id, asked.attestation_token, at=now(), version=version, tee=tee, forms=forms)
        elif tee is not None:
            given = asked.evidence()
            work = partial(transfer.appraised, key_id, given, tee=tee, at=now(), version=version, forms=forms)
        else:
            wanted = "attestation_token, or evidence with the header Attestation-Type"
            raise Malformed("the body has no token", code="malformed-request", wanted=wanted)
        return _told(await run_in_threadpool(work))

    return Route("/kbs/v1/keys/{id}/transfer", handle, methods=["POST"])


def version_route() -> Route:
    """`GET /kbs/v1/version`."""
    version = Version(name="ambergate key broker", version=ambergate.__version__)

    async def handle(request: Request) -> Response:
        del request
        return json_response(version)

    return Route("/kbs/v1/version", handle, methods=["GET"])


def _forms(request: Request) -> frozenset[Form]:
    """What the caller opens, by its own words. 415, as this protocol has it, where that is nothing of ours."""
    if request.headers.get("accept", "").partition(";")[0].strip().lower() == JOSE:
        return frozenset({"jwe"})
    refuse_media(request)
    return frozenset({"envelope", "key-wrap"}) if request.headers.get(WRAPPING) == "key-wrap" else INTELS


def _told(key: Delivered) -> Response:
    headers = {_TYPE: ""}
    if isinstance(key, str):
        return Response(key, headers=headers, media_type=JOSE)
    if isinstance(key, KeyWrap):
        return json_response(KeyWrapResponse.of(key), headers=headers)
    return json_response(TransferResponse.of(key), headers=headers)


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
