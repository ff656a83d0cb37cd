"""A service that is killed at any moment has lost nothing that it acknowledged (`make kills` does it 200 times)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripts.kills import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    outcome = run(tmp_path, kills=10, seed=1)
    assert outcome.faults == []
    assert outcome.kills == 10
    assert outcome.records >= len(outcome.tokens) >= 10
    assert len(set(outcome.tokens)) == len(outcome.tokens)
