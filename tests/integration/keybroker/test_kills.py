"""A broker that is killed at any moment: nothing acknowledged is lost, nothing has left without a record.

`make kills` does it 200 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripts.broker_kills import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    """Ten kills in all, two of each broker: a machine under load takes seconds for each start."""
    outcome = run(tmp_path, kills=2, seed=seed)
    assert outcome.faults == []
    assert outcome.kills == 2
    assert outcome.records >= len(outcome.released)
    assert len(outcome.released) + len(outcome.made) + len(outcome.deleted) >= 3
