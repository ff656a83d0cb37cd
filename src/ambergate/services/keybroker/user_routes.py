"""`/kbs/v1/token` and `/kbs/v1/users`, as Intel's Key Broker Service has them.

Below `/broker/v1` is ours: a user's own password and tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ambergate.core.errors import Conflict, Malformed, NotAuthorised, NotFound
from ambergate.services.keybroker.access import GuardedRoute, ManagementRoute
from ambergate.services.keybroker.permissions import USERS_CREATE, USERS_DELETE, USERS_SEARCH, USERS_UPDATE
from ambergate.services.keybroker.requests import JWT, path_id, query, read_json, refuse_media
from ambergate.services.keybroker.user_wire import PasswordRequest, TokenRequest, UserRequest, UserResponse
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from starlette.requests import Request

    from ambergate.services.keybroker.access import Guard
    from ambergate.services.keybroker.login import Login
    from ambergate.services.keybroker.users import Actor, Users

MAX_BODY: Final = 16 * 1024  # bytes; the longest name, password and every permission take below 2 KiB
_PATH: Final = "/kbs/v1/users"
_ONE: Final = f"{_PATH}/{{id}}"
_HSTS: Final = {"strict-transport-security": "max-age=63072000; includeSubDomains"}  # as there


def token_route(login: Login, now: Callable[[], datetime]) -> ManagementRoute:
    """`POST /kbs/v1/token`: the bare token as text."""

    async def token(request: Request) -> Response:
        refuse_media(request, JWT)
        body = await read_json(request, TokenRequest, limit=MAX_BODY)
        address = "" if request.client is None else request.client.host
        work = partial(login, body.username, body.password, address=address, at=now())
        return Response(await run_in_threadpool(work), media_type=JWT, headers=_HSTS)

    return ManagementRoute("POST", "/kbs/v1/token", token)


def user_routes(users: Users, guard: Guard, now: Callable[[], datetime]) -> list[GuardedRoute]:
    """Users, for whoever has the permission."""

    async def create(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        body = await read_json(request, UserRequest, limit=MAX_BODY)
        if not body.username or not body.password or not body.permissions:
            wanted = "username, password and permissions"
            raise Malformed("a user is made of three things", code="malformed-request", wanted=wanted)
        work = partial(users.create, body.username, body.password, body.permissions, by=caller, at=now())
        return json_response(UserResponse.of(await run_in_threadpool(work)), status=201)

    async def search(request: Request, _: Actor) -> Response:
        refuse_media(request)
        name = query(request, ("username",)).get("username")
        found = await run_in_threadpool(users.store.all if name is None else partial(users.store.named, name))
        several = found if isinstance(found, tuple) else (found,)
        return json_response([UserResponse.of(each) for each in several if each is not None])

    async def retrieve(request: Request, _: Actor) -> Response:
        refuse_media(request)
        return json_response(UserResponse.of(await run_in_threadpool(users.store.get, path_id(request))))

    async def update(request: Request, caller: Actor) -> Response:
        refuse_media(request)
        user_id = path_id(request)
        body = await read_json(request, UserRequest, limit=MAX_BODY)
        given = {
            name: value
            for name, value in (("username", body.username), ("password", body.password))
            if value  # an empty one says nothing, as there
        }
        work = partial(users.update, user_id, by=caller, at=now(), permissions=body.permissions or None, **given)
        try:
            user = await run_in_threadpool(work)
        except NotFound as exc:  # this protocol knows no 404 here
            raise Conflict(exc.message, code=exc.code, seen=exc.seen, hint=exc.hint) from exc
        return json_response(UserResponse.of(user), status=201)

    async def delete(request: Request, caller: Actor) -> Response:
        await run_in_threadpool(partial(users.remove, path_id(request), by=caller, at=now()))
        return Response(status_code=204)

    return [
        GuardedRoute("POST", _PATH, create, guard=guard, permission=USERS_CREATE),
        GuardedRoute("GET", _PATH, search, guard=guard, permission=USERS_SEARCH),
        GuardedRoute("GET", _ONE, retrieve, guard=guard, permission=USERS_SEARCH),
        GuardedRoute("PUT", _ONE, update, guard=guard, permission=USERS_UPDATE),
        GuardedRoute("DELETE", _ONE, delete, guard=guard, permission=USERS_DELETE),
    ]


def own_routes(users: Users, login: Login, guard: Guard, now: Callable[[], datetime]) -> list[GuardedRoute]:
    """What every user may do about themselves: set a password, knowing the old one, and end their tokens."""

    async def password(request: Request, caller: Actor) -> Response:
        body = await read_json(request, PasswordRequest, limit=MAX_BODY)
        address = "" if request.client is None else request.client.host
        work = partial(_set_own, users, login, caller, body, address=address, at=now())
        await run_in_threadpool(work)
        return Response(status_code=204)

    async def end_tokens(_: Request, caller: Actor) -> Response:
        await run_in_threadpool(partial(users.end_tokens, _own_id(caller), by=caller, at=now()))
        return Response(status_code=204)

    return [
        GuardedRoute("PUT", "/broker/v1/password", password, guard=guard, permission=None),
        GuardedRoute("DELETE", "/broker/v1/tokens", end_tokens, guard=guard, permission=None),
    ]


def _own_id(caller: Actor) -> UUID:
    """Of a user who came by HTTP."""
    assert caller.user_id is not None
    return caller.user_id


def _set_own(users: Users, login: Login, caller: Actor, body: PasswordRequest, *, address: str, at: datetime) -> None:
    """The old password is looked at as a login is, so that whoever found a token cannot guess at it for long."""
    try:
        login(caller.name, body.old_password, address=address, at=at)
    except NotAuthorised as exc:
        raise NotAuthorised("the old password is wrong", code=exc.code) from exc
    users.update(_own_id(caller), by=caller, at=at, password=body.new_password)
