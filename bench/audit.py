"""`python -m bench.audit`: what it costs that every decision is durable before it is told.

    sync_us          the limit: 4 KiB appended to a file and synchronised, on the same disk
    append_1         one thread: each append waits for a commit of its own
    append_40        forty threads, as many as serve requests: commits carry what came in meanwhile
    turns            the CPU of a record by two nodes that take turns, in that of one node alone
    open, prove      to open the log (with its checks), and to prove one entry
    verify           to read the whole log

Each on a log of a thousand entries and on one of `--rows`: what grows with the log, and what does not. Times are of the
clock on the wall, medians; the disk is shared, so rates mean something beside `sync_us` only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.__main__ import machine

from ambergate.services.attestation.token_ids import token_id
from ambergate.stores.audit import AuditLog, known
from ambergate.stores.audit_check import check_whole
from ambergate.stores.audit_rows import Draft, append_entries, take_head
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import open_database
from ambergate.stores.transactions import reading, writing_by_driver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from sqlalchemy import Engine

    from ambergate.stores.merkle import Frontier

AT: Final = datetime(2026, 11, 27, 14, tzinfo=UTC)
SIGNER: Final = CheckpointSigner("attest.example/audit/v1", bytes(range(32)))
FIRST: Final = 1000  # entries of the small log
_OUTPUT: Final = Path(__file__).resolve().parent.parent / "build" / "bench-audit.json"
_TURNS: Final = 100  # records
_FILL: Final = 10_000  # entries of one transaction that fills the log
# As long as a record of SGX evidence, with digests of quote and collateral in it.
_RECORD: Final = {
    "at": AT.isoformat(),
    "verdict": "issued",
    "key_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    "evidence": {f"sgx_claim_{n:02}": "0a" * 32 for n in range(14)},
    "policies": [],
    "alg": "ES256",
}


def main() -> None:
    """Measure, print the table, write build/bench-audit.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="entries of the large log (default 1,000,000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate (default 5)")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="default build/bench-audit.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="amber-bench-", dir=os.environ.get("TMPDIR")) as folder:
        report = measure(Path(folder), rows=arguments.rows, seconds=arguments.seconds)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"audit log on SQLite, on {report['machine']}; limit: one synchronised write {report['sync_us']} us")
    for size in ("small", "large"):
        print(f"  {size}: {json.dumps(report[size])}")
    print(f"  large over small: {json.dumps(report['slowdown'])}")
    print(f"\nwritten to {arguments.output}")


def measure(folder: Path, *, rows: int, seconds: float) -> dict[str, object]:
    """The report."""
    report: dict[str, object] = {"machine": machine(), "sync_us": round(_sync(folder) * 1e6)}
    for name, count in (("small", FIRST), ("large", rows)):
        engine = open_database(folder / "audit.sqlite")
        filled = _fill(engine, count)
        report[name] = {"fill_per_s": filled, **_figures(engine, folder, seconds)}
        engine.dispose()
    report["slowdown"] = _slowdown(report["small"], report["large"])
    return report


def _slowdown(small: Any, large: Any) -> dict[str, float]:  # noqa: ANN401  what `_figures` makes
    """How many times as long the large log takes for what the small one does."""
    return {
        "open": round(large["open_ms"] / small["open_ms"], 2),
        "prove": round(large["prove_ms"] / small["prove_ms"], 2),
        "append_1": round(small["append_1"]["per_s"] / large["append_1"]["per_s"], 2),
        "append_40": round(small["append_40"]["per_s"] / large["append_40"]["per_s"], 2),
        "verify_entry": round(small["verify_per_s"] / large["verify_per_s"], 2),
    }


def _figures(engine: Engine, folder: Path, seconds: float) -> dict[str, object]:
    opened = _median(lambda: AuditLog(engine, SIGNER, now=lambda: AT).close(), 5)
    log = AuditLog(engine, SIGNER, now=lambda: AT)
    figures: dict[str, object] = {"append_1": _rate(log, 1, seconds), "append_40": _rate(log, 40, seconds)}
    turns = _turns(engine, log)
    jti = _jti()
    log.append(_RECORD, jti=jti)
    proved = _median(lambda: _prove(log, jti), 50)
    log.close()
    with reading(engine) as connection:
        began = time.perf_counter()
        finding = check_whole(connection, SIGNER.key)
        took = time.perf_counter() - began
    assert finding.intact, finding.faults
    size = sum(file.stat().st_size for file in folder.glob("audit.sqlite*"))
    return {
        **figures,
        "turns": turns,
        "open_ms": round(opened * 1e3, 1),
        "prove_ms": round(proved * 1e3, 2),
        "verify_per_s": round(finding.size / took),
        "entries": finding.size,
        "bytes_per_entry": round(size / finding.size),
    }


def _turns(engine: Engine, log: AuditLog) -> float:
    """Each commit of one of two nodes then follows one of the other."""
    other = AuditLog(engine, SIGNER, now=lambda: AT)

    def cost(logs: Sequence[AuditLog]) -> float:
        began = time.process_time()
        for turn in range(_TURNS):
            logs[turn % len(logs)].append(_RECORD, jti=_jti())
        return time.process_time() - began

    ratios = [cost((log, other)) / cost((log,)) for _ in range(5)]
    other.close()
    return round(statistics.median(ratios), 2)


def _prove(log: AuditLog, jti: UUID) -> None:
    entry = log.find(jti)
    assert entry is not None
    log.prove(entry)


def _rate(log: AuditLog, threads: int, seconds: float) -> dict[str, float]:
    """Appends a second by so many threads, and how long each waited."""
    waits: list[list[float]] = [[] for _ in range(threads)]
    ends = time.perf_counter() + seconds

    def write(mine: list[float]) -> None:
        while (began := time.perf_counter()) < ends:
            log.append(_RECORD, jti=_jti())
            mine.append(time.perf_counter() - began)

    began = time.perf_counter()
    workers = [threading.Thread(target=write, args=(mine,)) for mine in waits]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - began
    every = sorted(wait for mine in waits for wait in mine)
    return {
        "per_s": round(len(every) / took),
        "p50_ms": round(every[len(every) // 2] * 1e3, 2),
        "p99_ms": round(every[len(every) * 99 // 100] * 1e3, 2),
    }


def _fill(engine: Engine, count: int) -> int | None:
    """Bring the log to so many entries; how many a second were written."""
    AuditLog(engine, SIGNER, now=lambda: AT).close()
    began, written = time.perf_counter(), 0
    while True:
        with writing_by_driver(engine) as cursor:
            head = known(take_head(cursor))
            missing = min(count - head.frontier.size, _FILL)
            if missing <= 0:
                break
            drafts = [Draft.of(_RECORD, jti=_jti()) for _ in range(missing)]
            append_entries(cursor, head, drafts, _note, dialect=engine.dialect.name)
            written += missing
    return round(written / (time.perf_counter() - began)) if written else None


def _jti() -> UUID:
    return token_id(datetime.now(UTC), os.urandom)


def _note(frontier: Frontier) -> str:
    return SIGNER.signed(frontier.size, frontier.root(), at=AT)


def _sync(folder: Path) -> float:
    descriptor = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:

        def write() -> None:
            os.write(descriptor, b"x" * 4096)
            os.fdatasync(descriptor)

        return _median(write, 200)
    finally:
        os.close(descriptor)


def _median(call: Callable[[], object], count: int) -> float:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
