"""Spans: where a request's time goes, for who has the extra `otel` and asks for traces. Without it each costs a call.

A request is a span; within it the service marks `verify`, `policies`, `audit`, `sign`. `web/otel.py` records them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from starlette.types import Scope

_NOTHING = contextlib.nullcontext()


class Spans:
    """No spans: what a service has that nobody traces."""

    def within(self, name: str, /) -> AbstractContextManager[object]:
        """A part of what is done now."""
        del name
        return _NOTHING

    def begin(self, scope: Scope, /) -> RequestSpan | None:
        """The span of a request whose head is here; None: it has none."""
        del scope
        return None


UNTRACED: Final = Spans()


class RequestSpan(Protocol):
    """A request's span. `trace_id` is 32 hexadecimal digits, and the request's name in logs, headers and errors."""

    trace_id: str

    def end(self, *, method: str, route: str, status: int, code: str | None) -> None:
        """The request was answered."""
        ...
