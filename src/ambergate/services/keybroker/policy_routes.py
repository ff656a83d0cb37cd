"""`/kbs/v1/key-transfer-policies`, as Intel's Key Broker Service has them; any release policy, as `release_policy`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ambergate.core.release.resource_policy import MAX_POLICY_SIZE
from ambergate.services.keybroker.access import GuardedRoute
from ambergate.services.keybroker.permissions import POLICIES_CREATE, POLICIES_DELETE, POLICIES_SEARCH
from ambergate.services.keybroker.requests import page, path_id, query, read_json, refuse_media
from ambergate.services.keybroker.wire import instant
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request

    from ambergate.services.keybroker.access import Guard
    from ambergate.services.keybroker.policies import Policies
    from ambergate.services.keybroker.users import Actor
    from ambergate.stores.key_policies import KeyPolicy

_PATH: Final = "/kbs/v1/key-transfer-policies"
_ONE: Final = f"{_PATH}/{{id}}"
MAX_DOCUMENT: Final = 4 * MAX_POLICY_SIZE  # bytes of so many characters


def policy_routes(policies: Policies, guard: Guard, now: Callable[[], datetime]) -> list[GuardedRoute]:
    """Release policies, for whoever has the permission."""

    async def create(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        document = await read_json(request, dict[str, object], limit=MAX_DOCUMENT)
        made = await run_in_threadpool(partial(policies.submit, document, by=caller.name, at=now()))
        return json_response(shown(made), status=201)

    async def search(request: Request, _: Actor) -> Response:
        refuse_media(request)
        asked = page(query(request, ("after", "limit")))
        found = await run_in_threadpool(partial(policies.store.page, after=asked.after, limit=asked.read))
        return json_response([shown(each) for each in asked.whole(found)])

    async def retrieve(request: Request, _: Actor) -> Response:
        refuse_media(request)
        return json_response(shown(await run_in_threadpool(policies.store.get, path_id(request))))

    async def delete(request: Request, caller: Actor) -> Response:
        await run_in_threadpool(partial(policies.remove, path_id(request), by=caller.name, at=now()))
        return Response(status_code=204)

    return [
        GuardedRoute("POST", _PATH, create, guard=guard, permission=POLICIES_CREATE),
        GuardedRoute("GET", _PATH, search, guard=guard, permission=POLICIES_SEARCH),
        GuardedRoute("GET", _ONE, retrieve, guard=guard, permission=POLICIES_SEARCH),
        GuardedRoute("DELETE", _ONE, delete, guard=guard, permission=POLICIES_DELETE),
    ]


def shown(policy: KeyPolicy) -> dict[str, object]:
    """The policy as it came, with its id."""
    return {"id": str(policy.id), "created_at": instant(policy.created_at), **json.loads(policy.document)}
