"""`python -m bench`: how long one verification takes, beside its limit and beside dcap-qvl, in the same run.

    verify_warm          a `Verifier` that has seen this platform and collateral
    verify_new_platform  a `Verifier` that has seen the collateral, and not the platform
    verify_cold          a `Verifier` that has seen nothing but its anchor
    p256_verify          OpenSSL's part of it: one signature over the quote's header and body, the key decoded
    dcap_qvl             dcap-qvl (Rust), everything every time
    attest               one request to the attestation service, beside a bare handler: see bench/attest.py
    two_threads_warm     calls a second by two threads over calls a second by one, by the clock on the wall

Beside them, what policies cost: `bench/policies.py`.

Figures are CPU microseconds of this process, the median over interleaved rounds. Ratios are medians of the rounds'
own ratios: they hold when the machine is shared, the absolute figures do not.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import policies
from bench.attest import attest_figures
from bench.attest import table as attest_table
from bench.cases import cases
from bench.evidence import Evidence, find_evidence
from bench.rounds import Rounds, run_rounds
from bench.threads import speedup

RATIOS: Final = (
    ("verify_warm", "p256_verify"),
    ("verify_warm", "dcap_qvl"),
    ("verify_new_platform", "p256_verify"),
    ("verify_new_platform", "dcap_qvl"),
    ("verify_cold", "p256_verify"),
    ("verify_cold", "dcap_qvl"),
)
_OUTPUT: Final = Path(__file__).resolve().parent.parent / "build" / "bench.json"


def main() -> None:
    """Measure, print the table, write build/bench.json."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure verification beside its peers.")
    parser.add_argument("--rounds", type=int, default=40, help="interleaved rounds (default 40, about 5 seconds)")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="where the figures go (default build/bench.json)")
    arguments = parser.parse_args()
    evidence = find_evidence()
    measured = cases(evidence)
    rounds = run_rounds(measured, rounds=arguments.rounds)
    report = describe(evidence, rounds)
    attest = attest_figures(rounds=max(arguments.rounds // 8, 1))
    report["attest"] = attest
    report["two_threads_warm"] = round(speedup(measured["verify_warm"], rounds=max(arguments.rounds // 8, 1)), 2)
    report["policies"] = of_policies = policies.describe(policies.measure(max(arguments.rounds // 4, 1)))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(report))
    print(f"\n{policies.table(of_policies)}")
    print(attest_table(attest))
    print(f"\nwritten to {arguments.output}")


def describe(evidence: Evidence, rounds: Rounds) -> dict[str, object]:
    """The figures, and what they were measured on."""
    return {
        **{name: round(rounds.median(name), 1) for name in rounds.names},
        "unit": "CPU microseconds, median of rounds",
        "ratios": {f"{of}/{to}": round(rounds.ratio(of, to), 3) for of, to in RATIOS},
        "rounds": rounds.count,
        "evidence": evidence.description,
        "machine": machine(),
        "versions": {name: version(name) for name in ("ambergate", "cryptography", "dcap-qvl")},
        "python": platform.python_version(),
    }


def machine() -> str:
    """The processor's model as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(named)} x {named[0]}" if named else platform.processor() or platform.machine()


def table(report: dict[str, object]) -> str:
    """The report for people."""
    ratios = report["ratios"]
    assert isinstance(ratios, dict)
    figures = [name for name, value in report.items() if isinstance(value, float) and name != "two_threads_warm"]
    return "\n".join(
        (
            f"one SGX quote, {report['evidence']}",
            f"on {report['machine']}, Python {report['python']}, {report['rounds']} interleaved rounds\n",
            *(f"  {name:19} {report[name]:>9} us" for name in figures),
            "",
            *(f"  {name:33} {ratio:>7}" for name, ratio in ratios.items()),
            f"  {'two threads warm, to one':33} {report['two_threads_warm']:>7}",
        )
    )


if __name__ == "__main__":
    main()
