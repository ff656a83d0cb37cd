"""What is verified: a genuine quote where there are vectors, else one of the software platform."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.verify import TrustAnchor
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from typing import Any

_PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A quote that is genuine at an instant, and all that it takes to see that."""

    raw: bytes
    collateral: Collateral
    at: datetime
    anchor: TrustAnchor
    root_der: bytes | None  # of the software platform; None: Intel's
    description: str


def find_evidence() -> Evidence:
    """The first genuine vector in the directory AMBER_VECTORS, or a fresh software platform's quote."""
    directory = Path(os.environ.get("AMBER_VECTORS", _PROJECT / ".." / "shared" / "vectors"))
    index = directory / "index.json"
    if not index.is_file():
        return _simulated()
    entries: list[dict[str, Any]] = json.loads(index.read_text(encoding="utf-8"))
    return _genuine(directory, next(entry for entry in entries if _fits(entry)))


def _fits(entry: dict[str, Any]) -> bool:
    genuine = entry["ours"]["outcome"] == "genuine" and entry["expected_error"] is None
    return genuine and entry["tee"] == "SGX" and entry["version"] == 3 and entry["tcb_info_version"] == 3


def _genuine(directory: Path, entry: dict[str, Any]) -> Evidence:
    raw = (directory / f"{entry['name']}.quote").read_bytes()
    return Evidence(
        raw=raw,
        collateral=Collateral.from_json((directory / entry["collateral"]).read_text(encoding="utf-8")),
        at=datetime.fromisoformat(entry["verify_at"]),
        anchor=TrustAnchor.intel(),
        root_der=None,
        description=f"genuine, {len(raw)} bytes ({entry['name']})",
    )


def _simulated() -> Evidence:
    at = datetime.now(UTC)
    platform = SimulatedPlatform.create(at=at)
    raw = platform.quote(SPECIMEN, bytes(64))
    return Evidence(
        raw=raw,
        collateral=platform.collateral(at=at),
        at=at,
        anchor=TrustAnchor.from_pem(platform.root_pem),
        root_der=x509.load_pem_x509_certificate(platform.root_pem.encode()).public_bytes(Encoding.DER),
        description=f"simulated, {len(raw)} bytes (no vectors: set AMBER_VECTORS)",
    )
