"""Attest requests: the service beside a bare handler that does the two crypto operations alone, in the same run.

What is counted is the CPU that each server process takes for a request, all its threads together, over TLS on kept
connections. On a machine whose cores are the limit, the rate of a worker is one over that. How long requests take is
told at 70 % of the peak: each is sent at its time, whether or not the one before has its answer, and its time counts
from then. The audit log is durable in all cases but `unrecorded`. Requests have evidence and nonces of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bench.senders import Sender, body_of, get, post, send_all

from ambergate.core.appraise.named import PolicyKind, PolicyLanguage
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.config import load
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.policies import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS: Final = ("service", "unrecorded", "watched", "bare")
# Algorithm, named policy if there is one, and requests of each server in a round.
CASES: Final = (
    ("ES256", None, 320),
    ("ES256", "typed", 320),
    ("ES256", "rego", 320),
    ("PS384", None, 160),
    ("PS384", "typed", 160),
)
TIMED: Final = (("ES256", "typed"), ("PS384", "typed"))  # of which latency is told
LOAD: Final = 0.7  # of the peak
CONNECTIONS: Final = 16
SAMPLES: Final = 32  # pieces of evidence
_TYPED: Final = (
    f'[[sgx]]\nmr_signer = ["{SPECIMEN.mr_signer}"]\nisv_prod_id = [{SPECIMEN.isv_prod_id}]\nminimum_isv_svn = 0\n'
)
_REGO: Final = f"""default matches_sgx_policy = false
matches_sgx_policy = true {{
  input.sgx_is_debuggable == false
  input.sgx_mrsigner == "{SPECIMEN.mr_signer}"
}}
"""
_ATTEST: Final = "/appraisal/v1/attest"
_PROJECT: Final = Path(__file__).resolve().parent.parent
_CONFIG: Final = """\
base_url = "https://localhost:8443"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
[tokens]
nonce_seconds = 3600
[[anchors]]
pem = "root_ca.pem"
simulated = true
collateral = "collateral"
"""


def attest_figures(*, rounds: int) -> dict[str, dict[str, float]]:
    """CPU microseconds of one request at each server for each case, the share of the bare rate, and latencies.

    `share_unrecorded` is that of the service without its audit log: what records cost depends on how many are
    committed together, and so on how many callers there are. `share_watched` is that with metrics and access log.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        platform, api_key = prepare(folder)
        policies = _make_policies(folder)
        servers = {kind: stack.enter_context(_server(kind, folder)) for kind in KINDS}
        headers = {"x-api-key": api_key, "accept": "application/json", "content-type": "application/json"}
        asking = servers["service"].connections[0]
        bodies = [request_body(asking, platform, headers) for _ in range(SAMPLES)]
        figures: dict[str, dict[str, float]] = {}
        for alg, policy, most in CASES:
            count = most * min(rounds, 4) // 4
            asked = {"token_signing_alg": alg, **_naming(policies, policy)}
            contents = [json.dumps({**body, **asked}).encode() for body in bodies]
            attest = [post(_ATTEST, content, headers) for content in contents]
            sign = [post(f"/{alg}", content, headers) for content in contents]
            costs: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for turn in range(rounds + 1):
                for kind, server in servers.items():
                    requests = sign if kind == "bare" else attest
                    server.cost(requests, CONNECTIONS)  # what it knows may be old: it had nothing to do meanwhile
                    cost = server.cost(requests, count)
                    if turn:  # the first round warms all of them
                        costs[kind].append(cost)
            case = f"{alg}, {policy} policy" if policy else alg
            figures[case] = _told(costs)
            if (alg, policy) in TIMED:
                figures[case] |= _latency(servers["service"], attest, count * max(rounds, 2))
        return figures


def _naming(policies: dict[str, str], policy: str | None) -> dict[str, object]:
    """That this policy has to match: a service that is fast because it does not look gives no token."""
    return {} if policy is None else {"policy_ids": [policies[policy]], "policy_must_match": True}


