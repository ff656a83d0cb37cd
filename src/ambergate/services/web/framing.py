"""What surrounds every request: trace id, request id, access log, and the net under unknown errors."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from typing import TYPE_CHECKING, Final

from ambergate.services.web.logs import fields
from ambergate.services.web.metrics import METHODS, OTHER
from ambergate.services.web.names import name_request, told_names
from ambergate.services.web.problems import internal_error, json_response
from ambergate.services.web.spans import UNTRACED, Spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ambergate.services.web.metrics import Metrics

_ACCESS = logging.getLogger("ambergate.access")
_LOG = logging.getLogger("ambergate.web")

# The expression that the clients of this protocol apply to their own request ids. It keeps quotes and control
# characters out of headers and logs.
_CODE: Final = "ambergate.code"  # in the scope: our code of the error that the answer is
REQUEST_ID: Final = re.compile(rb"[a-zA-Z0-9_ /.-]{1,128}")


class Framing:
    """ASGI middleware around the whole application.

    Response headers `trace-id` and `request-id` are lower case and no value holds a quote, because one
    deployed client turns the header block into JSON by replacing quotes. The access log names method, path,
    status, milliseconds and our code; never a header, a query or a body.

    Args:
        app: what is framed.
        route_of: the route of a scope that was served, one of few.
        metrics: counts requests; None: nobody does.
        spans: of each request, where somebody traces.
        trace_ids: gives a fresh id for each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        route_of: Callable[[Scope], str],
        metrics: Metrics | None = None,
        spans: Spans = UNTRACED,
        trace_ids: Callable[[], str] = lambda: os.urandom(16).hex(),
    ) -> None:
        self._app = app
        self._route_of = route_of
        self._metrics = metrics
        self._spans = spans
        self._trace_ids = trace_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; nothing but cancellation escapes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span = self._spans.begin(scope)
        exchange = _Exchange(scope, send, trace_id=self._trace_ids() if span is None else span.trace_id)
        started = asyncio.get_running_loop().time()
        if self._metrics is not None:
            self._metrics.began()
        name_request(None if exchange.request_id is None else exchange.request_id.decode(), exchange.trace_id)
        try:
            if exchange.malformed:
                await _refuse_request_id(scope, receive, exchange)
            else:
                await self._app(scope, receive, exchange.send)
        except Exception:  # noqa: BLE001  # the net: the caller learns nothing of it, the log everything
            _LOG.exception("unhandled error")
            if not exchange.status:
                await internal_error()(scope, receive, exchange.send)
        finally:
            seconds = asyncio.get_running_loop().time() - started
            exchange.log(seconds=seconds)
            if self._metrics is not None:
                self._count(scope, exchange.status, seconds)
            if span is not None:
                method, code = scope["method"], scope.get(_CODE)
                span.end(
                    method=method if method in METHODS else OTHER,
                    route=self._route_of(scope),
                    status=exchange.status,
                    code=code,
                )

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        assert self._metrics is not None
        self._metrics.ended(scope["method"], self._route_of(scope), status, seconds)
        code = scope.get(_CODE)
        if code is not None:
            self._metrics.refused(code)


def note_code(scope: Scope, code: str) -> None:
    """The answer to this request is the error of this code."""
    scope[_CODE] = code


class _Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, send: Send, *, trace_id: str) -> None:
        self._scope = scope
        self._send = send
        self.trace_id = trace_id
        given = _request_id(scope)
        self.malformed = given is not None and not REQUEST_ID.fullmatch(given)
        self.request_id = None if self.malformed else given
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one gets our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            headers.append((b"trace-id", self.trace_id.encode()))
            if self.request_id is not None:
                headers.append((b"request-id", self.request_id))
            for name, _ in headers:
                if name == b"cache-control":
                    break
            else:
                headers.append((b"cache-control", b"no-store"))
        await self._send(message)

    def log(self, *, seconds: float) -> None:
        """One event. The raw path is told, its percent-escapes as they were sent; no query, no header."""
        if not _ACCESS.isEnabledFor(logging.INFO):
            return
        path = self._scope.get("raw_path", b"").decode("ascii", "backslashreplace")
        told = fields(milliseconds=round(seconds * 1000, 2), code=self._scope.get(_CODE))
        _ACCESS.info("%s %s %d", self._scope["method"], path, self.status, extra=told)


def _request_id(scope: Scope) -> bytes | None:
    """The caller's request id; an empty one counts as none, because one client always sends the header."""
    for name, value in scope["headers"]:
        if name == b"request-id" and value:
            return bytes(value)
    return None


async def _refuse_request_id(scope: Scope, receive: Receive, exchange: _Exchange) -> None:
    body = {
        "error": "the request-id is malformed",
        "code": "malformed-request",
        "wanted": REQUEST_ID.pattern.decode(),
        **told_names(),
    }
    await json_response(body, status=400)(scope, receive, exchange.send)
