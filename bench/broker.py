"""`python -m bench.broker`: what a release costs, and whether many keys make it dearer.

A broker as its operator runs it, in a process of its own, over TLS, with its audit log on this disk. Once with a
thousand keys and a hundred policies, then with `--keys` (100,000) and a tenth as many policies:

    release_cpu_us         CPU of the broker for one release: token, policy, envelope, record
    release_p50_us, p99    one client that asks again and again
    releases_per_second    eight clients
    find_cpu_us            GET /broker/v1/keys/{id}
    search_cpu_us          the first hundred keys under one policy, of a hundred

Beside them `many/few`, the ratio: 1.2 and less is what it should reach. Both brokers run, and are asked in turns; the
best of the rounds counts. Rows that only fill are copies under other ids: they are found and never opened. CPU is the
broker's own; latencies are of the clock on the wall, on a machine that others use.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID, uuid4

import httpx
from bench.__main__ import machine
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import insert, select

from ambergate.core.release.envelope import encode_held_key
from ambergate.core.release.kbs_form import to_kbs
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.core.token.jose import SigningKey, sign
from ambergate.services.keybroker.app import Options, create_app, open_state
from ambergate.services.keybroker.bearer import BearerTokens
from ambergate.services.keybroker.config import load
from ambergate.services.keybroker.permissions import PERMISSIONS
from ambergate.services.web.live import Live
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import bound_socket, serve
from ambergate.stores.engine import open_engine
from ambergate.stores.key_policies import KeyPolicy
from ambergate.stores.tables import (
    broker_policies,
    broker_policy_uses,
    broker_secret_versions,
    broker_secrets,
    broker_version_keys,
)
from ambergate.stores.transactions import reading, writing
from ambergate.stores.users import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine, Table

ISSUER: Final = "https://attest.example"
MR_ENCLAVE: Final = "5a" * 32
FEW: Final = 1000
CLIENTS: Final = 8
UNDER_ONE: Final = 100  # keys under the policy that is searched for
SLOWDOWN: Final = 1.2  # that many keys may cost
RATE: Final = "releases_per_second"
_OUTPUT: Final = Path(__file__).resolve().parent.parent / "build" / "bench-broker.json"
_CONFIG: Final = """\
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "broker.sqlite"
key_encryption_key = "broker.kek"
[[issuers]]
issuer = "https://attest.example"
jwks_file = "keys.json"
"""
POLICY: Final = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE})


def main() -> None:
    """Measure, print, write build/bench-broker.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.broker", description="Measure the key broker.")
    parser.add_argument("--keys", type=int, default=100_000, help="how many are many (default 100,000)")
    parser.add_argument("--releases", type=int, default=1000, help="in all rounds (default 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved (default 5)")
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        _serve(arguments.serve)
        return
    figures = measure(arguments.keys, arguments.releases, arguments.rounds)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"the key broker, {FEW} and {arguments.keys} keys, {arguments.rounds} rounds\n")
    for name, ratio in figures["many/few"].items():
        few, many = figures["few"][name], figures["many"][name]
        print(f"  {name:22} {few:>10,.0f} {many:>10,.0f}   many/few {ratio:.2f}")


