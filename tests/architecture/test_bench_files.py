"""The files' figures are measured and are where others look for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bench.files.building import why_not
from bench.latency import TO_REACH

if TYPE_CHECKING:
    from typing import Any

_PROJECT = Path(__file__).resolve().parents[2]


def test_every_figure_is_there_beside_those_of_others(tmp_path: Path) -> None:
    reason = why_not("shim")
    if reason is not None:
        pytest.skip(reason)
    output = tmp_path / "bench.json"
    output.write_text('{"others": 1}')
    command = [sys.executable, "-m", "bench.latency", "--rounds", "1", "--output", str(output)]
    subprocess.run(command, cwd=_PROJECT, check=True, capture_output=True)
    written: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    assert written["others"] == 1
    figures = written["files"]
    missing = {name for name in TO_REACH if name not in figures}
    assert not missing or figures["skipped"]
    assert all(figures[name] > 0 for name in set(TO_REACH) - missing)
