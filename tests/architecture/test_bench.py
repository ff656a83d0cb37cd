"""The benchmark runs, and its figures are where others look for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bench import growth
from bench.rounds import Rounds

if TYPE_CHECKING:
    from typing import Any

_PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One round over the software platform."""
    output = tmp_path_factory.mktemp("bench") / "build" / "bench.json"
    command = [sys.executable, "-m", "bench", "--rounds", "1", "--output", str(output)]
    environment = {**os.environ, "AMBER_VECTORS": str(output.parent)}
    subprocess.run(command, cwd=_PROJECT, env=environment, check=True, capture_output=True)
    figures: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return figures


def test_every_figure_is_there(report: dict[str, Any]) -> None:
    for name in ("verify_warm", "verify_new_platform", "verify_cold", "p256_verify", "dcap_qvl", "two_threads_warm"):
        assert report[name] > 0
    assert set(report["ratios"]) >= {
        "verify_warm/p256_verify",
        "verify_new_platform/dcap_qvl",
        "verify_cold/dcap_qvl",
    }
    assert 0 < report["attest"]["ES256, typed policy"]["p50_ms"] <= report["attest"]["ES256, typed policy"]["p99_ms"]
    for alg in ("ES256", "PS384", "ES256, typed policy", "ES256, rego policy", "PS384, typed policy"):
        told = report["attest"][alg]
        assert told["service_us"] > told["bare_us"] > 0, "what is faster than its two signatures did not make them"
        assert 0 < told["share_of_bare_rate"] < 1
    assert report["machine"]
    assert "simulated" in report["evidence"]


def test_policies_are_measured_beside_the_interpreter_alone(report: dict[str, Any]) -> None:
    figures = report["policies"]
    for name in ("policy_typed", "policy_rego_cached", "policy_rego", "rego_in_process", "p256_verify"):
        assert figures[name] > 0
    assert figures["ratios"]["policy_rego/rego_in_process"] > 0
    assert figures["policy_rego_cached"] < figures["policy_rego"], "what is remembered is not judged again"


def test_a_verification_costs_a_signature_at_least(report: dict[str, Any]) -> None:
    """What is faster than the signature that it must check did not check it."""
    assert report["ratios"]["verify_cold/p256_verify"] > 1


def test_many_platforms_are_measured(tmp_path: Path) -> None:
    output = tmp_path / "crowd.json"
    command = [sys.executable, "-m", "bench.crowd", "--platforms", "40", "--output", str(output)]
    subprocess.run(command, cwd=_PROJECT, check=True, capture_output=True)
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert figures["platforms"] == 40
    assert figures["new_platform_us"][0] > figures["warm_us"][0] > 0


def test_the_audit_log_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "audit.json"
    command = [sys.executable, "-m", "bench.audit", "--rows", "1500", "--seconds", "0.5", "--output", str(output)]
    subprocess.run(command, cwd=_PROJECT, check=True, capture_output=True)
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert figures["large"]["entries"] >= 1500
    assert figures["small"]["entries"] >= 1000
    for size in ("small", "large"):
        assert figures[size]["append_40"]["per_s"] > figures[size]["append_1"]["per_s"] > 0
        assert figures[size]["turns"] > 0


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that slows down for one round slows both: the ratio stays."""
    rounds = Rounds({"ours": (10.0, 30.0, 10.0), "theirs": (20.0, 60.0, 20.0)})
    assert rounds.ratio("ours", "theirs") == 0.5
    assert rounds.median("ours") == 10.0
    assert rounds.count == 3


def test_two_workers_are_measured_beside_one(tmp_path: Path) -> None:
    output = tmp_path / "workers.json"
    command = [sys.executable, "-m", "bench.workers", "--rounds", "1", "--requests", "32", "--output", str(output)]
    subprocess.run(command, cwd=_PROJECT, check=True, capture_output=True)
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert set(figures) == {"workers_1", "workers_2", "two_to_one"}
    assert all(row["per_second"] > 0 and row["cpu_us"] > 0 for row in figures.values())


def test_what_grows_with_api_keys_is_measured(tmp_path: Path) -> None:
    figures = growth.measure(tmp_path, 50)
    assert set(figures) == {"load_s", "memory_mb", "at_hand_us", "unknown_us", "changed_us"}
    assert figures["at_hand_us"] > 0


def test_the_broker_is_measured_with_few_keys_and_many(tmp_path: Path) -> None:
    output = tmp_path / "broker.json"
    command = [sys.executable, "-m", "bench.broker", "--keys", "1500", "--releases", "16", "--rounds", "1"]
    subprocess.run([*command, "--output", str(output)], cwd=_PROJECT, check=True, capture_output=True)
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert set(figures["few"]) == set(figures["many"]) == set(figures["many/few"])
    assert all(figure > 0 for size in ("few", "many") for figure in figures[size].values())
