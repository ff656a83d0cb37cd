"""What is mutated: genuine vectors where there are any, and evidence of simulated platforms with keys to re-sign."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.bundle import Collateral

if TYPE_CHECKING:
    from typing import Any

    from cryptography.hazmat.primitives.asymmetric import ec

    from ambergate.core.quote import Quote
    from ambergate.simulator.platform import SimulatedPlatform
    from ambergate.simulator.publication import Publication

_PROJECT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maker:
    """Everything that a simulated specimen was made of, so that a mutant of it can be signed again."""

    platform: SimulatedPlatform
    publication: Publication
    quote: Quote
    attestation_key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Specimen:
    """A quote that some verifier finds genuine, and all that it takes to see that."""

    name: str
    raw: bytes
    collateral: Collateral
    at: int  # seconds since 1970, UTC
    root_der: bytes | None = None  # None: Intel's
    maker: Maker | None = None  # None: nobody here can sign for it


def vectors_directory() -> Path:
    """Where the genuine quotes are, if anywhere: `AMBER_VECTORS`, by default beside the project."""
    return Path(os.environ.get("AMBER_VECTORS", _PROJECT / ".." / "shared" / "vectors"))


@cache
def genuine_specimens() -> tuple[Specimen, ...]:
    """Every vector with collateral, genuine or refused; none where there are no vectors."""
    directory = vectors_directory()
    index = directory / "index.json"
    if not index.is_file():
        return ()
    entries: list[dict[str, Any]] = json.loads(index.read_text(encoding="utf-8"))
    return tuple(_genuine(directory, entry) for entry in entries if entry["collateral"])


def _genuine(directory: Path, entry: dict[str, Any]) -> Specimen:
    return Specimen(
        name=str(entry["name"]),
        raw=(directory / f"{entry['name']}.quote").read_bytes(),
        collateral=Collateral.from_json((directory / entry["collateral"]).read_text(encoding="utf-8")),
        at=int(datetime.fromisoformat(entry["verify_at"]).timestamp()),
    )
