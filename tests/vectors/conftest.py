"""The real quotes and collateral: found through AMBER_VECTORS, skipped with the reason where they are absent."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ambergate.core.collateral.bundle import Collateral

ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("AMBER_VECTORS", str(ROOT / ".." / "shared" / "vectors")))
ABSENT = f"no vectors at {VECTORS}: set AMBER_VECTORS"


@dataclass(frozen=True)
class Vector:
    """One entry of the index."""

    entry: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def raw(self) -> bytes:
        return (VECTORS / f"{self.name}.quote").read_bytes()

    @property
    def collateral(self) -> Collateral:
        return Collateral.from_json((VECTORS / str(self.entry["collateral"])).read_text())

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(str(self.entry["verify_at"]))

    @property
    def ours(self) -> dict[str, Any]:
        outcome = self.entry["ours"]
        assert isinstance(outcome, dict)
        return outcome


def vectors() -> list[Vector]:
    """All vectors, or none where they are absent."""
    index = VECTORS / "index.json"
    if not index.is_file():
        return []
    return [Vector(entry) for entry in json.loads(index.read_text())]
