"""Hold the running services to their OpenAPI documents: no 5xx, no undocumented answer, no hang.

    python -m scripts.openapi_fuzz [--calls 20000] [--seed 1]        or: make openapi-fuzz

Both services as processes on real sockets are asked by schemathesis, again and again with another seed, until they have
answered so many calls. How many, and with which status, their own metrics say. `scripts/openapi_hooks.py` puts genuine
quotes, policies and tokens into some of the requests, so that not only refusals are looked at.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from scripts.whole import Process, Whole, whole

HANG: Final = 20  # seconds; no answer takes a tenth of it on a busy machine
# It ends the token that all further calls need.
LEFT_OUT: Final = ("delete_broker_v1_tokens",)
ROUNDS: Final = 100  # at most: each makes some hundred calls at least
_ROOT: Final = Path(__file__).resolve().parent.parent
_SCHEMATHESIS: Final = (sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()")


@dataclass
class Outcome:
    """What came of it. `faults` is empty when every answer was as documented."""

    calls: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def fuzz(system: Whole, *, calls: int, seed: int, examples: int = 60, seconds: int | None = None) -> Outcome:
    """Ask until so many calls were answered.

    Args:
        system: the running services.
        calls: of both together; no new round begins after these.
        seed: of the first round.
        examples: of one operation in one phase of a round.
        seconds: of one round at most; None: as long as it takes.
    """
    outcome = Outcome()
    for round_ in range(ROUNDS):
        for name, process in (("attestation", system.attestation), ("keybroker", system.broker)):
            told = _round(system, process, seed=seed + round_, examples=examples, seconds=seconds)
            if told is not None:
                outcome.faults.append(f"{name}, seed {seed + round_}: {told}")
        outcome.statuses = Counter()
        for process in (system.attestation, system.broker):
            outcome.statuses += _statuses(process)
        outcome.calls = outcome.statuses.total()
        if outcome.calls >= calls or outcome.faults:
            break
    outcome.faults += [f"{count} answers of {status}" for status, count in outcome.statuses.items() if status >= "500"]
    return outcome


def _round(system: Whole, process: Process, *, seed: int, examples: int, seconds: int | None) -> str | None:
    """One run of schemathesis; what it says if something is wrong."""
    command = [*_SCHEMATHESIS, "--config-file", str(_ROOT / "scripts" / "schemathesis.toml"), "run"]
    command += [f"{process.url}/openapi.json", "--tls-verify", str(system.folder / "ca.pem"), "--workers", "1"]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--warnings", "off"]
    command += ["--request-timeout", str(HANG), "--suppress-health-check", "all", "--generation-database", "none"]
    command += [] if seconds is None else ["--max-time", str(seconds)]
    command += [part for operation in LEFT_OUT for part in ("--exclude-operation-id", operation)]
    told = {
        "AMBER_FUZZ_API_KEY": system.api_key,
        "AMBER_FUZZ_BEARER": system.bearer,
    }
    told |= {"AMBER_FUZZ": str(system.folder), "AMBER_FUZZ_USER": system.user_id}
    told |= {"SCHEMATHESIS_HOOKS": "scripts.openapi_hooks", "NO_COLOR": "1", "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        command, cwd=system.folder, env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else done.stdout[-8000:] + done.stderr[-2000:]


def _statuses(process: Process) -> Counter[str]:
    """How often it has answered with each status."""
    text = httpx.get(f"http://127.0.0.1:{process.metrics}/metrics", trust_env=False).text
    counted: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "ambergate_http_requests_total":
                counted[sample.labels["status"]] += int(sample.value)
    return counted


def main() -> int:
    """Run it, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, whole(Path(folder)) as system:
        outcome = fuzz(system, calls=options.calls, seed=options.seed, examples=options.examples)
    told = ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items()))
    print(f"{outcome.calls} calls answered ({told})")
    for fault in outcome.faults:
        print(fault)
    print("every answer was as documented" if not outcome.faults else f"{len(outcome.faults)} faults")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
