"""Workers have given up what they do not need, end when they must, and nothing they say is believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.appraise.told import AT, SGX, rego
from tests.unit.rego.conftest import PATIENT
from tests.unit.rego.corpus import BOMBS, CPU_BOMB, MEMORY_BOMB

from ambergate.core.errors import Unavailable
from ambergate.rego import pool as pools
from ambergate.rego.engine import RegoEngine
from ambergate.rego.frames import MAX_ANSWER
from ambergate.rego.pool import MAX_REQUESTS, Limits, Pool, Worker, WorkerFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED = {"module": "package amber\nx := input.n\n", "input": {"n": 1}, "query": "data.amber"}


@pytest.fixture
def pool() -> Iterator[Pool]:
    opened = Pool(1, PATIENT)
    yield opened
    opened.close()


def pids(pool: Pool) -> set[int]:
    """Its workers that have nothing to do."""
    return {worker.pid for worker in pool._free.queue if worker is not None}


def only(pool: Pool) -> Worker:
    """Its one worker."""
    (worker,) = pool._free.queue
    assert worker is not None
    return worker


def limits_of(pid: int) -> dict[str, str]:
    """Name of the limit -> soft limit."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:47].strip() for line in lines}


UNLOADED = """
import sys
class Unlinked:
    def find_spec(self, name, *_):
        if name == "regopy":
            raise OSError("libatomic.so.1: cannot open shared object file")
sys.meta_path.insert(0, Unlinked())
sys.argv[1:] = ["256"]
from ambergate.rego.worker import main
main()
"""


