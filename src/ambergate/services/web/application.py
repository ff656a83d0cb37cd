"""Building a service's ASGI application from its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from ambergate.core.errors import AmberError
from ambergate.services.web.framing import Framing
from ambergate.services.web.problems import STATUSES, http_exception, problem_response, status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Lifespan


def build(
    routes: Sequence[BaseRoute],
    *,
    statuses: Sequence[tuple[type[AmberError], int]] = (),
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """An application whose every answer, errors too, has the common shape.

    Args:
        routes: what it answers.
        statuses: rows that stand before `problems.STATUSES` for this service.
        lifespan: what it opens and closes.
    """
    table = (*statuses, *STATUSES)

    async def amber_error(request: Request, exc: Exception) -> Response:
        del request
        assert isinstance(exc, AmberError)
        return problem_response(exc, status_of(exc, table))

    application = Starlette(
        routes=list(routes),
        middleware=[Middleware(Framing)],
        exception_handlers={AmberError: amber_error, HTTPException: http_exception},
        lifespan=lifespan,
    )
    application.router.redirect_slashes = False
    return application
