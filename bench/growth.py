"""`python -m bench.growth`: what a service with one API key does that one with a hundred thousand does slower.

    load        the first request of a process: all keys are read into memory. Seconds of CPU
    memory      what they take there. MB
    at_hand     a request's key is found, and what it may do. Microseconds of CPU
    unknown     the same of a key that nobody has. Microseconds of CPU
    changed     one key is made elsewhere, and is known here with the next read. Microseconds of CPU

Each process has its own database. What grows with the audit log, `bench/audit.py` tells.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from bench.__main__ import machine
from sqlalchemy import insert

from ambergate.core.errors import NotAuthorised
from ambergate.services.attestation.callers import Callers
from ambergate.services.attestation.memory import MISSED, REFRESH
from ambergate.stores.api_keys import CHANGES, ApiKeyStore, digest_of
from ambergate.stores.engine import open_database
from ambergate.stores.tables import api_keys, changes
from ambergate.stores.transactions import writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

COUNTS: Final = (1, 10_000, 100_000)
AT: Final = datetime(2026, 11, 27, 14, tzinfo=UTC)
_OUTPUT: Final = Path(__file__).resolve().parent.parent / "build" / "bench-growth.json"
_TIMES: Final = 2000


def main() -> None:
    """Measure, print the table, write build/bench-growth.json. With a number: measure so many keys, and print that."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=int, help="so many keys, in this process")
    arguments = parser.parse_args()
    if arguments.only is not None:
        with tempfile.TemporaryDirectory(prefix="amber-bench-") as folder:
            print(json.dumps(measure(Path(folder), arguments.only)))
        return
    found = {count: _in_a_process(count) for count in COUNTS}
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "keys": found}
    _OUTPUT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"API keys on SQLite, on {report['machine']}")
    for count, told in found.items():
        print(f"  {count:>7,} keys: {json.dumps(told)}")
    slower = found[COUNTS[-1]]["at_hand_us"] / found[COUNTS[0]]["at_hand_us"]
    print(f"  a request among {COUNTS[-1]:,} keys finds its own in {slower:.2f} times the time that it takes with one")
    print(f"\nwritten to {_OUTPUT}")


def _in_a_process(count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.growth", "--only", str(count)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


def measure(folder: Path, count: int) -> dict[str, float]:
    """The figures of a process that has so many keys."""
    engine = open_database(folder / "keys.sqlite")
    _fill(engine, count)
    at = [AT]
    store = ApiKeyStore(engine)
    gc.collect()
    callers = Callers(store, now=lambda: at[0])
    load = _cpu(lambda: callers.authorise("key 0"), 1)
    at_hand = _cpu(lambda: callers.at_hand("key 0"), _TIMES)

    def unknown() -> None:
        at[0] += MISSED / 4  # a guesser asks often, and is looked up now and then
        try:
            callers.authorise("nobody's")
        except NotAuthorised:
            return
        raise AssertionError

    def changed() -> None:
        _, text = store.create("changed", at=at[0])
        at[0] += REFRESH
        began = time.process_time_ns()
        callers.authorise(text)
        took.append(time.process_time_ns() - began)

    missed = _cpu(unknown, 200)
    took: list[int] = []
    for _ in range(20):
        changed()
    tracemalloc.start()
    kept = store.since(0)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept[1]) == count + 20
    engine.dispose()
    return {
        "load_s": round(load / 1e9, 3),
        "memory_mb": round(memory / 1e6, 2),
        "at_hand_us": round(at_hand / 1e3, 2),
        "unknown_us": round(missed / 1e3, 2),
        "changed_us": round(sorted(took)[len(took) // 2] / 1e3, 1),
    }


def _fill(engine: Engine, count: int) -> None:
    """As `ApiKeyStore.create` would, a transaction for all."""
    rows = [
        {
            "id": str(UUID(int=number)),
            "label": f"key {number}",
            "digest": digest_of(f"key {number}"),
            "created_at": (AT - timedelta(seconds=number)).isoformat(),
            "changed": number + 1,
        }
        for number in range(count)
    ]
    with writing(engine) as connection:
        connection.execute(insert(api_keys), rows)
        connection.execute(insert(changes).values(kind=CHANGES, number=count))


def _cpu(call: Callable[[], object], times: int) -> float:
    """Nanoseconds of CPU that one call takes."""
    began = time.process_time_ns()
    for _ in range(times):
        call()
    return (time.process_time_ns() - began) / times


if __name__ == "__main__":
    main()
