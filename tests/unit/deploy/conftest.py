"""The programs that read deploy/, from the environment that `make deploy-tools` makes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

import pytest

PROJECT = Path(__file__).resolve().parents[3]
PLACE = PROJECT / "build" / "deploy-tools" / "bin"


class Tool(Protocol):
    """Runs one of the programs, in the project's directory."""

    def __call__(self, name: str, /, *arguments: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def tool() -> Tool:
    if not PLACE.is_dir():
        pytest.skip("build/deploy-tools is not there (make deploy-tools)")

    def run(name: str, /, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PLACE / name), *arguments]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)

    return run
