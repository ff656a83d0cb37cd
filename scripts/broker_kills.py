"""Kill a running key broker again and again, and see whether anything that it acknowledged is lost.

    python -m scripts.broker_kills [--kills 200] [--seed 1]

A real broker on a real socket is asked by several clients at once for keys to be released, made and deleted. At a
random moment it is killed (SIGKILL), and started again. In the end each key that it said it had made opens, each that
it said it had deleted is gone, and each release that a client has got has its record: nothing leaves without one. The
audit log must verify and continue its pin.
"""

from __future__ import annotations

import argparse
import json
import random
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import ECKey
from scripts.kills import AMBER, MOST_TOKENS, listening

from ambergate.core.errors import AmberError
from ambergate.core.release.envelope import encode_held_key
from ambergate.services.keybroker.app import State, open_state
from ambergate.services.keybroker.config import load
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.stores.audit import read_pin
from ambergate.stores.audit_check import check_whole
from ambergate.stores.audit_rows import find_entry
from ambergate.stores.transactions import reading

RELEASERS: Final = 2  # clients that ask for a key
KEPT: Final = 1  # key that the writing client leaves before it deletes the older
ISSUER: Final = "https://attest.example"
PASSWORD: Final = "a long password of the kills"
MR_ENCLAVE: Final = "5a" * 32
_TIMEOUT: Final = 60.0  # seconds, on a machine under load
_CONFIG: Final = f"""\
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "broker.sqlite"
key_encryption_key = "broker.kek"
[[issuers]]
issuer = "{ISSUER}"
jwks_file = "keys.json"
[transfer]
per_second = 100000
burst = 100000
"""
_POLICY: Final = {
    "attestation_type": ["SGX"],
    "sgx": {"attributes": {"mrsigner": ["c9" * 32], "isvprodid": [7], "mrenclave": [MR_ENCLAVE], "isvsvn": 1}},
}
_JSON: Final = {"accept": "application/json", "content-type": "application/json"}


@dataclass
class Outcome:
    """What came of it. `faults` is empty when nothing was lost."""

    kills: int = 0
    released: list[str] = field(default_factory=list)  # ids of the tokens that a key was got with
    made: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)  # asked to be deleted, without an answer
    records: int = 0
    faults: list[str] = field(default_factory=list)


