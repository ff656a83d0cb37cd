from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ambergate.core.verify.steps import BY_ID, STEPS

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_checks_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/checks.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_ids_are_unique_and_in_order() -> None:
    numbers = [tuple(int(part) for part in step.id.split(".")[:2]) for step in STEPS]
    assert len(BY_ID) == len(STEPS)
    assert numbers == sorted(set(numbers))
