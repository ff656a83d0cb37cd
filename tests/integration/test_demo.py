"""`amber demo` plays its whole part, for people and for machines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_without_compiler_fuse_and_mounts_the_program_finds_its_files_by_their_directory(tmp_path: Path) -> None:
    """As in a container that may not mount: the system's shell is run, and nothing can be put at /dev/amber."""
    for name in ("sh", "cat"):
        program = shutil.which(name)
        assert program is not None
        (tmp_path / name).symlink_to(program)
    none = "echo 0 > /proc/sys/user/max_mnt_namespaces; echo 0 > /proc/sys/user/max_user_namespaces"
    program = f'{none}; export PATH={tmp_path}; exec "$0" -m ambergate.cli demo --delivery directory --json'
    command = ["unshare", "--user", "--map-root-user", "sh", "-ec", program, sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    if "unshare failed" in done.stderr:
        pytest.skip(f"no user namespace can be had here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = {step["step"] for step in json.loads(done.stdout)["steps"]}
    assert {"1", "2", "3", "4", "5", "6", "token", "fresh", "genuine", "tampered"} <= steps
