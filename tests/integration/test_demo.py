"""`amber demo` plays its whole part, for people and for machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ambergate.cli", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_step_gives_what_it_should() -> None:
    done = demo("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    steps = {step["step"]: step for step in told["steps"]}
    assert {"1", "2", "3", "4", "5", "6", "token", "fresh", "genuine", "tampered"} <= set(steps)
    assert steps["token"]["mr_enclave"] == steps["keybroker"]["for_mrenclave"]
    assert steps["token"]["simulated"] is True
    assert steps["tampered"]["step_id"] == "8.1.quote_signature"
    assert told["steps"][-1]["seconds"] < 60


def test_without_the_vectors_a_simulated_quote_is_changed_and_that_is_said(tmp_path: Path) -> None:
    done = demo(AMBER_VECTORS=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no genuine quote at hand" in done.stdout
    assert "a simulated quote is genuine" in done.stdout
    assert "8.1.quote_signature" in done.stdout
    assert "Every step gave what it should" in done.stdout


def test_without_fuse_the_files_are_as_fresh_as_the_start() -> None:
    done = demo("--delivery", "directory", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = {step["step"]: step["text"] for step in json.loads(done.stdout)["steps"]}
    assert {"1", "2", "3", "4", "5", "6", "token", "genuine", "tampered"} <= set(steps)
    assert "the same token" in steps["fresh"]
