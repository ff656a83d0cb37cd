"""Metrics for Prometheus: what both services count of their requests, their audit log and their database.

Names, labels and buckets are a promise (docs/metrics.md; a test compares). Labels have few values, whatever strangers
send: a request that meets no route has the route `other`, a method nobody knows the method `other`. No value of a label
is a secret, an API key or anything that a request holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily

import ambergate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Engine

    from ambergate.stores.audit import AuditLog

# Seconds. An attest request takes 0.3 to 6 ms of CPU; a body may take 30 s to arrive.
REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)
COMMIT_RECORDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
MAX_CODES: Final = 256  # of errors, a label; our code has fewer than half of them
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """A counter whose children are found by one look into a dictionary: that is a third of what `labels` costs.

    Args:
        name, text, labels: as Prometheus has them.
        registry: that it is told in.
        most: children at most; beyond, every label of a new one is `other`.
    """

    def __init__(
        self, name: str, text: str, labels: tuple[str, ...], *, registry: CollectorRegistry, most: int = 10_000
    ) -> None:
        self._counter = Counter(name, text, labels, registry=registry)
        self._most = most
        self._children: dict[tuple[str, ...], Counter] = {}

    def add(self, *values: str) -> None:
        """One more of these label values."""
        child = self._children.get(values)
        if child is None:
            if len(self._children) >= self._most:
                values = (OTHER,) * len(values)
            child = self._children[values] = self._counter.labels(*values)
        child.inc()


class Timings:
    """A histogram with one label, its children found as those of `Counts`."""

    def __init__(
        self, name: str, text: str, label: str, *, buckets: tuple[float, ...], registry: CollectorRegistry
    ) -> None:
        self._histogram = Histogram(name, text, (label,), buckets=buckets, registry=registry)
        self._children: dict[str, Histogram] = {}

    def observe(self, value: str, seconds: float) -> None:
        """One more of this label value took so long."""
        child = self._children.get(value)
        if child is None:
            child = self._children[value] = self._histogram.labels(value)
        child.observe(seconds)


class Metrics:
    """What every service counts. Each service adds its own to `registry`. Safe to use from several threads.

    Args:
        service: its name.
    """

    def __init__(self, service: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nothing here needs
        self.registry = CollectorRegistry(auto_describe=False)
        build = Gauge(
            "ambergate_build",
            "Which service and release this is; always 1.",
            ("service", "version"),
            registry=self.registry,
        )
        build.labels(service, ambergate.__version__).set(1)
        self._requests = Counts(
            "ambergate_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Timings(
            "ambergate_http_request_seconds",
            "From a request's head to the end of its answer.",
            "route",
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self._refused = Counts(
            "ambergate_http_errors",
            "Answers that were one of our errors, by its code.",
            ("code",),
            registry=self.registry,
            most=MAX_CODES,
        )
        self._in_flight = Gauge(
            "ambergate_http_requests_in_flight", "Requests that are being answered.", registry=self.registry
        )
        self._commit_seconds = Histogram(
            "ambergate_audit_commit_seconds",
            "One commit of the audit log, with its write to the disk.",
            buckets=COMMIT_SECONDS,
            registry=self.registry,
        )
        self._commit_records = Histogram(
            "ambergate_audit_commit_records", "Records of one commit.", buckets=COMMIT_RECORDS, registry=self.registry
        )
        self._commit_failures = Counter(
            "ambergate_audit_commit_failures",
            "Commits that failed: nothing was told of what they held.",
            registry=self.registry,
        )

        self._kept = _Kept()
        self.registry.register(self._kept)

    def began(self) -> None:
        """A request's head is here."""
        self._in_flight.inc()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._in_flight.dec()
        self._requests.add(method if method in METHODS else OTHER, route, str(status))
        self._seconds.observe(route, seconds)

    def refused(self, code: str) -> None:
        """An answer is one of our errors."""
        self._refused.add(code)

    def committed(self, records: int, seconds: float) -> None:
        """So many records of the audit log are durable. Fits `stores.audit.Watcher`."""
        self._commit_seconds.observe(seconds)
        self._commit_records.observe(records)

    def failed(self) -> None:
        """A commit of the audit log failed."""
        self._commit_failures.inc()

    def keeps(self, engine: Engine, audit: AuditLog) -> None:
        """Tell of this database and this audit log from now on."""
        self._kept.source = engine, audit
        audit.watch(self)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class _Kept:
    """What is read when somebody asks: the audit log's size and pin, the database's connections."""

    source: tuple[Engine, AuditLog] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, without a value before there is something to tell."""
        records = GaugeMetricFamily("ambergate_audit_records", "Records in the audit log, as this process knows it.")
        failing = GaugeMetricFamily(
            "ambergate_audit_checkpoint_failing", "1 while the checkpoint cannot be written to its file."
        )
        connections = GaugeMetricFamily(
            "ambergate_database_connections", "Connections to the database.", labels=("state",)
        )
        if self.source is not None:
            engine, audit = self.source
            records.add_metric((), audit.size)
            failing.add_metric((), int(audit.pin_failing))
            for state, name in (("in_use", "checkedout"), ("idle", "checkedin")):
                connections.add_metric((state,), getattr(engine.pool, name)())
        yield from (records, failing, connections)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The same: reading them costs nothing."""
        return self.collect()
