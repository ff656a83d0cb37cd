"""Counts of releases: never more than the limit, whoever asks at once and whoever dies in between."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID

from ambergate.stores.releases import ReleaseCounter

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

SECRET, OTHER = UUID(int=1), UUID(int=2)
# Takes releases one after the other and tells of each once it is counted, until there are none.
TAKER = """
import pathlib, sys
from uuid import UUID
from ambergate.stores.engine import open_database
from ambergate.stores.releases import ReleaseCounter

place = sys.argv[1]
counter = ReleaseCounter(open_database(place if "://" in place else pathlib.Path(place)))
while (taken := counter.take(UUID(int=1), int(sys.argv[2]))) is not None:
    print(taken, flush=True)
"""


def test_each_secret_is_counted_by_itself(engine: Engine) -> None:
    counter = ReleaseCounter(engine)
    assert [counter.take(SECRET, 2) for _ in range(4)] == [1, 2, None, None]
    assert counter.take(OTHER, 1) == 1
    assert (counter.taken(SECRET), counter.taken(OTHER), counter.taken(UUID(int=3))) == (2, 1, 0)


def test_a_higher_limit_goes_on_counting(engine: Engine) -> None:
    counter = ReleaseCounter(engine)
    assert counter.take(SECRET, 1) == 1
    assert counter.take(SECRET, 2) == 2
    assert counter.take(SECRET, 1) is None


def test_many_at_once_take_each_place_once(engine: Engine) -> None:
    counter = ReleaseCounter(engine)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: counter.take(SECRET, 10), range(24)))
    assert sorted(each for each in taken if each) == list(range(1, 11))
    assert taken.count(None) == 14


def test_two_processes_and_a_killed_one_never_exceed_the_limit(engine: Engine, place: Path | str) -> None:
    """What the killed one told was counted; what it did not tell may be. No number is told twice."""
    limit = 300
    command = [sys.executable, "-c", TAKER, str(place), str(limit)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert killed.stdout is not None
        lines = [killed.stdout.readline() for _ in range(3)]  # none, if the other one has had all by then
        killed.send_signal(signal.SIGKILL)
        lines += [line for taker in (killed, other) for line in taker.communicate(timeout=60)[0].splitlines()]
    told = [int(line) for line in lines if line]
    assert other.returncode == 0
    assert len(told) == len(set(told))
    assert limit - 1 <= len(told) <= limit
    assert ReleaseCounter(engine).taken(SECRET) == limit
