"""What was found: each with a stable name, what was seen, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Weight(StrEnum):
    """What a finding means for SGX with DCAP on this host."""

    GOOD = "good"
    NOTE = "note"  # nothing to do
    WARNING = "warning"  # it works, or may, in a way that somebody may not want
    MISSING = "missing"  # without it there are no quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        id: stable name, such as `cpu.flags`.
        weight: what it means.
        message: what was found.
        seen: what it was seen by.
        remedy: what to do; empty where nothing is to be done.
    """

    id: str
    weight: Weight
    message: str
    seen: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """JSON-ready members."""
        return {
            "id": self.id,
            "weight": self.weight.value,
            "message": self.message,
            "seen": self.seen,
            "remedy": self.remedy,
        }


def good(name: str, message: str, seen: object = "") -> Finding:
    """All is well."""
    return Finding(id=name, weight=Weight.GOOD, message=message, seen=str(seen))


def note(name: str, message: str, seen: object = "", remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(id=name, weight=Weight.NOTE, message=message, seen=str(seen), remedy=remedy)


def warning(name: str, message: str, seen: object, remedy: str) -> Finding:
    """Worth looking at."""
    return Finding(id=name, weight=Weight.WARNING, message=message, seen=str(seen), remedy=remedy)


def missing(name: str, message: str, seen: object, remedy: str) -> Finding:
    """It stands in the way."""
    return Finding(id=name, weight=Weight.MISSING, message=message, seen=str(seen), remedy=remedy)
