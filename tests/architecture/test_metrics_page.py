"""docs/metrics.md names every metric as the code has it: name, type, labels, words, buckets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily

from ambergate.services.attestation.metrics import AttestationMetrics
from ambergate.services.keybroker.metrics import BrokerMetrics
from ambergate.services.web.metrics import CONTENT_TYPE, Metrics
from ambergate.stores.engine import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


class Log:
    """An audit log as metrics see it."""

    size = 0
    pin_failing = False

    def watch(self, watcher: object) -> None:
        """Nothing."""


def rows(metrics: Metrics) -> Iterator[str]:
    """A line of the page for each of them."""
    for collector in metrics.registry._collector_to_names:
        described: Any = collector
        families = [described] if hasattr(described, "_labelnames") else list(described.collect())
        for family in families:
            yield row(family)


def row(family: Any) -> str:  # noqa: ANN401  two kinds of the library's, without a common parent
    name, kind = (family.name, "gauge") if isinstance(family, GaugeMetricFamily) else (family._name, family._type)
    name += "_total" if kind == "counter" else ""
    labels = ", ".join(f"`{label}`" for label in family._labelnames)
    words = family.documentation if isinstance(family, GaugeMetricFamily) else family._documentation
    if isinstance(family, Histogram):
        bounds = family._kwargs["buckets"]
        words += f" Buckets: {', '.join(f'{bound:g}' for bound in bounds)}."
    return f"| `{name}` | {kind} | {labels} | {words} |"


@pytest.fixture
def made(tmp_path: Path) -> tuple[AttestationMetrics, BrokerMetrics]:
    engine = open_database(tmp_path / "database.sqlite")
    attestation, broker = AttestationMetrics(), BrokerMetrics()
    for metrics in (attestation, broker):
        metrics.keeps(engine, Log())  # type: ignore[arg-type]  # as much of it as is looked at
    attestation.collateral_of([])
    engine.dispose()
    return attestation, broker


def test_the_page_names_every_metric_and_no_other(made: tuple[AttestationMetrics, BrokerMetrics]) -> None:
    expected = dict.fromkeys(line for metrics in made for line in rows(metrics))
    told = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `ambergate_")]
    assert sorted(told) == sorted(expected)


def test_names_are_prefixed_and_text_is_what_prometheus_reads(made: tuple[AttestationMetrics, BrokerMetrics]) -> None:
    for metrics in made:
        lines = metrics.text().decode().splitlines()
        assert lines
        assert all(line.startswith(("# HELP ambergate_", "# TYPE ambergate_", "ambergate_")) for line in lines)
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
