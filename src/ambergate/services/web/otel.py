"""Spans to OpenTelemetry: OTLP over HTTP, configured by its own environment (`OTEL_EXPORTER_OTLP_ENDPOINT` and others).

A span holds names, numbers and codes: the route, the status, our error code. Nothing that a request holds. A caller's
`traceparent` (W3C Trace Context) is believed only where the configuration says so: it names the trace, and whether it
is sampled.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError
from ambergate.services.web.spans import RequestSpan, Spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span
    from starlette.types import Scope

MAX_TRACEPARENT: Final = 55  # characters: W3C Trace Context, 2.2.2, version 00


@contextlib.contextmanager
def recording(service: str, version: str, *, accept_traceparent: bool) -> Iterator[Spans]:
    """Spans that are sent until the end of the block; what waits is sent then.

    Args:
        service: its name, unless `OTEL_SERVICE_NAME` says another.
        version: its release.
        accept_traceparent: whether callers may name the trace.

    Raises:
        SettingsError: the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as exc:
        raise SettingsError("traces need OpenTelemetry", seen=str(exc), hint="pip install 'ambergate[otel]'") from exc
    told = Resource.create({"service.name": f"ambergate-{service}", "service.version": version})
    provider = TracerProvider(resource=told.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield RecordedSpans(provider, accept_traceparent=accept_traceparent)
    finally:
        provider.shutdown()


class RecordedSpans(Spans):
    """Spans of this provider."""

    def __init__(self, provider: TracerProvider, *, accept_traceparent: bool) -> None:
        self._tracer = provider.get_tracer("ambergate")
        self._accept = accept_traceparent

    def within(self, name: str, /) -> AbstractContextManager[object]:
        """A child of the span that is current in this task or thread."""
        return self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)

    def begin(self, scope: Scope, /) -> RequestSpan:
        """A request's span, current in its task from now on."""
        from opentelemetry import context, trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        parent = context.Context()
        if self._accept:
            given = [value for name, value in scope["headers"] if name == b"traceparent"]
            if len(given) == 1 and len(given[0]) <= MAX_TRACEPARENT:
                carrier = {"traceparent": given[0].decode("latin-1")}
                parent = TraceContextTextMapPropagator().extract(carrier, context=parent)
        span = self._tracer.start_span("request", context=parent, kind=trace.SpanKind.SERVER)
        context.attach(trace.set_span_in_context(span, parent))
        return _Recorded(span)


class _Recorded(RequestSpan):
    def __init__(self, span: Span) -> None:
        self._span = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def end(self, *, method: str, route: str, status: int, code: str | None) -> None:
        """The names are those of OpenTelemetry's semantic conventions for HTTP."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        )
        if code is not None:
            self._span.set_attribute("error.type", code)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