def test_an_interpreter_that_cannot_be_loaded_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wheel is linked to a library that small systems and images have not."""
    monkeypatch.setattr(pools, "command", lambda _limits: (sys.executable, "-I", "-B", "-c", UNLOADED))
    with RegoEngine(workers=1, limits=PATIENT) as engine, pytest.raises(Unavailable) as caught:
        engine.check(rego("matches_sgx_policy = true\n"))
    assert caught.value.seen == "the worker did not start: libatomic.so.1: cannot open shared object file"
    assert "libatomic1" in (caught.value.hint or "")


def test_a_worker_gives_up_what_it_does_not_need() -> None:
    pool = Pool(1, Limits(seconds=60, cpu_seconds=2, memory_mib=64))
    try:
        assert pool.ask(ASKED) == {"value": {"x": 1}}
        (pid,) = pids(pool)
        limits = limits_of(pid)
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        assert int(limits["Max open files"]) == used == 4, "no descriptor is left: for a file, a socket or a pipe"
        assert [limits[f"Max {name}"] for name in ("file size", "core file size", "processes")] == ["0", "0", "0"]
        assert int(limits["Max cpu time"]) <= 6
        status = Path(f"/proc/{pid}/status").read_text()
        (size,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize"))
        assert 0 < int(limits["Max address space"]) - size * 1024 <= 64 * 1024 * 1024
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    finally:
        pool.close()
    assert not Path(f"/proc/{pid}").exists()


def test_the_interpreter_finds_no_environment_even_when_it_is_asked(pool: Pool) -> None:
    """Our reader refuses the function; behind it there is nothing to find either."""
    assert "HOME" in os.environ
    answer = pool.ask({**ASKED, "module": "package amber\nx := opa.runtime().env\n"})
    assert answer == {"value": {"x": {}}}


def test_nothing_of_one_policy_is_there_for_the_next(pool: Pool) -> None:
    assert pool.ask({**ASKED, "module": "package amber\ny := 1\n"}) == {"value": {"y": 1}}
    assert pool.ask(ASKED) == {"value": {"x": 1}}


@pytest.mark.parametrize("bomb", [CPU_BOMB, MEMORY_BOMB])
def test_a_bomb_costs_its_worker_and_nobody_else(bomb: str) -> None:
    with RegoEngine(workers=2, limits=Limits(seconds=60, cpu_seconds=0, memory_mib=64), max_cached=0) as engine:
        assert engine.evaluate(rego("a { input.sgx_isvsvn == 3 }"), SGX, at=AT).matched
        before = pids(engine._pool)
        outcome = engine.evaluate(rego(bomb), SGX, at=AT)
        assert not outcome.matched
        assert outcome.mismatches[0]["rule"] == "policy"
        assert pids(engine._pool).isdisjoint(before), "another has taken its place"
        assert engine.evaluate(rego("a { input.sgx_isvsvn == 3 }"), SGX, at=AT).matched


def test_workers_are_started_when_they_are_needed() -> None:
    with RegoEngine(workers=8, limits=PATIENT) as engine:
        assert pids(engine._pool) == set()
        for text in ("a { input.sgx_isvsvn == 3 }", "b { input.sgx_isvsvn == 3 }"):
            assert engine.evaluate(rego(text), SGX, at=AT).matched
        assert len(pids(engine._pool)) == 1


def test_a_worker_that_cannot_be_started_costs_no_place() -> None:
    pool = Pool(1, PATIENT, program=["/nonexistent/worker"])
    for _ in range(3):
        with pytest.raises(WorkerFailed, match="no worker can be started") as caught:
            pool.ask(ASKED)
        assert not caught.value.blame
    pool.close()


def test_a_bomb_does_not_hold_up_others() -> None:
    """While one worker is at it, the other answers: it has, before the bomb is through."""
    with RegoEngine(workers=2, limits=Limits(seconds=20, cpu_seconds=60), max_cached=0) as engine:
        for worker in [engine._pool._start() for _ in range(2) if engine._pool._free.get() is None]:
            engine._pool._free.put(worker)
        gone = threading.Event()
        workers = pids(engine._pool)

        def explode() -> None:
            engine.evaluate(rego(CPU_BOMB), SGX, at=AT)
            gone.set()

        thread = threading.Thread(target=explode)
        thread.start()
        assert engine.evaluate(rego("b { input.sgx_isvsvn == 3 }"), SGX, at=AT).matched
        assert not gone.is_set()
        while not (busy := [pid for pid in workers - pids(engine._pool) if _running(pid)]) and thread.is_alive():
            pass
        os.kill(busy[0], 9)  # ours, and nobody needs to wait for its deadline
        thread.join()
        assert gone.is_set()
        assert engine.evaluate(rego("c { input.sgx_isvsvn == 3 }"), SGX, at=AT).matched


def _running(pid: int) -> bool:
    return "State:\tR" in Path(f"/proc/{pid}/status").read_text()


def test_when_all_are_busy_it_is_said() -> None:
    with RegoEngine(workers=1, limits=Limits(seconds=1, cpu_seconds=60), max_cached=0) as engine:
        pool = engine._pool
        worker = pool._free.get()
        try:
            outcome = engine.evaluate(rego("a := true"), SGX, at=AT)
        finally:
            pool._give_back(worker, good=True)
    assert outcome.mismatches == ({"rule": "policy", "seen": "all workers are busy", "wanted": "an answer"},)


def test_a_worker_is_replaced_after_some_thousand_requests(pool: Pool) -> None:
    pool.ask(ASKED)
    before = only(pool).pid
    only(pool)._requests = MAX_REQUESTS - 1
    assert pool.ask(ASKED) == {"value": {"x": 1}}
    assert only(pool).pid != before
    assert pool.ask(ASKED) == {"value": {"x": 1}}


def test_no_growth_over_many_policies(pool: Pool) -> None:
    """What a worker keeps of policies is bounded: after the first hundred it takes no more."""

    def resident() -> int:
        return int(Path(f"/proc/{only(pool).pid}/statm").read_text().split()[1])

    sizes = []
    for half in range(2):
        for index in range(100):
            pool.ask({**ASKED, "module": f"package amber\nx := {half * 100 + index}\n"})
        sizes.append(resident())
    assert sizes[1] <= sizes[0] * 1.1


HOSTILE = {
    "ends at once": "",
    "never ready": "import time; time.sleep(600)",
    "no JSON": "w(b'{')",
    "no object": "w(b'[]')",
    "another object": 'w(b\'{"value": {}, "ready": true}\')',
    "deep": "w(b'[' * 60000)",
    "NaN": "ready(); r(); w(b'{\"value\": NaN}')",
    "huge": f"ready(); r(); os.write(1, ({MAX_ANSWER} + 1).to_bytes(4, 'big') + b'x' * 9)",
    "half a frame": "ready(); r(); os.write(1, b'\\x00\\x00\\x00\\x09{')",
    "ends without a word": "ready(); r()",
    "reads nothing": "ready(); import time; time.sleep(600)",
    "deaf": "ready(); os.close(0); r2()",
}
PRELUDE = """
import os, struct
def w(b): os.write(1, struct.pack('>I', len(b)) + b)
def ready(): w(b'{"ready": true}')
def r(): os.read(0, 65536)
def r2(): os.read(1, 1)
"""


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_a_broken_worker_says_is_not_believed(name: str) -> None:
    limits = Limits(
        seconds=1.0 if name == "reads nothing" else 60.0, start_seconds=1.0 if name == "never ready" else 60.0
    )
    pool = Pool(1, limits, program=[sys.executable, "-I", "-c", PRELUDE + HOSTILE[name]])
    try:
        big = {**ASKED, "input": {"n": "x" * 200_000}} if name == "reads nothing" else ASKED
        with pytest.raises(WorkerFailed):
            pool.ask(big)
    finally:
        pool.close()


def test_a_worker_that_ran_out_of_something_is_not_asked_again() -> None:
    """The interpreter survives some of its own failures, and keeps what it took."""
    pool = Pool(1, Limits(seconds=60, cpu_seconds=30, memory_mib=64))
    try:
        pool.ask(ASKED)
        before = only(pool).pid
        with pytest.raises(WorkerFailed) as caught:
            pool.ask({**ASKED, "module": f"package amber\n{BOMBS['memory: texts'].text}\n"})
        assert caught.value.blame
        assert only(pool).pid != before
        assert pool.ask(ASKED) == {"value": {"x": 1}}
    finally:
        pool.close()


def test_rules_that_contradict_each_other_cost_no_worker(pool: Pool) -> None:
    pool.ask(ASKED)
    before = only(pool).pid
    answer = pool.ask({**ASKED, "module": "package amber\na = 1 { true }\na = 2 { true }\n"})
    assert answer == {"refused": "rules contradict each other, or a built-in function failed"}
    assert only(pool).pid == before


def test_a_machine_that_is_busy_is_not_the_policys_doing() -> None:
    """A worker that is not let run is late, and the policy is not blamed; one that ran all the time is."""
    pool = Pool(1, Limits(seconds=0.5, cpu_seconds=30))
    try:
        pool.ask(ASKED, share=100)
        os.kill(only(pool).pid, signal.SIGSTOP)
        with pytest.raises(WorkerFailed) as caught:
            pool.ask(ASKED)
        assert not caught.value.blame
        pool.ask(ASKED, share=100)
        with pytest.raises(WorkerFailed) as caught:
            pool.ask({**ASKED, "module": f"package amber\n{CPU_BOMB}\n"}, share=8)
        assert caught.value.blame
    finally:
        pool.close()


def test_an_answer_that_is_too_long_is_none(pool: Pool) -> None:
    module = "package amber\nx := [y | some i in numbers.range(1, 3000); y := concat(`-`, [`" + "x" * 100 + "`])]\n"
    answer = pool.ask({**ASKED, "module": module})
    assert answer == {"refused": "the answer is too long"}


def test_a_request_that_is_too_long_is_not_sent(pool: Pool) -> None:
    with pytest.raises(WorkerFailed, match="too long"):
        pool.ask({**ASKED, "input": {"n": "x" * 2_000_000}})


PARENT = """
import sys
from ambergate.rego.pool import Limits, Pool
pool = Pool(1, Limits(seconds=600, cpu_seconds=1))
pool.ask({"module": "package amber\\n", "input": {}, "query": "data.amber"})
print(pool._free.queue[0].pid, flush=True)
pool.ask({"module": "package amber\\n" + sys.argv[1], "input": {}, "query": "data.amber"})
"""


@pytest.mark.parametrize("text", ["a := true", CPU_BOMB])
def test_no_worker_outlives_its_service(text: str) -> None:
    """Whatever it is at when the service is killed."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, text], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = Path(f"/proc/{int(parent.stdout.readline())}")
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while worker.exists() and "\nState:\tZ" not in _status(worker):
        assert time.monotonic() < deadline


def _status(process: Path) -> str:
    try:
        return (process / "status").read_text()
    except OSError:  # gone meanwhile
        return "\nState:\tZ"


def test_a_closed_engine_matches_nothing() -> None:
    engine = RegoEngine(workers=1, limits=Limits(seconds=0.1))
    engine.close()
    assert not engine.evaluate(rego("a := true"), SGX, at=AT).matched


@pytest.mark.parametrize("workers", [0, 65])
def test_the_number_of_workers_is_bounded(workers: int) -> None:
    with pytest.raises(ValueError, match="workers"):
        RegoEngine(workers=workers)
