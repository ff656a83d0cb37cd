"""A draft tried over recorded attestations: whom would it cut off, and whom would it let in."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ambergate.core.appraise.named import Policy, PolicyEngine, PolicyOutcome

ISSUED: Final = "issued"  # the verdict of a record whose request got a token
MAX_GROUPS: Final = 10_000  # of keys and enclaves together; what is beyond counts as one
_NAMING: Final = ("sgx_mrenclave", "tdx_mrtd")


class Trial:
    """Counts what a draft makes of records."""

    def __init__(self, policy: Policy, engine: PolicyEngine) -> None:
        self._policy = policy
        self._engine = engine
        self.records = self.without_evidence = self.kept = self.refused_before = self.let_in = 0
        self.cut_off: Counter[tuple[str, str]] = Counter()  # key and measurement -> how many
        self.rules: Counter[str] = Counter()  # which rules cut off -> how many

    def run(self, records: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Look at every record.

        Raises:
            Malformed: a record is not of the expected form; says in which line.
        """
        for number, record in records:
            self.records += 1
            evidence = record.get("evidence")
            if evidence is None:
                self.without_evidence += 1  # refused before anything was proven: no policy has a say in that
                continue
            if not isinstance(evidence, dict) or "verdict" not in record:
                raise Malformed("a record is not of this form", seen=f"line {number}", wanted="evidence, at, verdict")
            outcome = self._engine.evaluate(self._policy, evidence, at=_instant(record.get("at"), number))
            self._count(record, outcome)

    def _count(self, record: dict[str, Any], outcome: PolicyOutcome) -> None:
        passed = record["verdict"] == ISSUED
        if outcome.matched:
            self.kept += passed
            self.let_in += not passed
        elif passed:
            group = (str(record.get("key_id") or "no key"), _named(record["evidence"]))
            self.cut_off[group if group in self.cut_off or len(self.cut_off) < MAX_GROUPS else ("others", "")] += 1
            self.rules.update({each["rule"] for each in outcome.mismatches})
        else:
            self.refused_before += 1

    def as_dict(self) -> dict[str, object]:
        """The counts, JSON-ready."""
        return {
            "records": self.records,
            "without_evidence": self.without_evidence,
            "kept": self.kept,
            "cut_off": self.cut_off.total(),
            "let_in": self.let_in,
            "still_refused": self.refused_before,
            "cut_off_by": [
                {"key_id": key, "measurement": name, "attestations": count}
                for (key, name), count in self.cut_off.most_common()
            ],
            "rules": dict(self.rules.most_common()),
        }

    def lines(self) -> list[str]:
        """The counts for a person."""
        lines = [
            f"{self.records} records, {self.without_evidence} of them without evidence",
            f"  kept            {self.kept}",
            f"  cut off         {self.cut_off.total()}",
            f"  still refused   {self.refused_before}",
            f"  not refused now {self.let_in}   (the policy matches; what refused them then may still)",
        ]
        if self.cut_off:
            lines.append("whom it cuts off:")
            lines += [f"  {count:6}  key {key}  {name}" for (key, name), count in self.cut_off.most_common(20)]
            lines.append("by which rules:")
            lines += [f"  {count:6}  {rule}" for rule, count in self.rules.most_common(20)]
        return lines


def _named(evidence: dict[str, object]) -> str:
    return next((str(evidence[name])[:96] for name in _NAMING if name in evidence), "unnamed")


def _instant(value: object, number: int) -> datetime:
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError as exc:
        raise Malformed("a record has no instant", seen=f"line {number}: {value!r}"[:100], wanted="at") from exc
    return when if when.tzinfo else when.replace(tzinfo=UTC)
