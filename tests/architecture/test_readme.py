"""What README tells people to type is typed here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from scripts.pages import blocks_of, run_page

_PROJECT = Path(__file__).resolve().parents[2]
_README = (_PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    assert len(list(run_page(_README, tmp_path))) == 3


def test_blocks_are_tested_unless_they_run_the_tests() -> None:
    blocks = re.findall(r"^```(?:bash|python|console)$.*?^```$", _README, re.MULTILINE | re.DOTALL)
    assert len([block for block in blocks if "make test" not in block]) == len(blocks_of(_README)) == 4


@pytest.mark.parametrize(
    "target", ["setup", "demo", "test", "check", "bench", "lock", "clean", "fmt", "site", "quick-starts"]
)
def test_make_lists_its_targets(target: str) -> None:
    listed = subprocess.run(["make", "help"], cwd=_PROJECT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE)