class Site:
    """A broker's folder, and the means to run it and to ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = make_server_certificate(["127.0.0.1"], datetime.now(UTC))
        for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
            (folder / name).write_text(text)
        (folder / "broker.toml").write_text(_CONFIG)
        self._issuer = ECKey.generate_key("P-256", {"kid": "kills", "alg": "ES256", "use": "sig"})
        (folder / "keys.json").write_text(json.dumps({"keys": [self._issuer.as_dict(private=False)]}))
        self._held = b64encode(encode_held_key(rsa.generate_private_key(65537, 3072).public_key())).decode()
        self._context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        command = [*AMBER, "keybroker", "user", "create", "admin", "--all-permissions", "--password-file", "-"]
        subprocess.run(
            [*command, "--config", str(folder / "broker.toml")],
            input=PASSWORD,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    def start(self) -> subprocess.Popen[str]:
        """The broker as a process; its log is appended to the file `log`."""
        command = [*AMBER, "keybroker", "serve", "--config", str(self.folder / "broker.toml"), "--json"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/")

    def client(self, port: int) -> httpx.Client:
        """One connection to it."""
        url = f"https://127.0.0.1:{port}/kbs/v1"
        return httpx.Client(base_url=url, verify=self._context, trust_env=False, timeout=_TIMEOUT)

    def token(self) -> tuple[str, str]:
        """An attestation token, and its id."""
        at, jti = int(time.time()), str(uuid4())
        claims = {
            "iss": ISSUER,
            "ver": "1.0.0",
            "iat": at - 5,
            "nbf": at - 5,
            "exp": at + 300,
            "jti": jti,
            "attester_type": "SGX",
            "attester_tcb_status": "UpToDate",
            "attester_held_data": self._held,
            "sgx_mrenclave": MR_ENCLAVE,
            "sgx_mrsigner": "c9" * 32,
            "sgx_isvprodid": 7,
            "sgx_isvsvn": 3,
            "sgx_is_debuggable": False,
            "dbgstat": "disabled",
        }
        return jwt.encode({"alg": "ES256", "kid": "kills"}, claims, self._issuer, algorithms=["ES256"]), jti

    def bearer(self, client: httpx.Client) -> dict[str, str]:
        """What shows that the administrator asks."""
        headers = {"accept": "application/jwt", "content-type": "application/json"}
        answer = client.post("/token", json={"username": "admin", "password": PASSWORD}, headers=headers)
        return {**_JSON, "authorization": f"Bearer {answer.raise_for_status().text}"}


class Load:
    """Clients that ask until the broker is gone, and note each answer that they get."""

    def __init__(self, site: Site, port: int, key: str, policy: str, outcome: Outcome) -> None:
        self._site, self._port, self._key, self._policy, self._outcome = site, port, key, policy, outcome
        self._got = threading.Condition()
        self._answers = 0
        work = [*[self._release] * RELEASERS, self._write]
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in work]
        for thread in self._threads:
            thread.start()

    def wait(self, count: int) -> None:
        """Until so many answers were got."""
        with self._got:
            if not self._got.wait_for(lambda: self._answers >= count, _TIMEOUT):
                msg = f"{self._answers} of {count} answers after {_TIMEOUT} s"
                raise RuntimeError(msg)

    def join(self) -> None:
        """Until all clients have noticed that the broker is gone."""
        for thread in self._threads:
            thread.join()

    def _run(self, work: object) -> None:
        assert callable(work)
        with self._site.client(self._port) as client:
            try:
                work(client)
            except httpx.HTTPError:
                return

    def _note(self) -> None:
        with self._got:
            self._answers += 1
            self._got.notify_all()

    def _release(self, client: httpx.Client) -> None:
        while True:
            token, jti = self._site.token()
            answer = client.post(f"/keys/{self._key}/transfer", json={"attestation_token": token}, headers=_JSON)
            if answer.status_code == httpx.codes.OK:
                self._outcome.released.append(jti)
                self._note()

    def _write(self, client: httpx.Client) -> None:
        headers, mine = self._site.bearer(client), list[str]()
        body = {"key_information": {"algorithm": "AES", "key_length": 256}, "transfer_policy_id": self._policy}
        while True:
            answer = client.post("/keys", json=body, headers=headers)
            if answer.status_code == httpx.codes.CREATED:
                mine.append(answer.json()["id"])
                self._outcome.made.add(mine[-1])
                self._note()
            if len(mine) > KEPT:
                self._delete(client, mine.pop(0), headers)

    def _delete(self, client: httpx.Client, key: str, headers: dict[str, str]) -> None:
        self._outcome.doubtful.add(key)
        answer = client.delete(f"/keys/{key}", headers=headers)
        if answer.status_code == httpx.codes.NO_CONTENT:
            self._outcome.deleted.add(key)
            self._note()


def run(folder: Path, *, kills: int, seed: int) -> Outcome:
    """Kill it so often, and look at what is left."""
    chance = random.Random(seed)
    site, outcome = Site(folder), Outcome()
    key = policy = ""
    for round_ in range(kills + 1):
        with site.start() as running, ExitStack() as stack:
            stack.callback(running.kill)
            port = listening(running, folder)
            if not key:
                key, policy = _first(site, port, outcome)
            if round_ == kills:
                break
            load = Load(site, port, key, policy, outcome)
            load.wait(chance.randint(1, MOST_TOKENS))
            time.sleep(chance.uniform(0, 0.02))
            running.kill()
            outcome.kills += 1
        load.join()
    _look(site, outcome)
    return outcome


def _first(site: Site, port: int, outcome: Outcome) -> tuple[str, str]:
    """A policy, and a key under it that is released all the time."""
    with site.client(port) as client:
        headers = site.bearer(client)
        policy = client.post("/key-transfer-policies", json=_POLICY, headers=headers).raise_for_status().json()["id"]
        body = {"key_information": {"algorithm": "AES", "key_length": 256}, "transfer_policy_id": policy}
        key = client.post("/keys", json=body, headers=headers).raise_for_status().json()["id"]
    outcome.made.add(key)
    return key, policy


def _look(site: Site, outcome: Outcome) -> None:
    """Whether every key is there or gone as it was said, and every release written down."""
    config = load(site.folder / "broker.toml")
    pin = read_pin(config.checkpoint)
    workload = rsa.generate_private_key(65537, 3072).public_key()
    with open_state(config, now=lambda: datetime.now(UTC)) as state:
        for key in outcome.made - outcome.doubtful:
            outcome.faults += _unopened(state, key, workload)
        outcome.faults += [
            f"key {key} was deleted, and is there" for key in outcome.deleted if state.secrets.find(UUID(key))
        ]
        with reading(state.database) as connection:
            finding = check_whole(connection, state.audit.key, [] if pin is None else [pin])
            lost = [jti for jti in outcome.released if find_entry(connection, UUID(jti)) is None]
    outcome.records = finding.size
    outcome.faults += finding.faults
    outcome.faults += [f"token {jti} got a key without a record" for jti in lost]


def _unopened(state: State, key: str, workload: rsa.RSAPublicKey) -> list[str]:
    """What is wrong with a key that was made."""
    try:
        stored = state.ring.find(UUID(key))
        if stored is None:
            return [f"key {key} was made, and is lost"]
        state.ring.take(stored, workload)
    except AmberError as error:
        return [f"key {key} does not open: {error.as_dict()}"]
    return []


def main() -> int:
    """Run it, and tell."""
    parser = argparse.ArgumentParser(prog="python -m scripts.broker_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="amber-kills-") as folder:
        outcome = run(Path(folder), kills=arguments.kills, seed=arguments.seed)
    made, deleted = len(outcome.made), len(outcome.deleted)
    print(f"{outcome.kills} kills, {len(outcome.released)} keys released, {made} made, {deleted} deleted, as was told")
    print(f"{outcome.records} records")
    for fault in outcome.faults:
        print(f"FAULT: {fault}")
    print("nothing acknowledged is lost, nothing left without a record" if not outcome.faults else "not as promised")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
