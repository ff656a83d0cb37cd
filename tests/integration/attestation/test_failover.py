"""Of two nodes on one database one is killed under load: the first retry helps whoever was hit (`make failover`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripts.failover import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Postgres


@pytest.mark.slow
def test_a_request_to_a_node_that_was_killed_succeeds_on_its_first_retry(tmp_path: Path, postgres: Postgres) -> None:
    """Fewer than a hundred a second here; it is the same code that `make failover` runs at 300."""
    outcome = run(tmp_path, postgres.fresh(), rate=60, seconds=3)
    assert outcome.faults == []
    assert outcome.requests == len(set(outcome.tokens)) == 180
    assert outcome.retried > 0
    assert outcome.records >= 180
