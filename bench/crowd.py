"""`python -m bench.crowd`: many platforms through one `Verifier`: what each takes of memory, and whether it slows down.

Every platform is another machine of one family: its own PCK key and certificate, attestation key and quote. They are
made in lots, outside the measurement; making them takes longer than verifying them.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.core.verify import TrustAnchor, Verifier
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral

LOT: Final = 1000  # platforms that are made, then measured
_OUTPUT: Final = Path(__file__).resolve().parent.parent / "build" / "bench-crowd.json"


@dataclass(frozen=True, slots=True)
class Crowd:
    """What was measured."""

    platforms: int
    bytes_each: float  # growth of the process over its size after the first lot
    resident_mib: float  # of the whole process at the end, the makers of evidence included
    new_platform_us: tuple[float, float]  # CPU microseconds of a first quote: median of the first lots, of the last
    warm_us: tuple[float, float]  # the same of a second quote
    slowdown: float  # the worse of both ratios, last to first


def main() -> None:
    """Measure, print, write build/bench-crowd.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description="Many platforms through one Verifier.")
    parser.add_argument("--platforms", type=int, default=100_000, help="how many (default 100,000, some minutes)")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="where the figures go")
    arguments = parser.parse_args()
    crowd = measure(arguments.platforms, progress=sys.stderr.isatty())
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(asdict(crowd), indent=2) + "\n", encoding="utf-8")
    print(
        f"{crowd.platforms} platforms: {crowd.bytes_each:.0f} bytes each, process {crowd.resident_mib:.0f} MiB\n"
        f"  new platform  {crowd.new_platform_us[0]:.0f} us first, {crowd.new_platform_us[1]:.0f} us last\n"
        f"  warm          {crowd.warm_us[0]:.0f} us first, {crowd.warm_us[1]:.0f} us last\n"
        f"  slowdown      {crowd.slowdown:.3f}"
    )


def measure(platforms: int, *, progress: bool) -> Crowd:
    """Verify a first and a second quote of each of so many platforms, lot by lot."""
    at = datetime.now(UTC)
    first = SimulatedPlatform.create(at=at)
    collateral = first.collateral(at=at)
    verifier = Verifier(anchor=TrustAnchor.from_pem(first.root_pem), max_platforms=platforms)
    new: list[float] = []
    warm: list[float] = []
    base = 0
    for done in range(0, platforms, LOT):
        lot = [_quotes(first.sibling(at=at)) for _ in range(min(LOT, platforms - done))]
        new.append(_time(verifier, [one for one, _ in lot], collateral, at))
        warm.append(_time(verifier, [two for _, two in lot], collateral, at))
        if not base:
            base = _resident()
        if progress:
            print(f"\r{done + len(lot)} of {platforms}", end="", file=sys.stderr, flush=True)
    grown = _resident() - base
    edge = max(len(new) // 10, 1)
    spans = [(statistics.median(each[:edge]), statistics.median(each[-edge:])) for each in (new, warm)]
    return Crowd(
        platforms=platforms,
        bytes_each=grown / max(platforms - LOT, 1),
        resident_mib=_resident() / 2**20,
        new_platform_us=spans[0],
        warm_us=spans[1],
        slowdown=max(last / begin for begin, last in spans),
    )


def _quotes(platform: SimulatedPlatform) -> tuple[bytes, bytes]:
    return platform.quote(SPECIMEN, bytes(64)), platform.quote(SPECIMEN, b"\1" * 64)


def _time(verifier: Verifier, quotes: list[bytes], collateral: Collateral, at: datetime) -> float:
    gc.collect()
    start = time.process_time_ns()
    for raw in quotes:
        verifier.verify(raw, collateral, at=at)
    return (time.process_time_ns() - start) / len(quotes) / 1000


def _resident() -> int:
    """Bytes of this process in memory now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