def _latency(service: Server, requests: Sequence[bytes], count: int) -> dict[str, float]:
    """The peak by the clock on the wall, its clients beside it, and how long requests take at `LOAD` of that."""
    began = time.perf_counter()
    service.cost(requests, count)
    peak = count / (time.perf_counter() - began)
    waits = sorted(service.paced(requests, count, rate=LOAD * peak))
    return {
        "peak_per_second": round(peak, 1),
        "p50_ms": round(waits[len(waits) // 2] * 1e3, 2),
        "p99_ms": round(waits[len(waits) * 99 // 100] * 1e3, 2),
    }


def _told(costs: dict[str, list[float]]) -> dict[str, float]:
    def share(kind: str) -> float:
        return round(statistics.median(b / a for a, b in zip(costs[kind], costs["bare"], strict=True)), 3)

    medians = {kind: statistics.median(values) for kind, values in costs.items()}
    figures = {f"{kind}_us": round(median, 1) for kind, median in medians.items()}
    figures |= {f"{kind}_per_second": round(1e6 / median, 1) for kind, median in medians.items()}
    return {**figures, "share_of_bare_rate": share("service"), **{f"share_{kind}": share(kind) for kind in KINDS[1:3]}}


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures for people."""
    lines = [
        f"  {alg:19} {told['service_us']:>8} us, unrecorded {told['unrecorded_us']:>8}, bare {told['bare_us']:>8}; "
        f"a worker's rate {told['service_per_second']}/s of {told['bare_per_second']}/s: "
        f"{told['share_of_bare_rate']:.2f} of the bare rate, unrecorded {told['share_unrecorded']:.2f}, "
        f"watched {told['share_watched']:.2f}"
        for alg, told in figures.items()
    ]
    timed = [
        f"  {alg:19} p50 {told['p50_ms']:>6} ms, p99 {told['p99_ms']:>6} ms at 70 % of {told['peak_per_second']}/s"
        for alg, told in figures.items()
        if "p50_ms" in told
    ]
    title = "\none attest request, CPU of the server process (a worker that has a core does one over that)"
    return "\n".join([title, *lines, "", *timed])


@dataclass(frozen=True)
class Server:
    """A server in a process of its own, and connections to it."""

    process: subprocess.Popen[str]
    connections: tuple[Sender, ...]

    def cost(self, requests: Sequence[bytes], count: int) -> float:
        """CPU microseconds of one request, over `count` of them on all connections at once."""
        begin = self._cpu()
        send_all(self.connections, requests, count)
        return (self._cpu() - begin) / count / 1000

    def paced(self, requests: Sequence[bytes], count: int, *, rate: float) -> list[float]:
        """Seconds that each of `count` requests took from its time on, `rate` of them a second."""
        numbers, waits, began = itertools.count(), list[float](), time.perf_counter() + 0.1

        def pace(connection: Sender) -> None:
            while (number := next(numbers)) < count:
                due = began + number / rate
                time.sleep(max(due - time.perf_counter(), 0))
                connection.ask(requests[number % len(requests)])
                waits.append(time.perf_counter() - due)

        with ThreadPoolExecutor(len(self.connections)) as threads:
            list(threads.map(pace, self.connections))
        return waits

    def _cpu(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @classmethod
    def start(cls, kind: str, folder: Path) -> Self:
        """Start it and connect."""
        command = [sys.executable, "-m", "bench.attest_serve", kind, str(folder)]
        process = subprocess.Popen(command, cwd=_PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        return cls(
            process,
            tuple(Sender(port, context) for _ in range(CONNECTIONS)),
        )


@contextlib.contextmanager
def _server(kind: str, folder: Path) -> Iterator[Server]:
    server = Server.start(kind, folder)
    try:
        yield server
    finally:
        for connection in server.connections:
            connection.close()
        server.process.communicate()


def prepare(folder: Path) -> tuple[SimulatedPlatform, str]:
    """A service's folder as its operator would fill it; the platform that it believes, and an API key."""
    at = datetime.now(UTC)
    platform = SimulatedPlatform.create(at=at)
    (folder / "root_ca.pem").write_text(platform.root_pem, encoding="utf-8")
    platform.save_collateral(folder, at=at)
    made = make_server_certificate(["localhost"], at)
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "attestation.toml").write_text(_CONFIG, encoding="utf-8")
    with open_state(load(folder / "attestation.toml"), at=at) as state:
        return platform, state.api_keys.create("bench", at=at)[1]


def _make_policies(folder: Path) -> dict[str, str]:
    """One policy of each language that welcomes the enclave: language -> id."""
    at, policies = datetime.now(UTC), {}
    with open_state(load(folder / "attestation.toml"), at=at) as state:
        for language, text in ((PolicyLanguage.TYPED, _TYPED), (PolicyLanguage.REGO, _REGO)):
            draft = Draft(name=language.value, language=language, text=text)
            made = state.policies.create(draft, PolicyKind.APPRAISAL, at=at)
            policies[language.value] = str(made.policy.id)
    return policies


def request_body(connection: Sender, platform: SimulatedPlatform, headers: dict[str, str]) -> dict[str, Any]:
    """As an honest client makes it: with a nonce, and a public key's size of runtime data."""
    nonce = json.loads(body_of(connection.ask(get("/appraisal/v1/nonce", headers))))
    data = b"k" * 91
    bound = hashlib.sha256(b64decode(nonce["val"]) + b64decode(nonce["iat"]) + data).digest() + bytes(32)
    quote = platform.quote(SPECIMEN, bound)
    return {
        "quote": b64encode(quote).decode(),
        "verifier_nonce": nonce,
        "runtime_data": b64encode(data).decode(),
    }
