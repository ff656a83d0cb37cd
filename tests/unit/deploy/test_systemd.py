"""The systemd units: well-formed, hardened, and starting commands that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from ambergate.cli.main import main

UNITS = sorted((Path(__file__).parents[3] / "deploy" / "systemd").glob("*.service"))
MOST_EXPOSED = 2.0  # of 10, by systemd-analyze: below it stands "OK" with room to spare
pytestmark = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_it_is_well_formed(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/usr/local/bin/amber", "/bin/true"))  # which is installed there or not
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(here))
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr


def test_it_is_hardened(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--json=short", "--threshold=20", str(unit))
    rows = json.loads(done.stdout)
    assert rows
    overall = analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    level = re.search(r"Overall exposure level .*: ([0-9.]+)", overall)
    assert level is not None
    assert float(level[1]) < MOST_EXPOSED, overall


def test_its_commands_are_ours(unit: Path) -> None:
    commands = re.findall(r"^Exec(?:Start|StartPre)=/usr/local/bin/amber (.*)$", unit.read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = [word for word in command.split() if not word.startswith("/")]
        told = CliRunner().invoke(main, [*[word for word in words if not word.startswith("-")], "--help"])
        assert told.exit_code == 0, told.output
        assert all(word in told.output for word in words if word.startswith("--"))
