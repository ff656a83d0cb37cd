"""`python -m fuzz`: our verifier beside dcap-qvl on mutants of real and simulated evidence, and every single-bit flip.

A finding is: a case that one accepts and the other refuses, or that both accept and read differently, and that no
written choice explains (`fuzz/choices.py`); an error of ours that is not of our tree; a verification that takes more
than a second of CPU; a bit of a quote whose flip is accepted and not on the list (`fuzz/flips.py`), or the reverse.
Exits 1 on a finding, with each case in a file for `--replay`. See docs/fuzzing.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fuzz.case import Case
from fuzz.flips import Flips, flip_all, flip_triples
from fuzz.judges import quietly
from fuzz.runs import Tally, judge, run
from fuzz.specimens import genuine_specimens
from fuzz.triple import Triple

if TYPE_CHECKING:
    from collections.abc import Sequence

CASES: Final = 50_000
KEPT: Final = 50  # findings that are written to files; the rest are counted
_BUILD: Final = Path(__file__).resolve().parent.parent / "build"


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the summary, write the report; the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Hold the verifier to dcap-qvl on mutants.")
    parser.add_argument("--seed", default="0", help="what the mutants are drawn from (default 0)")
    parser.add_argument("--cases", type=int, default=CASES, help=f"how many mutants (default {CASES})")
    parser.add_argument("--no-flips", action="store_true", help="leave out the single-bit flips")
    parser.add_argument("--output", type=Path, default=_BUILD / "fuzz.json", help="the report; findings go beside it")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="judge one kept case again, and nothing else")
    arguments = parser.parse_args(argv)
    if arguments.replay is not None:
        return replay(arguments.replay)
    started = time.monotonic()
    tally = differential(arguments.seed, arguments.cases)
    flips = [] if arguments.no_flips else [exhaustive(triple) for triple in flip_triples()]
    report = describe(arguments.seed, tally, flips, seconds=time.monotonic() - started)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(summary(report))
    kept = keep(tally, arguments.output.parent / "findings")
    print("".join(f"  python -m fuzz --replay {path}\n" for path in kept), end="")
    print(f"\nwritten to {arguments.output}")
    return 1 if tally.findings or not all(each.clean for each in flips) else 0


def differential(seed: str, cases: int) -> Tally:
    """The mutants, with progress on standard error."""
    tally = Tally()
    for piece in run(seed, cases):
        tally.merge(piece)
        _progress(f"mutants {tally.cases}/{cases}, {len(tally.findings)} findings")
    _progress(None)
    return tally


def exhaustive(triple: Triple) -> Flips:
    """Every bit of one quote, with progress on standard error."""
    flips = Flips(triple.origin)
    for piece in flip_all(triple):
        flips.merge(piece)
        _progress(f"bits of {triple.origin} {flips.flipped}/{8 * len(triple.raw)}")
    _progress(None)
    return flips


def replay(path: Path) -> int:
    """Judge one kept case again, and say what both verifiers say."""
    with quietly():
        case = Case.judged(Triple.from_json(path.read_text(encoding="utf-8")))
        verdict = judge(case)
    print(f"{case.triple.origin}: {'; '.join(case.triple.mutations) or 'not changed'}")
    print(f"  ours      {case.ours}  ({case.ours.seconds * 1000:.1f} ms of CPU)")
    print(f"  dcap-qvl  {case.theirs}")
    print(f"  {verdict}")
    return 1 if verdict.startswith("finding") else 0


def keep(tally: Tally, directory: Path) -> list[Path]:
    """Write the findings down, each as a case to replay; those of an earlier run go."""
    for old in directory.glob("*.json"):
        old.unlink()
    kept = []
    for number, finding in enumerate(tally.findings[:KEPT]):
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{number:03}.json"
        verdicts = {"what": finding.what, "ours": str(finding.case.ours), "theirs": str(finding.case.theirs)}
        case = json.loads(finding.case.triple.to_json())
        path.write_text(json.dumps({**verdicts, **case}, indent=1) + "\n", encoding="utf-8")
        kept.append(path)
    return kept


def describe(seed: str, tally: Tally, flips: Sequence[Flips], *, seconds: float) -> dict[str, object]:
    """The report, ready for JSON."""
    return {
        "seed": seed,
        "cases": tally.cases,
        "vectors": len(genuine_specimens()),
        "verdicts": dict(tally.verdicts.most_common()),
        "choices": dict(tally.choices.most_common()),
        "refused_at": dict(tally.steps.most_common()),
        "slowest_ms": round(tally.slowest * 1000, 1),
        "findings": [f"{each.what}: {'; '.join(each.case.triple.mutations)}" for each in tally.findings[:KEPT]],
        "flips": [
            {
                "quote": each.origin,
                "bits": each.flipped,
                "accepted": each.accepted,
                "accepted_unlisted": each.unlisted,
                "listed_refused": each.refused,
                "stray_errors": each.stray,
            }
            for each in flips
        ],
        "seconds": round(seconds, 1),
        "versions": {name: version(name) for name in ("ambergate", "cryptography", "dcap-qvl")},
    }


def summary(report: dict[str, object]) -> str:
    """The report for people."""
    verdicts, choices, flips = report["verdicts"], report["choices"], report["flips"]
    assert isinstance(verdicts, dict)
    assert isinstance(choices, dict)
    assert isinstance(flips, list)
    lines = [
        f"{report['cases']} mutants of seed {report['seed']} in {report['seconds']} s, {report['vectors']} vectors"
    ]
    lines += [f"  {count:>7}  {verdict}" for verdict, count in verdicts.items()]
    lines += ["", "differences, by choice"] + [f"  {count:>7}  {name}" for name, count in choices.items()]
    lines += [f"\nslowest verification: {report['slowest_ms']} ms of CPU"]
    for each in flips:
        lines += ["", f"{each['bits']} bits of {each['quote']}, accepted"]
        lines += [f"  {count:>7}  {name}" for name, count in sorted(each["accepted"].items())]
        odd = (("accepted_unlisted", "ACCEPTED, NOT LISTED"), ("listed_refused", "LISTED, REFUSED"))
        lines += [f"  {words}: bits {each[key][:20]}" for key, words in odd if each[key]]
        lines += [f"  STRAY ERROR at bit {bit}: {why}" for bit, why in each["stray_errors"][:5]]
    findings = report["findings"]
    assert isinstance(findings, list)
    lines += ["", f"{len(findings)} findings"] + [f"  {each}" for each in findings]
    return "\n".join(lines)


def _progress(words: str | None) -> None:
    """One line that is written over, on a terminal; None ends it."""
    if sys.stderr.isatty():
        print("\r\033[K" + (words or ""), end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
