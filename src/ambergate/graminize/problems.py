"""What is wrong with a manifest, one by one: where, what was seen, what is wanted, and why it matters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ambergate.graminize.schema import dotted


class Severity(StrEnum):
    """What a problem means."""

    ERROR = "error"  # it will not build, will not attest, or trusts what it must not
    WARNING = "warning"  # it works, in a way that somebody may not want
    CONVERTED = "converted"  # stock Gramine would refuse it; `amber manifest convert` mends it


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem.

    Attributes:
        rule: stable name of the rule that found it.
        severity: what it means.
        path: the key; empty where it is about the whole.
        line: the key's line in the file; None where it has none.
        message: what is wrong, without a secret.
        seen: what is there.
        wanted: what should be.
        why: what happens otherwise.
    """

    rule: str
    severity: Severity
    path: tuple[str | int, ...]
    line: int | None
    message: str
    seen: str
    wanted: str
    why: str

    @property
    def key(self) -> str:
        """The key as a manifest writes it."""
        return dotted(self.path)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready members."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "key": self.key,
            "line": self.line,
            "message": self.message,
            "seen": self.seen,
            "wanted": self.wanted,
            "why": self.why,
        }
