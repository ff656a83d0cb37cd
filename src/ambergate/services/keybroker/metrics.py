"""Metrics of the key broker beside those that every service has: releases and refusals of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.services.web.metrics import MAX_CODES, Counts, Metrics

if TYPE_CHECKING:
    from ambergate.services.keybroker.ports import Audit, Decision


class BrokerMetrics(Metrics):
    """What the key broker counts."""

    def __init__(self) -> None:
        super().__init__("keybroker")
        self._transfers = Counts(
            "ambergate_key_transfers",
            "Decisions about keys that are in the audit log.",
            ("verdict", "code"),
            registry=self.registry,
            most=MAX_CODES,
        )

    def decided(self, decision: Decision) -> None:
        """A decision is in the audit log."""
        if decision.error is None:
            self._transfers.add("released", "none")
        else:
            self._transfers.add("refused", decision.error.code)


class CountedAudit:
    """An audit trail whose decisions are counted once they are durable. Fits `ports.Audit`."""

    def __init__(self, audit: Audit, metrics: BrokerMetrics) -> None:
        self._audit = audit
        self._metrics = metrics

    def __call__(self, decision: Decision, /) -> None:
        """As the trail's."""
        self._audit(decision)
        self._metrics.decided(decision)
