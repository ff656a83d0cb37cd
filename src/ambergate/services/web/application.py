"""Building a service's ASGI application from its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from ambergate.core.errors import AmberError
from ambergate.services.web.framing import Framing, note_code
from ambergate.services.web.metrics import OTHER
from ambergate.services.web.problems import STATUSES, http_exception, problem_response, status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import Lifespan, Scope

    from ambergate.services.web.metrics import Metrics


def build(
    routes: Sequence[Route],
    *,
    statuses: Sequence[tuple[type[AmberError], int]] = (),
    lifespan: Lifespan[Starlette] | None = None,
    metrics: Metrics | None = None,
) -> Starlette:
    """An application whose every answer, errors too, has the common shape.

    Args:
        routes: what it answers.
        statuses: rows that stand before `problems.STATUSES` for this service.
        lifespan: what it opens and closes.
        metrics: counts its requests; None: nobody does.
    """
    table = (*statuses, *STATUSES)

    async def amber_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, AmberError)
        note_code(request.scope, exc.code)
        return problem_response(exc, status_of(exc, table))

    application = Starlette(
        routes=list(routes),
        middleware=[Middleware(Framing, route_of=RouteNames(routes), metrics=metrics)],
        exception_handlers={AmberError: amber_error, HTTPException: http_exception},
        lifespan=lifespan,
    )
    application.router.redirect_slashes = False
    return application


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
