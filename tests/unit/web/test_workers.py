"""How long a worker's replacement waits. What the watcher does is in tests/integration/attestation/test_workers.py."""

from __future__ import annotations

from itertools import pairwise

from ambergate.services.web.workers import FIRST_PAUSE, LONGEST_PAUSE, SHORT_LIFE, Pauses


def test_who_lived_long_is_replaced_at_once_and_who_dies_young_waits_longer_each_time() -> None:
    pauses = Pauses()
    assert pauses.after(SHORT_LIFE) == 0
    waits = [pauses.after(0.1) for _ in range(12)]
    assert waits[0] == FIRST_PAUSE
    assert waits[-1] == LONGEST_PAUSE
    assert all(later == min(2 * sooner, LONGEST_PAUSE) for sooner, later in pairwise(waits))
    assert pauses.after(SHORT_LIFE) == 0
    assert pauses.after(0) == FIRST_PAUSE
