"""`/management/v1/policies`, as the published command line speaks it. All of it wants an API key of scope `manage`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from ambergate.core.errors import NotFound
from ambergate.services.attestation.management_wire import (
    LANGUAGE_HEADER,
    NONE,
    PolicyRequest,
    attestation_type_of,
    check_same,
    identity,
    kind_of,
    offer_of,
    response,
    submitted,
)
from ambergate.services.attestation.ports import MANAGE
from ambergate.services.attestation.routes import accepted, read_json_body
from ambergate.services.web.bodies import decode
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from starlette.requests import Request

    from ambergate.services.attestation.management import Management
    from ambergate.services.attestation.routes import Authoriser
    from ambergate.stores.policies import StoredPolicy

PATH: Final = "/management/v1/policies"
ONE: Final = f"{PATH}/{{policy_id}}"


def policy_routes(management: Management, authorise: Authoriser, now: Callable[[], datetime]) -> list[Route]:
    """The routes. Policies are judged by and stored in the thread pool: engines and databases take their time."""
    return [*_reading(management, authorise), *_writing(management, authorise, now)]


def _reading(management: Management, authorise: Authoriser) -> list[Route]:
    store = management.store

    async def list_all(request: Request) -> Response:
        await authorise(request, MANAGE)
        accepted(request)
        return json_response([response(each) for each in await run_in_threadpool(store.all)])

    async def show(request: Request) -> Response:
        await authorise(request, MANAGE)
        accepted(request)
        return _one(await run_in_threadpool(store.get, _id(request)))

    return [Route(PATH, list_all, methods=["GET"]), Route(ONE, show, methods=["GET"])]


def _writing(management: Management, authorise: Authoriser, now: Callable[[], datetime]) -> list[Route]:
    async def create(request: Request) -> Response:
        caller = await authorise(request, MANAGE)
        accepted(request)
        body = decode(await read_json_body(request), PolicyRequest)
        check_same(body, NONE)
        work = partial(
            management.create,
            submitted(body),
            kind_of(body),
            at=now(),
            by=caller.key_id,
            attestation_type=attestation_type_of(body),
            service_offer_id=offer_of(body),
        )
        return _one(await run_in_threadpool(work), status=201)

    async def update(request: Request) -> Response:
        caller = await authorise(request, MANAGE)
        accepted(request)
        body, policy_id = decode(await read_json_body(request), PolicyRequest), _id(request)
        check_same(body, policy_id)
        work = partial(management.update, policy_id, submitted(body), at=now(), by=caller.key_id)
        return _one(await run_in_threadpool(work))

    async def delete(request: Request) -> Response:
        caller = await authorise(request, MANAGE)
        await run_in_threadpool(partial(management.delete, _id(request), at=now(), by=caller.key_id))
        return Response(status_code=204)

    return [
        Route(PATH, create, methods=["POST"]),
        Route(ONE, update, methods=["PUT"]),
        Route(ONE, delete, methods=["DELETE"]),
    ]


def _id(request: Request) -> UUID:
    """Which policy the path names."""
    text = str(request.path_params["policy_id"])[:64]
    found = identity(text, "the policy's id")
    if found == NONE:
        raise NotFound("there is no such policy", code="unknown-policy", seen=text)
    return found


def _one(stored: StoredPolicy, *, status: int = 200) -> Response:
    return json_response(response(stored), status=status, headers={LANGUAGE_HEADER: stored.policy.language.value})
