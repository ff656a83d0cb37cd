"""The tables of what a service tells of itself: its log, and its metrics."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from ambergate.core.errors import SettingsError
from ambergate.services.web.logs import Format, Level  # noqa: TC001  # msgspec reads the annotations
from ambergate.services.web.tls import TlsFiles

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPlace:
    """Where metrics are told. `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: TlsFiles | None


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`: the lines on standard error."""

    format: Annotated[Format, Meta(description="`text`, or `json`: one object a line.")] = "text"
    level: Annotated[Level, Meta(description="The lowest that is written: `debug`, `info`, `warning`, `error`.")] = (
        "info"
    )


class Traces(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[traces]`: to OpenTelemetry; where to, says its own environment (`OTEL_EXPORTER_OTLP_ENDPOINT`)."""

    enabled: Annotated[bool, Meta(description="Send them; takes the extra `otel`.")] = False
    accept_traceparent: Annotated[
        bool, Meta(description="Believe callers which trace a request belongs to, and whether it is sampled.")
    ] = False


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[metrics]`: where Prometheus may ask; see docs/metrics.md."""

    host: Annotated[
        str, Meta(description="Address; beyond this machine it takes TLS, or the words for going without.")
    ] = "127.0.0.1"
    port: Annotated[
        Annotated[int, Meta(ge=0, le=0xFFFF)] | None,
        Meta(description="TCP port; 0 takes a free one. Not given: nothing is told."),
    ] = None
    certificate: Annotated[str | None, Meta(description="File: certificate chain, PEM. Not given: plain HTTP.")] = None
    key: Annotated[str | None, Meta(description="File: its unencrypted private key, PEM.")] = None
    insecure_plain_http: Annotated[bool, Meta(description="Plain HTTP on an address that others reach.")] = False

    def place(self, folder: Path) -> MetricsPlace | None:
        """Where metrics are told; None: nowhere.

        Raises:
            SettingsError: certificate without key, or plain HTTP where others listen.
        """
        if (self.certificate is None) != (self.key is None):
            raise SettingsError("metrics.certificate and metrics.key belong together", wanted="both, or neither")
        tls = None
        if self.certificate is not None and self.key is not None:
            tls = TlsFiles(certificate=folder / self.certificate, key=folder / self.key)
        if tls is None and not self.insecure_plain_http and not _loopback(self.host):
            raise SettingsError(
                "metrics would be told in the clear",
                seen=self.host,
                wanted="127.0.0.1, or metrics.certificate and metrics.key",
                hint="insecure_plain_http = true goes without, in a network where nobody else listens",
            )
        return None if self.port is None else MetricsPlace(host=self.host, port=self.port, tls=tls)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
