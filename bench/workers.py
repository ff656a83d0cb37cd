"""`python -m bench.workers`: attest requests at one worker and at two, of the service as its operator starts it.

Two figures, since cores may be few and others' work on them much: answers per second, by the clock on the wall and with
the senders on the same machine; and the CPU that all workers take for a request, which says what a second one costs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.attest import SAMPLES, prepare, request_body
from bench.senders import Sender, post, send_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COUNTS: Final = (1, 2)
CONNECTIONS: Final = 32  # to each worker: enough that it never waits for its clients
REQUESTS: Final = 6400  # in a round, of each service
ALGORITHM: Final = "PS384"
_PROJECT: Final = Path(__file__).resolve().parent.parent
_OUTPUT: Final = _PROJECT / "build" / "bench-workers.json"
_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and connections to it."""

    process: subprocess.Popen[str]
    connections: tuple[Sender, ...]

    def workers(self) -> list[int]:
        """The processes that serve: the service itself, or those that it watches."""
        pid = self.process.pid
        watched = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return [int(word) for word in watched] or [pid]

    def cpu(self) -> list[float]:
        """CPU seconds of each of them."""
        stats = (Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2] for pid in self.workers())
        return [sum(map(int, stat.split()[11:13])) / _TICK for stat in stats]

    def round(self, requests: Sequence[bytes], number: int) -> tuple[float, float, float]:
        """Answers per second, CPU microseconds of one, and the busiest worker's share."""
        before, began = self.cpu(), time.perf_counter()
        send_all(self.connections, requests, number)
        seconds = time.perf_counter() - began
        used = [after - was for after, was in zip(self.cpu(), before, strict=True)]
        return number / seconds, sum(used) / number * 1e6, max(used) / max(sum(used), 1 / _TICK)


@contextlib.contextmanager
def serving(folder: Path, count: int) -> Iterator[Service]:
    """The service with so many workers."""
    program = "from ambergate.cli.main import main; main()"
    command = [sys.executable, "-c", program, "attestation", "serve", "--json", "--workers", str(count)]
    command += ["--config", str(folder / "attestation.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            told = ""
            while not told.endswith("\n}\n"):
                told += process.stdout.readline()
            port = json.loads(told)["listening"]["port"]
            context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
            connections = tuple(Sender(port, context) for _ in range(CONNECTIONS * count))
            with contextlib.ExitStack() as stack:
                for connection in connections:
                    stack.callback(connection.close)
                yield Service(process, connections)
        finally:
            process.terminate()
            process.wait(60)


def measure(rounds: int, requests: int) -> dict[str, dict[str, float]]:
    """The figures of each number of workers, and the ratios of two to one."""
    found: dict[int, list[tuple[float, float, float]]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        platform, api_key = prepare(folder)
        services = {count: stack.enter_context(serving(folder, count)) for count in COUNTS}
        headers = {"x-api-key": api_key, "accept": "application/json", "content-type": "application/json"}
        bodies = [request_body(services[1].connections[0], platform, headers) for _ in range(SAMPLES)]
        contents = [json.dumps({**body, "token_signing_alg": ALGORITHM}).encode() for body in bodies]
        asked = [post("/appraisal/v1/attest", content, headers) for content in contents]
        for turn in range(rounds + 1):
            for count, service in services.items():
                figures = service.round(asked, requests)
                if turn:  # the first round warms both
                    found[count].append(figures)
    names = ("per_second", "cpu_us", "busiest_share")
    told = {
        f"workers_{count}": dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))
        for count, rows in found.items()
    }
    pairs = list(zip(found[2], found[1], strict=True))
    told["two_to_one"] = {
        name: statistics.median(two[place] / one[place] for two, one in pairs) for place, name in enumerate(names[:2])
    }
    return told


def main() -> None:
    """Measure, print, write build/bench-workers.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description="Two workers beside one.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="where the figures go")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="in a round, of each service")
    arguments = parser.parse_args()
    told = measure(arguments.rounds, arguments.requests)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(
        f"\n{ALGORITHM} attest requests on {CONNECTIONS} connections a worker; senders on these {os.cpu_count()} cores"
    )
    for count in COUNTS:
        row = told[f"workers_{count}"]
        rate, cost, share = row["per_second"], row["cpu_us"], row["busiest_share"]
        print(f"  workers: {count}  {rate:6.0f} /s, {cost:6.0f} us CPU a request, busiest {share:.0%}")
    ratio = told["two_to_one"]
    print(f"  two to one: {ratio['per_second']:.2f} of the rate, {ratio['cpu_us']:.2f} of the CPU of a request")


if __name__ == "__main__":
    main()
