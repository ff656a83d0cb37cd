"""One table from our errors to HTTP answers; every error body is JSON with an `error` member.

Clients of this protocol read `error`, some `message` (API gateways say that); machines read `code` and the
rest. Nothing permanent answers 5xx: clients retry 500, 503 and 504.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.routing import Route

from ambergate.core.errors import (
    AmberError,
    Conflict,
    Malformed,
    MalformedCollateral,
    NotAuthorised,
    NotFound,
    NotGenuine,
    NotPermitted,
    NotWelcome,
    Refusal,
    ReleaseRefused,
    TimedOut,
    TokenRejected,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from ambergate.services.web.json_text import json_bytes
from ambergate.services.web.names import told_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.exceptions import HTTPException
    from starlette.requests import Request

_LOG = logging.getLogger("ambergate.web")

SLOW_REQUEST: Final = "request-too-slow"  # code of the `Malformed` that a body earns which does not arrive in time

# First match counts, so children stand before their parents. Malformed collateral is never the caller's
# doing.
STATUSES: Final[tuple[tuple[type[AmberError], int], ...]] = (
    (MalformedCollateral, 503),
    (Malformed, 400),
    (NotGenuine, 400),
    (NotWelcome, 400),
    (TokenRejected, 401),
    (NotPermitted, 403),
    (NotAuthorised, 401),
    (TooManyRequests, 429),
    (NotFound, 404),
    (Conflict, 400),  # this protocol knows no 409
    (ReleaseRefused, 403),
    (TooLarge, 413),
    (TimedOut, 504),
    (Unavailable, 503),
)


def json_response(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON, with its length announced."""
    return _JsonResponse(json_bytes(value), status, headers)


class _JsonResponse(Response):
    """Starlette's looks its headers over for what it should add; these are known."""

    def __init__(self, content: bytes, status: int, headers: Mapping[str, str] | None) -> None:
        self.status_code = status
        self.background = None
        self.body = content
        self.raw_headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]
        if headers:
            more = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
            self.raw_headers[:0] = more


def status_of(error: AmberError, statuses: Sequence[tuple[type[AmberError], int]] = STATUSES) -> int:
    """The HTTP status that stands for this error; 500 for kinds that are our own doing."""
    if error.code == SLOW_REQUEST:
        return 408
    return next((status for kind, status in statuses if isinstance(error, kind)), 500)


def text_of(error: AmberError) -> str:
    """The error in one line, for clients that show nothing but the `error` member."""
    if isinstance(error, NotGenuine):
        return f"{error.message} (step {error.step})"
    if isinstance(error, Refusal) and error.mismatches:
        return f"{error.message}: {'; '.join(_told(mismatch) for mismatch in error.mismatches)}"
    return error.message


def problem_response(error: AmberError, status: int) -> Response:
    """The answer to a request that ended in `error`.

    What the caller did is told in full. What is ours (5xx) is told by message and code: paths and addresses
    of the operator's network stay in the log.
    """
    if status == 500:
        _LOG.error("%s: %s", type(error).__name__, error.as_dict())
        return internal_error()
    text = text_of(error)
    if status > 500:
        _LOG.warning("%s: %s", type(error).__name__, error.as_dict())
        return json_response({"error": text, "code": error.code, **told_names()}, status=status)
    body = {"error": text, **error.as_dict(), **told_names()}
    del body["message"]
    if status in {401, 429} or isinstance(error, NotPermitted):
        body["message"] = text  # what the API gateways of this protocol answer with
    return json_response(body, status=status, headers=headers_of(error, status))


def headers_of(error: AmberError, status: int) -> dict[str, str]:
    """What an answer's headers say of the error."""
    if isinstance(error, TooManyRequests):
        return {"retry-after": str(error.retry_after)}
    return {"connection": "close"} if status in {408, 413} else {}  # the rest of the request was not read


def internal_error() -> Response:
    """The answer when the fault is ours and unforeseen: nothing but that."""
    return json_response({"error": "internal error", "code": "internal", **told_names()}, status=500)


async def http_exception(request: Request, exc: Exception) -> Response:
    """The framework's own refusals (no such route, method not allowed) in our shape."""
    http: HTTPException = exc  # type: ignore[assignment]  # registered for this class only
    words = {404: "there is nothing here", 405: "this method is not allowed here"}
    body = {
        "error": words.get(http.status_code, http.detail),
        "code": f"http-{http.status_code}",
        "seen": request.method,
        **told_names(),
    }
    headers = _allow(request) if http.status_code == 405 else http.headers
    return json_response(body, status=http.status_code, headers=headers)


def _told(mismatch: Mapping[str, str]) -> str:
    rule, seen, wanted = (mismatch.get(part, "") for part in ("rule", "seen", "wanted"))
    policy = f"policy {mismatch['policy_name']}: " if "policy_name" in mismatch else ""
    return f"{policy}{rule}: seen {seen}, wanted {wanted}"


def _allow(request: Request) -> dict[str, str]:
    """All methods of this path: each may have a route of its own, and the framework names those of the first."""
    path = request.scope["route"].path
    routes = [route for route in request.app.routes if isinstance(route, Route) and route.path == path]
    return {"allow": ", ".join(sorted({method for route in routes for method in route.methods or ()}))}
