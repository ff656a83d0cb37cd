"""`/kbs/v1/keys`, as Intel's Key Broker Service has them; below `/broker/v1/keys` what it has not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ambergate.core.errors import Malformed
from ambergate.core.release.material import KeyKind
from ambergate.services.keybroker.access import GuardedRoute
from ambergate.services.keybroker.key_wire import KeyRequest, KeyUpdate, OwnKeyRequest, kbs_form
from ambergate.services.keybroker.permissions import KEYS_CREATE, KEYS_DELETE, KEYS_SEARCH, KEYS_TRANSFER, KEYS_UPDATE
from ambergate.services.keybroker.requests import (
    PEM,
    page,
    path_id,
    query,
    read_json,
    refuse_content_type,
    refuse_media,
)
from ambergate.services.keybroker.unattested import MAX_PEM, wrapped_form
from ambergate.services.keybroker.wire import parse_key_id
from ambergate.services.web.bodies import read_body
from ambergate.services.web.problems import json_response
from ambergate.stores.key_search import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from starlette.requests import Request

    from ambergate.services.keybroker.access import Guard
    from ambergate.services.keybroker.managed_keys import ManagedKeys
    from ambergate.services.keybroker.unattested import UnattestedTransfer
    from ambergate.services.keybroker.users import Actor
    from ambergate.stores.key_search import FoundKey

_PATH: Final = "/kbs/v1/keys"
_ONE: Final = f"{_PATH}/{{id}}"
_QUERY: Final = ("algorithm", "keyLength", "curveType", "transferPolicyId", "after", "limit")


def key_routes(
    keys: ManagedKeys[Any], transfer: UnattestedTransfer[Any], guard: Guard, now: Callable[[], datetime]
) -> list[GuardedRoute]:
    """Keys, for whoever has the permission; none of these shows one."""

    async def retrieve(request: Request, _: Actor) -> Response:
        refuse_media(request)
        return json_response(kbs_form(await run_in_threadpool(keys.get, path_id(request))))

    async def update(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        key_id = path_id(request)
        policy_id = parse_key_id((await read_json(request, KeyUpdate)).transfer_policy_id)
        work = partial(keys.set_policy, key_id, policy_id, by=caller.name, at=now())
        return json_response(kbs_form(await run_in_threadpool(work)), status=201)

    async def delete(request: Request, caller: Actor) -> Response:
        await run_in_threadpool(partial(keys.remove, path_id(request), by=caller.name, at=now()))
        return Response(status_code=204)

    async def give(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        key_id = path_id(request)
        body = await read_body(request, limit=MAX_PEM)
        refuse_content_type(request, PEM)
        wrapped = await run_in_threadpool(partial(transfer, key_id, body, by=caller.name, at=now()))
        return json_response(wrapped_form(wrapped))

    return [
        *collection(_PATH, KeyRequest, kbs_form, keys, guard=guard, now=now),
        GuardedRoute("GET", _ONE, retrieve, guard=guard, permission=KEYS_SEARCH),
        GuardedRoute("PUT", _ONE, update, guard=guard, permission=KEYS_UPDATE),
        GuardedRoute("DELETE", _ONE, delete, guard=guard, permission=KEYS_DELETE),
        GuardedRoute("POST", _ONE, give, guard=guard, permission=KEYS_TRANSFER),
    ]


def collection(
    path: str,
    reads: type[KeyRequest | OwnKeyRequest],
    form: Callable[[FoundKey], dict[str, object]],
    keys: ManagedKeys[Any],
    *,
    guard: Guard,
    now: Callable[[], datetime],
) -> list[GuardedRoute]:
    """Making a key and looking for some, in one family's bodies."""

    async def create(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        new = (await read_json(request, reads)).new_key()
        made = await run_in_threadpool(partial(keys.create, new, by=caller.name, at=now()))
        return json_response(form(made), status=201)

    async def search(request: Request, _: Actor) -> Response:
        refuse_media(request)
        given = query(request, _QUERY)
        asked = page(given)
        work = partial(keys.search.page, wanted_of(given), after=asked.after, limit=asked.read)
        return json_response([form(each) for each in asked.whole(await run_in_threadpool(work))])

    return [
        GuardedRoute("POST", path, create, guard=guard, permission=KEYS_CREATE),
        GuardedRoute("GET", path, search, guard=guard, permission=KEYS_SEARCH),
    ]


def wanted_of(given: dict[str, str]) -> Wanted:
    """Which keys a query asks for.

    Raises:
        Malformed: (`malformed-query`) by a kind that is not kept, or no id.
    """
    length, curve, algorithm = given.get("keyLength"), given.get("curveType"), given.get("algorithm")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 5):
        raise Malformed("keyLength is no number", code="malformed-query", seen=length[:32])
    if algorithm is not None and algorithm.upper() not in {"AES", "RSA", "EC", "OPAQUE"}:
        raise Malformed("there is no such algorithm", code="malformed-query", seen=algorithm[:32])
    policy_id = given.get("transferPolicyId")
    return Wanted(
        algorithm=None if algorithm is None else algorithm.upper(),
        bits=None if length is None else int(length),
        curve=None if curve is None else KeyKind.of("EC", curve=curve).curve,
        policy_id=None if policy_id is None else parse_key_id(policy_id),
    )
