"""Who may ask what: every route of the management surface names one permission, or none but a good token.

A route that is not made here is open to everybody; `tests/integration/keybroker/test_access.py` lists those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route

from ambergate.core.errors import NotAuthorised, NotFound, NotPermitted
from ambergate.services.keybroker.users import Actor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from ambergate.services.keybroker.admin_place import Listening
    from ambergate.services.keybroker.bearer import BearerTokens
    from ambergate.stores.users import User, UserStore

_SCHEME: Final = "bearer"


class Guard:
    """Lets a request pass whose bearer token is good and whose user has the permission, as the database has it now.

    Args:
        users: who there is.
        tokens: reads them.
        now: the clock, aware.
    """

    def __init__(self, users: UserStore, tokens: BearerTokens, *, now: Callable[[], datetime]) -> None:
        self._users = users
        self._tokens = tokens
        self._now = now

    async def __call__(self, request: Request, permission: str | None) -> Actor:
        """Who asks.

        Args:
            request: the request; its Authorization header is looked at.
            permission: what the user must be allowed; None: any user may.

        Raises:
            NotAuthorised: no token, or none that is good.
            NotPermitted: the user may do other things.
            Unavailable: the database does not answer.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _SCHEME:
            hint = "get a token from POST /kbs/v1/token, and send it as Authorization: Bearer"
            raise NotAuthorised("a bearer token is needed", code="no-bearer-token", hint=hint)
        user = await run_in_threadpool(self._user, token.strip())
        if permission is not None and permission not in user.permissions:
            seen = f"a user who may {', '.join(sorted(user.permissions))}"
            raise NotPermitted("the user may not do this", seen=seen, wanted=permission)
        return Actor(user.username, user.permissions, user.id)

    def _user(self, token: str) -> User:
        bearer = self._tokens.read(token, at=self._now())
        try:
            user = self._users.get(bearer.user_id)
        except NotFound as exc:
            raise _ended() from exc
        if user.generation != bearer.generation:
            raise _ended()
        return user


class ManagementRoute(Route):
    """A route that is there only for requests of one listener, where there is one for management.

    Args:
        method: of HTTP.
        path: of the route.
        endpoint: answers. It is asked here and not where routes are matched: fixed paths are found in a shorter way.
    """

    def __init__(self, method: str, path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        async def placed(request: Request) -> Response:
            if self.listening is not None and not self.listening.got(request.scope):
                raise HTTPException(404)
            return await endpoint(request)

        super().__init__(path, placed, methods=[method])
        self.listening: Listening | None = None


class GuardedRoute(ManagementRoute):
    """A route that serves one method to users with one permission.

    Args:
        method: of HTTP.
        path: of the route.
        handle: called with the request and who sends it.
        guard: looks at the request first; nothing of it is read before.
        permission: what the user must be allowed; None: any user may.
    """

    def __init__(
        self,
        method: str,
        path: str,
        handle: Callable[[Request, Actor], Awaitable[Response]],
        *,
        guard: Guard,
        permission: str | None,
    ) -> None:
        async def endpoint(request: Request) -> Response:
            return await handle(request, await guard(request, permission))

        super().__init__(method, path, endpoint)
        self.permission = permission


def _ended() -> NotAuthorised:
    return NotAuthorised("the bearer token was ended", code="bad-bearer-token", hint="log in again")
