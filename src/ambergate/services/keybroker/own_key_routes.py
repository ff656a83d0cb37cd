"""Keys below `/broker/v1`: versions, states, labels and key managers, which Intel's service does not have."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ambergate.services.keybroker.access import GuardedRoute
from ambergate.services.keybroker.key_routes import collection
from ambergate.services.keybroker.key_wire import (
    OwnKeyRequest,
    StateRequest,
    VersionRequest,
    key_data,
    own_form,
    with_versions,
)
from ambergate.services.keybroker.permissions import KEYS_DELETE, KEYS_SEARCH, KEYS_UPDATE
from ambergate.services.keybroker.requests import path_id, read_json, refuse_media
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from starlette.requests import Request

    from ambergate.services.keybroker.access import Guard
    from ambergate.services.keybroker.managed_keys import ManagedKeys
    from ambergate.services.keybroker.users import Actor

_PATH: Final = "/broker/v1/keys"
_ONE: Final = f"{_PATH}/{{id}}"


def own_key_routes(keys: ManagedKeys[Any], guard: Guard, now: Callable[[], datetime]) -> list[GuardedRoute]:
    """Keys, for whoever has the permission; none of these shows one."""
    return [*_whole(keys, guard, now), *_versions(keys, guard, now)]


def _whole(keys: ManagedKeys[Any], guard: Guard, now: Callable[[], datetime]) -> list[GuardedRoute]:
    async def retrieve(request: Request, _: Actor) -> Response:
        refuse_media(request)
        return json_response(await run_in_threadpool(_shown, keys, path_id(request)))

    return [
        *collection(_PATH, OwnKeyRequest, own_form, keys, guard=guard, now=now),
        GuardedRoute("GET", _ONE, retrieve, guard=guard, permission=KEYS_SEARCH),
    ]


def _versions(keys: ManagedKeys[Any], guard: Guard, now: Callable[[], datetime]) -> list[GuardedRoute]:
    async def rotate(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        key_id = path_id(request)
        body = await read_json(request, VersionRequest)
        material = None if body.material is None else key_data(body.material)
        work = partial(keys.rotate, key_id, by=caller.name, at=now(), material=material)
        await run_in_threadpool(work)
        return json_response(await run_in_threadpool(_shown, keys, key_id), status=201)

    async def state(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        key_id = path_id(request)
        body = await read_json(request, StateRequest)
        enabled, version = body.checked()
        work = partial(keys.set_state, key_id, enabled=enabled, version=version, by=caller.name, at=now())
        await run_in_threadpool(work)
        return json_response(await run_in_threadpool(_shown, keys, key_id))

    async def destroy(request: Request, caller: Actor) -> Response:
        key_id, number = path_id(request), _number(request)
        await run_in_threadpool(partial(keys.destroy, key_id, number, by=caller.name, at=now()))
        return Response(status_code=204)

    versions = f"{_ONE}/versions"
    return [
        GuardedRoute("POST", versions, rotate, guard=guard, permission=KEYS_UPDATE),
        GuardedRoute("PUT", f"{_ONE}/state", state, guard=guard, permission=KEYS_UPDATE),
        GuardedRoute("DELETE", f"{versions}/{{number}}", destroy, guard=guard, permission=KEYS_DELETE),
    ]


def _shown(keys: ManagedKeys[Any], key_id: UUID) -> dict[str, object]:
    return with_versions(keys.get(key_id), keys.versions(key_id))


def _number(request: Request) -> int:
    text = str(request.path_params["number"])
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HTTPException(404)
    return int(text)
