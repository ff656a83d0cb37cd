"""Metrics of the attestation service beside those that every service has: decisions, policies, collateral."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily

from ambergate.core.errors import NotGenuine
from ambergate.services.attestation.ports import Keeper
from ambergate.services.web.metrics import Counts, Metrics, Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from ambergate.core.appraise.named import PolicyLanguage, PolicyOutcome
    from ambergate.services.attestation.decision import Decision
    from ambergate.services.attestation.ports import Audit, Holding
    from ambergate.services.attestation.usecase import Trust

# Seconds. A typed policy takes microseconds, one in Rego some milliseconds, and is cut off at its deadline.
POLICY_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
NONE: Final = "none"
_FAMILY: Final = ("anchor", "tee", "fmspc", "ca")


class AttestationMetrics(Metrics):
    """What the attestation service counts."""

    def __init__(self) -> None:
        super().__init__("attestation")
        self._decisions = Counts(
            "ambergate_attestations",
            "Decisions that are in the audit log.",
            ("verdict", "tee", "tcb_status"),
            registry=self.registry,
        )
        self._refusals = Counts(
            "ambergate_attestation_refusals",
            "Refusals, by code and by the verification's step.",
            ("code", "step"),
            registry=self.registry,
            most=1000,
        )
        self._tokens = Counts(
            "ambergate_tokens", "Tokens that were issued.", ("algorithm", "profile"), registry=self.registry
        )
        self._policies = Counts(
            "ambergate_policy_outcomes",
            "Evaluations of named policies.",
            ("language", "outcome"),
            registry=self.registry,
        )
        self._policy_seconds = Timings(
            "ambergate_policy_seconds",
            "One evaluation of a named policy; what is remembered is not evaluated.",
            "language",
            buckets=POLICY_SECONDS,
            registry=self.registry,
        )

        self._collateral = _Collateral()
        self.registry.register(self._collateral)

    def decided(self, decision: Decision) -> None:
        """A decision is in the audit log."""
        verified, error = decision.verified, decision.error
        tee = NONE if verified is None else verified.tee.name
        status = NONE if verified is None else verified.tcb_status.value
        self._decisions.add("issued" if error is None else "refused", tee, status)
        if error is None:
            self._tokens.add(decision.algorithm or NONE, NONE if decision.profile is None else decision.profile.value)
        else:
            self._refusals.add(error.code, error.step if isinstance(error, NotGenuine) else NONE)

    def judged(self, language: PolicyLanguage, outcome: PolicyOutcome, seconds: float | None) -> None:
        """A named policy was evaluated. `seconds`: how long that took; None: it was remembered."""
        told = "matched" if outcome.matched else "unmatched"
        if any(each.get("rule") == "policy" for each in outcome.mismatches):  # no rule of it said no
            told = "no-verdict"
        self._policies.add(language.value, told)
        if seconds is not None:
            self._policy_seconds.observe(language.value, seconds)

    def collateral_of(self, roots: Sequence[Trust]) -> None:
        """Tell of the collateral of these roots from now on, and of no others."""
        self._collateral.roots = roots


class CountedAudit:
    """An audit trail whose decisions are counted once they are durable. Fits `ports.Audit`."""

    def __init__(self, audit: Audit, metrics: AttestationMetrics) -> None:
        self._audit = audit
        self._metrics = metrics

    async def record(self, decision: Decision, /) -> None:
        """As the trail's."""
        await self._audit.record(decision)
        self._metrics.decided(decision)


class _Collateral:
    """What is read when somebody asks: the state of every family that is held (256 of a root at most)."""

    roots: Sequence[Trust] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        keepers = [(root.anchor.name, root.collateral) for root in self.roots if isinstance(root.collateral, Keeper)]
        held = [(name, holding) for name, keeper in keepers for holding in keeper.holdings()]
        for suffix, text, value in _TOLD:
            gauge = GaugeMetricFamily(f"ambergate_collateral_{suffix}", text, labels=_FAMILY)
            for name, holding in held:
                number, wanted = value(holding), holding.wanted
                if number is not None:
                    gauge.add_metric((name, wanted.tee, wanted.fmspc.hex(), wanted.ca), number)
            yield gauge

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The same: reading them costs little."""
        return self.collect()


def _instant(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


_TOLD: Final[tuple[tuple[str, str, Callable[[Holding], float | None]], ...]] = (
    ("accepted_timestamp_seconds", "When what is held was accepted.", lambda each: _instant(each.accepted)),
    ("end_timestamp_seconds", "When what is held ends.", lambda each: _instant(each.expires)),
    ("evaluation_number", "tcbEvaluationDataNumber of what is held.", lambda each: each.evaluation),
    ("refresh_failures", "How often in a row newer could not be had.", lambda each: each.failures),
    ("late", "1 while it is served although it has ended.", lambda each: int(each.late)),
)
