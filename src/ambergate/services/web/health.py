"""`GET /healthz`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from ambergate.core.errors import AmberError
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

_LOG = logging.getLogger("ambergate.web")


def health_route(
    checks: Mapping[str, Callable[[], object]] | None = None, facts: Callable[[], Mapping[str, object]] | None = None
) -> Route:
    """A route that answers 200 when every check returns and 503 when one raises one of our errors.

    Args:
        checks: name -> something quick; run in a thread, because it may touch a disk.
        facts: more members of a 200, run in a thread too. Anybody may ask: nothing that strangers must not know.
    """

    async def healthz(request: Request) -> Response:
        del request
        failing = [name for name, check in (checks or {}).items() if not await run_in_threadpool(_holds, name, check)]
        if failing:
            return json_response({"error": f"not healthy: {', '.join(failing)}", "code": "unhealthy"}, status=503)
        told = {} if facts is None else await run_in_threadpool(facts)
        return json_response({"status": "ok", **told})

    return Route("/healthz", healthz, methods=["GET"])


def _holds(name: str, check: Callable[[], object]) -> bool:
    try:
        check()
    except AmberError as error:
        _LOG.warning("health check %s fails: %s", name, error.as_dict())
        return False
    return True
