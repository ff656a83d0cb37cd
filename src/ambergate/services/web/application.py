"""Building a service's ASGI application from its routes."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request

from ambergate.core.errors import AmberError
from ambergate.services.web.framing import Framing, note_code
from ambergate.services.web.metrics import OTHER
from ambergate.services.web.problems import STATUSES, http_exception, problem_response, status_of
from ambergate.services.web.spans import UNTRACED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import Lifespan, Receive, Scope, Send

    from ambergate.services.web.gate import Gate
    from ambergate.services.web.metrics import Metrics
    from ambergate.services.web.spans import Spans

    Endpoint = Callable[[Request], Awaitable[Response]]
    ExceptionHandler = Callable[[Request, Exception], Awaitable[Response]]


def build(
    routes: Sequence[Route],
    *,
    statuses: Sequence[tuple[type[AmberError], int]] = (),
    lifespan: Lifespan[Starlette] | None = None,
    metrics: Metrics | None = None,
    spans: Spans = UNTRACED,
    gate: Gate | None = None,
) -> Starlette:
    """An application whose every answer, errors too, has the common shape.

    Args:
        routes: what it answers.
        statuses: rows that stand before `problems.STATUSES` for this service.
        lifespan: what it opens and closes.
        metrics: counts its requests; None: nobody does.
        spans: of its requests, where somebody traces.
        gate: stands before every route; None: nothing does.
    """
    table = (*statuses, *STATUSES)

    async def amber_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, AmberError)
        note_code(request.scope, exc.code)
        return problem_response(exc, status_of(exc, table))

    handlers = {AmberError: amber_error, HTTPException: http_exception}
    return _Application(routes, handlers, lifespan, metrics, spans, gate)


class _Application(Starlette):
    """Starlette's, with a shorter way to those of its routes whose path is fixed.

    There a request is found by method and path, in one look, and answered by the same endpoint within the same
    framing. Starlette asks each route in turn, and wraps each request six times: that is a third of what an attest
    request takes without its signatures. Whatever is not found so (a parameter in the path, another method, nothing)
    goes its way.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        handlers: Mapping[type[Exception], ExceptionHandler],
        lifespan: Lifespan[Starlette] | None,
        metrics: Metrics | None,
        spans: Spans,
        gate: Gate | None,
    ) -> None:
        names = RouteNames(routes)
        super().__init__(
            routes=list(routes),
            middleware=[
                Middleware(Framing, route_of=names, metrics=metrics, spans=spans),
                *([] if gate is None else [Middleware(gate.before)]),
            ],
            exception_handlers=handlers,
            lifespan=lifespan,
        )
        self.router.redirect_slashes = False
        self._handlers = handlers
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        for route in routes:
            if not route.param_convertors and iscoroutinefunction(route.endpoint):
                for method in (route.methods or set()) - {"HEAD"}:
                    self._fixed.setdefault((method, route.path), route.endpoint)
        answer = self._answer if gate is None else gate.before(self._answer)
        self._framed = Framing(answer, route_of=names, metrics=metrics, spans=spans)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life."""
        if scope["type"] == "http" and (scope["method"], scope["path"]) in self._fixed:
            await self._framed(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._fixed[scope["method"], scope["path"]](request)
        except (AmberError, HTTPException) as exc:
            kind = AmberError if isinstance(exc, AmberError) else HTTPException
            response = await self._handlers[kind](request, exc)
        await response(scope, receive, send)


class RouteNames:
    """The route that a request was served by, as the table of routes spells it; `other` when none was.

    Args:
        routes: the table.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._plain = frozenset(route.path for route in routes if "{" not in route.path)
        self._patterns = {route.endpoint: route.path for route in routes if "{" in route.path}

    def __call__(self, scope: Scope) -> str:
        """One of the routes' paths, or `other`, whatever was asked for."""
        if scope["path"] in self._plain:
            return str(scope["path"])
        endpoint = scope.get("endpoint")
        return OTHER if endpoint is None else self._patterns.get(endpoint, OTHER)
