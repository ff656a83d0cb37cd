"""`/broker/v1/policy-changes`: other policies for keys whose owners must approve.

Owners are keys and no users: whose approval counts, the policy says that the key is under. Who hands one in, and who
proposes or withdraws, needs the permission to put keys under other policies.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ambergate.core.errors import Conflict, Malformed, MalformedToken, NotFound, TokenRejected
from ambergate.core.release.kbs_form import from_kbs
from ambergate.core.release.owners import MAX_APPROVAL
from ambergate.services.keybroker.access import GuardedRoute
from ambergate.services.keybroker.change_wire import (
    ApprovalRequest,
    ChangeRequest,
    change_form,
    standing_form,
    whole_change,
)
from ambergate.services.keybroker.permissions import KEYS_SEARCH, KEYS_UPDATE
from ambergate.services.keybroker.policy_routes import MAX_DOCUMENT
from ambergate.services.keybroker.requests import page, path_id, query, read_json, refuse_media
from ambergate.services.keybroker.wire import parse_key_id
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from starlette.requests import Request

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.access import Guard
    from ambergate.services.keybroker.policy_changes import PolicyChanges, Standing
    from ambergate.services.keybroker.users import Actor

_PATH: Final = "/broker/v1/policy-changes"
_ONE: Final = f"{_PATH}/{{id}}"


def change_routes(
    changes: Callable[[str], PolicyChanges[Any]], guard: Guard, now: Callable[[], datetime]
) -> list[GuardedRoute]:
    """Policy changes, by the user of a name, for whoever has the permission."""

    async def propose(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        body = await read_json(request, ChangeRequest, limit=MAX_DOCUMENT)
        key_id, policy, lifetime = parse_key_id(body.key_id), from_kbs(body.policy), timedelta(days=body.days)
        work = partial(_proposed, changes(caller.name), key_id, policy, at=now(), lifetime=lifetime)
        return json_response(await run_in_threadpool(work), status=201)

    async def search(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        asked = page(query(request, ("after", "limit")))
        work = partial(changes(caller.name).store.page, after=asked.after, limit=asked.read)
        return json_response([change_form(each) for each in asked.whole(await run_in_threadpool(work))])

    async def retrieve(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        return json_response(await run_in_threadpool(_shown, changes(caller.name), str(path_id(request))))

    async def approve(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        change_id = path_id(request)
        body = await read_json(request, ApprovalRequest, limit=2 * MAX_APPROVAL)
        work = partial(_approved, changes(caller.name), change_id, body.approval, at=now())
        return json_response({"id": str(change_id), **standing_form(await run_in_threadpool(work))})

    async def withdraw(request: Request, caller: Actor) -> Response:
        await run_in_threadpool(partial(changes(caller.name).withdraw, str(path_id(request)), at=now()))
        return Response(status_code=204)

    return [
        GuardedRoute("POST", _PATH, propose, guard=guard, permission=KEYS_UPDATE),
        GuardedRoute("GET", _PATH, search, guard=guard, permission=KEYS_SEARCH),
        GuardedRoute("GET", _ONE, retrieve, guard=guard, permission=KEYS_SEARCH),
        GuardedRoute("DELETE", _ONE, withdraw, guard=guard, permission=KEYS_UPDATE),
        GuardedRoute("POST", f"{_ONE}/approvals", approve, guard=guard, permission=KEYS_UPDATE),
    ]


def _proposed(
    use: PolicyChanges[Any], key_id: UUID, policy: ResourcePolicy, *, at: datetime, lifetime: timedelta
) -> dict[str, object]:
    try:
        pending = use.propose(key_id, policy, at=at, lifetime=lifetime)
    except NotFound as exc:  # of what the path names there is something
        raise Conflict(exc.message, code=exc.code, seen=exc.seen) from exc
    return _shown(use, pending.change.id)


def _shown(use: PolicyChanges[Any], change_id: str) -> dict[str, object]:
    pending = use.store.find(change_id)
    return whole_change(pending, use.asked(pending.change), use.standing(pending.change))


def _approved(use: PolicyChanges[Any], change_id: UUID, approval: str, *, at: datetime) -> Standing:
    """What the approval made of the change. One that is none is a bad body, and no question of who sends it."""
    try:
        return use.approve(str(change_id), approval, at=at)
    except (MalformedToken, TokenRejected) as exc:
        raise Malformed(exc.message, code=exc.code, seen=exc.seen, wanted=exc.wanted, hint=exc.hint) from exc
