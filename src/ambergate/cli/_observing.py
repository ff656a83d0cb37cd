"""What both services' commands do for those who watch them: the log, and the metrics' port."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.web.metrics import Metrics
    from ambergate.services.web.settings.observing import MetricsPlace, Traces
    from ambergate.services.web.spans import Spans


@contextlib.contextmanager
def telling_metrics(
    metrics: Metrics | None, place: MetricsPlace | None, number: int
) -> Iterator[tuple[str, int] | None]:
    """Tell them there until the end of the block; yields the address. None: they are not told.

    Args:
        metrics: what is told.
        place: where the first process of the service tells its own.
        number: which process this is, from 0: each has the port after that of the one before.

    Raises:
        SettingsError: the certificate cannot be used.
        Unavailable: the address is taken.
    """
    if metrics is None or place is None:
        yield None
        return
    from ambergate.services.web.certificates import Certificates
    from ambergate.services.web.metrics_server import serving_metrics
    from ambergate.services.web.server import bound_socket

    tls = None if place.tls is None else Certificates(place.tls)
    listener = bound_socket(place.host, place.port and place.port + number)
    host, port = listener.getsockname()[:2]
    with serving_metrics(metrics.text, listener, tls):
        yield str(host), int(port)


@contextlib.contextmanager
def sending_traces(service: str, traces: Traces) -> Iterator[Spans]:
    """Spans as the configuration has them, until the end of the block.

    Raises:
        SettingsError: they are to be sent, and the extra is not installed.
    """
    from ambergate.services.web.spans import UNTRACED

    if not traces.enabled:
        yield UNTRACED
        return
    import ambergate
    from ambergate.services.web.otel import recording

    with recording(service, ambergate.__version__, accept_traceparent=traces.accept_traceparent) as spans:
        yield spans


def metrics_told(address: tuple[str, int] | None) -> dict[str, object]:
    """Where metrics are told, as a member of what a service announces."""
    return {} if address is None else {"metrics": {"host": address[0], "port": address[1]}}
