"""What the agent brings into an enclave: little of the standard library, nothing else, and few megabytes."""

from __future__ import annotations

import json
import subprocess
import sys

MAX_RSS = 25 * 1024  # KiB, before the first secret
# What no open needs before there is something to fetch.
HEAVY = {"ssl", "http", "email", "urllib", "asyncio", "cryptography", "click", "httpx", "logging", "subprocess", "json"}
REPORT = """
import json, pathlib, sys
print(json.dumps({
    "modules": sorted(sys.modules),
    "rss": int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]),
}))
"""


def loaded_by(*modules: str) -> tuple[set[str], int]:
    program = f"import {', '.join(modules)}\n{REPORT}"
    told = json.loads(subprocess.check_output([sys.executable, "-I", "-c", program], text=True))
    bare = json.loads(subprocess.check_output([sys.executable, "-I", "-c", REPORT], text=True))
    return set(told["modules"]) - set(bare["modules"]), int(told["rss"])


def test_the_agent_itself_needs_next_to_nothing() -> None:
    modules, _ = loaded_by("ambergate.devices.agent")
    assert {name.partition(".")[0] for name in modules}.isdisjoint(HEAVY)
    ours = {name for name in modules if name.startswith("ambergate.")}
    assert {name for name in ours if not name.startswith("ambergate.devices")} <= {
        "ambergate.core",
        "ambergate.core.errors",
    }
    assert {name.partition(".")[0] for name in modules} - sys.stdlib_module_names <= {"ambergate"}


def test_with_the_client_it_stays_within_its_budget() -> None:
    modules, rss = loaded_by(
        "ambergate.devices.agent", "ambergate.devices.model", "ambergate.client.session", "ambergate.attester.detect"
    )
    assert {name.partition(".")[0] for name in modules} - sys.stdlib_module_names <= {"ambergate"}
    assert rss <= MAX_RSS