def measure(keys: int, releases: int, rounds: int) -> dict[str, Any]:
    """The figures of both sizes, each the best of the rounds, and their ratios."""
    with contextlib.ExitStack() as stack:
        sites, running = {}, {}
        for name, size in (("few", FEW), ("many", keys)):
            sites[name] = Site.made(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            sites[name].fill(size)
            running[name] = stack.enter_context(Running(sites[name]))
        told: dict[str, list[dict[str, float]]] = {name: [] for name in sites}
        for _ in range(rounds):  # one beside the other: what else runs on the machine is alike for both
            for name, site in sites.items():
                told[name].append(site.measured(running[name], releases // rounds))
    found = {
        name: {each: (max if each == RATE else min)(one[each] for one in several) for each in several[0]}
        for name, several in told.items()
    }
    few, many = found["few"], found["many"]
    ratios = {each: few[each] / many[each] if each == RATE else many[each] / few[each] for each in few}
    return {**found, "many/few": ratios, "to_reach": SLOWDOWN, "rounds": rounds, "machine": machine()}


@dataclass
class Site:
    """A broker's folder, and who asks it."""

    folder: Path
    signer: SigningKey
    held: str
    real: list[UUID]
    user: User
    searched: UUID

    @classmethod
    def made(cls, folder: Path) -> Site:
        """A broker with a few real keys, one user, and a policy that a hundred keys are under."""
        at = datetime.now(UTC)
        certificate = make_server_certificate(["127.0.0.1"], at)
        for name in ("cert_pem", "key_pem", "ca_pem"):
            (folder / name.replace("_", ".")).write_text(getattr(certificate, name))
        signer = SigningKey("a" * 96, rsa.generate_private_key(65537, 3072), ())
        members = [{name: part for name, part in each.items() if name != "x5c"} for each in signer.public_members()]
        (folder / "keys.json").write_text(json.dumps({"keys": members}))
        (folder / "broker.toml").write_text(_CONFIG)
        workload = rsa.generate_private_key(65537, 3072)
        held = b64encode(encode_held_key(workload.public_key())).decode()
        user = User(
            id=uuid4(),
            username="bench",
            password="none",
            permissions=frozenset(PERMISSIONS),
            generation=1,
            created_at=at,
            updated_at=at,
        )
        site = cls(folder, signer, held, [uuid4() for _ in range(UNDER_ONE)], user, uuid4())
        with site.opened() as state:
            state.users.add(user)
            document = json.dumps(to_kbs(POLICY))
            policy = KeyPolicy(id=site.searched, document=document, policy=POLICY, created_at=at, created_by="bench")
            state.policies.add(policy)
            for key in site.real:
                state.policies.use(key, site.searched, at=at)
                state.secrets.add(key, bytes(32), POLICY, at=at)
        return site

    def opened(self) -> Any:  # noqa: ANN401  a context manager of the state
        return open_state(load(self.folder / "broker.toml"), now=lambda: datetime.now(UTC))

    def fill(self, size: int) -> None:
        """So many keys, and a tenth as many policies."""
        config = load(self.folder / "broker.toml")
        assert isinstance(config.version_keys, Path)
        beside = open_engine(config.version_keys)
        with self.opened() as state, contextlib.closing(_Disposed(beside)):
            _fill(state.database, beside, self.real[0], self.searched, size)

    def token(self) -> str:
        at = int(time.time())
        claims = {
            "iss": ISSUER,
            "iat": at - 1,
            "exp": at + 600,
            "jti": str(uuid4()),
            "attester_type": "SGX",
            "attester_tcb_status": "UpToDate",
            "attester_held_data": self.held,
            "sgx_mrenclave": MR_ENCLAVE,
            "sgx_is_debuggable": False,
            "dbgstat": "disabled",
        }
        return sign(claims, self.signer, "PS384", jku=f"{ISSUER}/certs")

    def measured(self, broker: Running, releases: int) -> dict[str, float]:
        """The figures of a broker of this size, once."""
        token = self.token()
        broker.release(token, 8)  # what is loaded once has been
        cpu, latencies = broker.release(token, releases)
        rate = broker.together(token, releases)
        find = broker.cpu_of(lambda client, n: _get(client, f"/broker/v1/keys/{self.real[n % UNDER_ONE]}"), releases)
        search = f"/kbs/v1/keys?transferPolicyId={self.searched}&limit={UNDER_ONE}"
        several = broker.cpu_of(lambda client, _: _get(client, search), max(releases // 4, 1))
        return {
            "release_cpu_us": cpu,
            "release_p50_us": statistics.median(latencies),
            "release_p99_us": sorted(latencies)[int(len(latencies) * 0.99)],
            RATE: rate,
            "find_cpu_us": find,
            "search_cpu_us": several,
        }


class Running:
    """The broker in its own process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        command = [sys.executable, "-m", "bench.broker", "--serve", str(site.folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._port = int(self._line())
        with site.opened() as state:
            bearer = BearerTokens(state.bearer_key, lifetime=timedelta(minutes=30))
        self._token = bearer.issue(site.user, at=datetime.now(UTC))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def release(self, token: str, count: int) -> tuple[float, list[float]]:
        """Microseconds of CPU for one, and of each by the clock."""
        latencies: list[float] = []

        def one(client: httpx.Client, n: int) -> None:
            began = time.perf_counter()
            self._ask(client, token, n)
            latencies.append((time.perf_counter() - began) * 1e6)

        return self.cpu_of(one, count), latencies

    def together(self, token: str, count: int) -> float:
        """Releases in a second by all clients together."""

        def work(share: int) -> None:
            with self._client() as client:
                for n in range(share):
                    self._ask(client, token, n)

        threads = [threading.Thread(target=work, args=(count // CLIENTS,)) for _ in range(CLIENTS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return count // CLIENTS * CLIENTS / (time.perf_counter() - began)

    def cpu_of(self, ask: Callable[[httpx.Client, int], None], count: int) -> float:
        """Microseconds of the broker's CPU for one of so many requests."""
        with self._client() as client:
            ask(client, 0)
            before = self._cpu()
            for n in range(count):
                ask(client, n)
            return (self._cpu() - before) / count / 1000

    def _ask(self, client: httpx.Client, token: str, n: int) -> None:
        path = f"/kbs/v1/keys/{self._site.real[n % UNDER_ONE]}/transfer"
        client.post(path, json={"attestation_token": token}).raise_for_status()

    def _client(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=self._site.folder / "ca.pem")
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        base = f"https://127.0.0.1:{self._port}"
        return httpx.Client(base_url=base, verify=context, trust_env=False, headers=headers, timeout=30)

    def _cpu(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _get(client: httpx.Client, path: str) -> None:
    client.get(path).raise_for_status()


def _fill(database: Engine, beside: Engine, model: UUID, policy: UUID, size: int) -> None:
    """Copies of one key's and one policy's rows, under other ids, until there are so many."""
    with reading(database) as connection:
        key = dict(connection.execute(select(broker_secrets).where(broker_secrets.c.id == str(model))).mappings().one())
        where = broker_secret_versions.c.secret_id == str(model)
        version = dict(connection.execute(select(broker_secret_versions).where(where)).mappings().one())
        kept = broker_policies.c.id == str(policy)
        document = dict(connection.execute(select(broker_policies).where(kept)).mappings().one())
        there = len(connection.execute(select(broker_secrets.c.id)).all())
        policies = [row.id for row in connection.execute(select(broker_policies.c.id)) if row.id != str(policy)]
    with reading(beside) as connection:
        named = broker_version_keys.c.id == version["version_key"]
        sealed = dict(connection.execute(select(broker_version_keys).where(named)).mappings().one())
    policies += [str(uuid4()) for _ in range(max(size // 10 - len(policies), 0))]
    fresh = [(str(uuid4()), str(uuid4())) for _ in range(max(size - there, 0))]
    known = set(policies)
    with writing(database) as connection:
        have = {row.id for row in connection.execute(select(broker_policies.c.id))}
        rows: dict[Table, list[dict[str, Any]]] = {
            broker_policies: [{**document, "id": each} for each in sorted(known - have)],
            broker_secrets: [{**key, "id": each} for each, _ in fresh],
            broker_secret_versions: [{**version, "secret_id": each, "version_key": other} for each, other in fresh],
            broker_policy_uses: [
                {"key_id": each, "policy_id": policies[n % len(policies)], "since": document["created_at"]}
                for n, (each, _) in enumerate(fresh)
            ],
        }
        for table, values in rows.items():
            _insert(connection, table, values)
    with writing(beside) as connection:
        _insert(connection, broker_version_keys, [{**sealed, "id": other} for _, other in fresh])


def _insert(connection: Connection, table: Table, values: list[dict[str, Any]]) -> None:
    for start in range(0, len(values), 5000):
        connection.execute(insert(table), values[start : start + 5000])


@dataclass(frozen=True)
class _Disposed:
    engine: Engine

    def close(self) -> None:
        self.engine.dispose()


def _serve(folder: Path) -> None:
    """A broker until the input ends; tells its port, and its CPU for every line that it reads."""
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("ambergate.audit").setLevel(logging.CRITICAL)
    config = load(folder / "broker.toml")
    listener = bound_socket("127.0.0.1", 0)

    def started() -> None:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=_tell, daemon=True).start()

    with open_state(config, now=lambda: datetime.now(UTC)) as state:
        options = Options(token_lifetime=timedelta(minutes=30))
        app = create_app(state, config.trust, now=lambda: datetime.now(UTC), options=options)
        serve(Live.lasting(app, config.tls), listener, on_start=started)


def _tell() -> None:
    for _ in sys.stdin:
        print(time.process_time_ns(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
