"""Kill a running attestation service again and again, and see whether anything that it acknowledged is lost.

    python -m scripts.kills [--kills 200] [--seed 1]        or: make kills

A real service on a real socket is asked for tokens by several clients at once. At a random moment it is killed
(SIGKILL), and started again. In the end each token that a client has got must have its record in the audit log, the
log must verify and continue its pin, the service must publish the keys that it did, and know its API key. Restarts are
timed: from the start of the process until it accepts connections.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import httpx

from ambergate.services.attestation.app import open_api_keys, open_state
from ambergate.services.attestation.config import load
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.audit import read_pin
from ambergate.stores.audit_check import check_whole
from ambergate.stores.audit_rows import find_entry
from ambergate.stores.engine import open_database
from ambergate.stores.transactions import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENTS: Final = 4
MOST_TOKENS: Final = 60  # that are waited for before a kill
RESTART: Final = 5  # seconds that a restart may take, on a machine with nothing else to do
START: Final = 60  # seconds that a start may take before this gives up
_CONFIG: Final = """\
base_url = "https://attest.example"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "DATABASE"
key_encryption_key = "attestation.kek"
[[anchors]]
pem = "root_ca.pem"
simulated = true
collateral = "collateral"
"""
AMBER: Final = (sys.executable, "-c", "from ambergate.cli.main import main; main()")


@dataclass
class Outcome:
    """What came of it. `faults` is empty when nothing was lost."""

    kills: int = 0
    tokens: list[str] = field(default_factory=list)  # ids of those that clients have got
    records: int = 0
    restarts: list[float] = field(default_factory=list)  # seconds
    faults: list[str] = field(default_factory=list)


class Site:
    """A service's folder, and the means to run it and to ask it.

    Args:
        folder: an empty one.
        database: where its state is, as a configuration says it.
    """

    def __init__(self, folder: Path, *, database: str = "attestation.sqlite") -> None:
        self.folder = folder
        now = datetime.now(UTC)
        made = make_server_certificate(["127.0.0.1"], now)
        for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
            (folder / name).write_text(text)
        (folder / "attestation.toml").write_text(_CONFIG.replace("DATABASE", database))
        platform = SimulatedPlatform.create(at=now, random=random.Random(1).randbytes)
        (folder / "root_ca.pem").write_text(platform.root_pem)
        platform.save_collateral(folder, at=now)
        quote = platform.quote(EnclaveIdentity.of_program([b"an application"]), bytes(64))
        self.body = {"quote": base64.b64encode(quote).decode(), "token_signing_alg": "ES256"}
        self.config = load(folder / "attestation.toml")
        with open_api_keys(self.config.database) as keys:
            _, self.api_key = keys.create("kills", at=now)

    def start(self, **settings: str) -> subprocess.Popen[str]:
        """The service as a process, with these settings in its environment; its log is appended to the file `log`."""
        command = [*AMBER, "attestation", "serve", "--config", str(self.folder / "attestation.toml"), "--json"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/", env={**os.environ, **settings}
            )

    def client(self, port: int) -> httpx.Client:
        """One connection to it."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        headers = {"x-api-key": self.api_key}
        return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False, headers=headers)


class Load:
    """Clients that ask for tokens until the service is gone, and note each that they get."""

    def __init__(self, site: Site, port: int) -> None:
        self._site = site
        self._port = port
        self._got = threading.Condition()
        self.tokens: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait(self, count: int) -> None:
        """Until so many tokens were got."""
        with self._got:
            if not self._got.wait_for(lambda: len(self.tokens) >= count, START):
                msg = f"{len(self.tokens)} of {count} tokens after {START} s"
                raise RuntimeError(msg)

    def join(self) -> None:
        """Until all clients have noticed that the service is gone."""
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with self._site.client(self._port) as client:
            while True:
                try:
                    answer = client.post("/appraisal/v1/attest", json=self._site.body)
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    with self._got:
                        self.tokens.append(jti_of(answer.json()["token"]))
                        self._got.notify_all()


def listening(running: subprocess.Popen[str], folder: Path) -> int:
    """The port of a service that was started in this folder, once it accepts connections."""
    assert running.stdout is not None
    watchdog = threading.Timer(START, running.kill)
    watchdog.start()
    text = ""
    while not text.endswith("\n}\n"):
        line = running.stdout.readline()
        if not line:
            msg = f"the service did not start: {(folder / 'log').read_text()[-2000:]}"
            raise RuntimeError(msg)
        text += line
    watchdog.cancel()
    return int(json.loads(text)["listening"]["port"])


def run(folder: Path, *, kills: int, seed: int) -> Outcome:
    """Kill it so often, and look at what is left."""
    chance = random.Random(seed)
    site, outcome = Site(folder), Outcome()
    published: set[str] = set()
    for round_ in range(kills + 1):
        began = time.perf_counter()
        with site.start() as running, ExitStack() as stack:
            stack.callback(running.kill)
            port = listening(running, folder)
            if round_:
                outcome.restarts.append(time.perf_counter() - began)
            with site.client(port) as client:
                keys = {key["kid"] for key in client.get("/certs").json()["keys"]}
                if client.get("/appraisal/v1/version").status_code != 200:
                    outcome.faults.append(f"after kill {round_} the API key is not known")
            if not published <= keys:  # after a minute one more stands by
                outcome.faults.append(f"after kill {round_} a key is gone that was published")
            published = keys
            if round_ == kills:
                break
            load = Load(site, port)
            load.wait(chance.randint(1, MOST_TOKENS))
            time.sleep(chance.uniform(0, 0.02))
            running.kill()
            outcome.kills += 1
        load.join()
        outcome.tokens += load.tokens
    outcome.records, faults = look(site, outcome.tokens, site.config.checkpoint)
    outcome.faults += faults
    return outcome


def look(site: Site, tokens: Sequence[str], checkpoint: Path) -> tuple[int, list[str]]:
    """How many records the log has, and what is wrong: whether it is whole, continues this pin, has every token."""
    pin = read_pin(checkpoint)
    with open_state(replace(site.config, checkpoint=checkpoint), at=datetime.now(UTC)) as state:
        key = state.audit.key
    engine = open_database(site.config.database)
    with reading(engine) as connection:
        finding = check_whole(connection, key, [] if pin is None else [pin])
        lost = [jti for jti in tokens if find_entry(connection, UUID(jti)) is None]
    engine.dispose()
    return finding.size, finding.faults + [f"the record of token {jti} is lost" for jti in lost]


def jti_of(token: str) -> str:
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])


def main() -> int:
    """Run it, and tell."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="amber-kills-") as folder:
        outcome = run(Path(folder), kills=arguments.kills, seed=arguments.seed)
    times = sorted(outcome.restarts)
    print(f"{outcome.kills} kills, {len(outcome.tokens)} tokens acknowledged, {outcome.records} records")
    late = sum(took > RESTART for took in times)
    print(f"restart: median {times[len(times) // 2]:.2f} s, slowest {times[-1]:.2f} s, {late} above {RESTART} s")
    for fault in outcome.faults:
        print(f"FAULT: {fault}")
    print("nothing acknowledged is lost, and the log verifies" if not outcome.faults else "not as promised")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
