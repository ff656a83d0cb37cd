"""Both services as their operator runs them: processes, on real sockets, each with its log in a file."""

from __future__ import annotations

import base64
import json
import random
import secrets
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx

from ambergate.client.session import Session
from ambergate.client.settings import Settings
from ambergate.services.attestation.app import open_api_keys
from ambergate.services.attestation.config import load
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.evidence import SimulatedEvidenceSource
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AMBER: Final = (sys.executable, "-c", "from ambergate.cli.main import main; main()")
PROGRAM: Final = EnclaveIdentity.of_program([b"an application"], isv_svn=3)
USER: Final = "operator"
PASSWORD: Final = "correct horse battery staple 7"
BASE: Final = "https://attest.example"
_LISTEN: Final = """\
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "{name}.sqlite"
key_encryption_key = "{name}.kek"
[metrics]
port = 0
"""
_ATTESTATION: Final = f"""\
base_url = "{BASE}"
{_LISTEN.format(name="attestation")}
[[anchors]]
pem = "root_ca.pem"
simulated = true
collateral = "collateral"
"""
_BROKER: Final = f"""\
{_LISTEN.format(name="broker")}
[[issuers]]
issuer = "{BASE}/simulated"
jwks_url = "https://127.0.0.1:{{port}}/certs"
cacerts = "ca.pem"
insecure_accept_simulated = true
[users]
token_minutes = 30
"""
_POLICY: Final = f"""\
mr_enclave = "{PROGRAM.mr_enclave.hex()}"
mr_signer = "{PROGRAM.mr_signer.hex()}"
isv_prod_id = 0
minimum_isv_svn = 3
insecure_accept_simulated = true
"""


@dataclass(frozen=True)
class Process:
    """A service: where it listens and tells metrics, and its log."""

    running: subprocess.Popen[str]
    port: int
    metrics: int
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Whole:
    """Both services, an enclave's platform, and an API key."""

    folder: Path
    platform: SimulatedPlatform
    api_key: str
    secret: bytes
    key_id: str
    user_id: str
    bearer: str
    attestation: Process
    broker: Process

    def client(self, process: Process, **headers: str) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        return httpx.Client(base_url=process.url, verify=context, trust_env=False, headers=headers)

    def session(self) -> Session:
        """What runs in the enclave."""
        settings = Settings(cacerts=(self.folder / "ca.pem").read_text())
        for name, value in (
            ("endpoint_url", f"{self.attestation.url}/appraisal/v1/"),
            ("endpoint_apikey", self.api_key),
            ("kbs_url", f"{self.broker.url}/kbs/v1/keys/"),
            ("kbs_keyid", self.key_id),
        ):
            settings = settings.changed(name, value.encode())
        source = SimulatedEvidenceSource(self.platform, PROGRAM)
        return Session(settings, source, now=lambda: datetime.now(UTC), token_bytes=secrets.token_bytes)


@contextmanager
def whole(folder: Path, more: str = "") -> Iterator[Whole]:
    """All of it; `more` is added to both configurations."""
    now = datetime.now(UTC)
    made = make_server_certificate(["127.0.0.1"], now)
    for name, text in (("cert.pem", made.cert_pem), ("key.pem", made.key_pem), ("ca.pem", made.ca_pem)):
        (folder / name).write_text(text)
    platform = SimulatedPlatform.create(at=now, random=random.Random(7).randbytes)
    (folder / "root_ca.pem").write_text(platform.root_pem)
    platform.save_collateral(folder, at=now)
    quote = platform.quote(PROGRAM, bytes(64))
    (folder / "quote").write_text(base64.b64encode(quote).decode())
    (folder / "attestation.toml").write_text(_ATTESTATION + more)
    with open_api_keys(load(folder / "attestation.toml").database) as keys:
        _, api_key = keys.create("tests", at=now, terms=Terms(scopes=frozenset({"attest", "manage"})))
    with ExitStack() as stack:
        attestation = stack.enter_context(process("attestation", folder / "attestation.toml"))
        (folder / "broker.toml").write_text(_BROKER.format(port=attestation.port) + more)
        secret = secrets.token_bytes(32)
        key_id = _imported(folder, secret)
        user = _amber(folder, PASSWORD.encode(), "user", "create", USER, "--all-permissions", "--password-file", "-")
        broker = stack.enter_context(process("keybroker", folder / "broker.toml"))
        bearer = _logged_in(folder, broker)
        yield Whole(folder, platform, api_key, secret, key_id, str(user["id"]), bearer, attestation, broker)


@contextmanager
def process(command: str, config: Path) -> Iterator[Process]:
    """A service; it ends with the block, and must end well."""
    log = config.with_suffix(".log")
    arguments = [*AMBER, command, "serve", "--config", str(config), "--json"]
    with (
        log.open("ab") as file,
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=file, text=True, cwd="/") as running,
    ):
        try:
            told = _announced(running, log)
            yield Process(running, told["listening"]["port"], told["metrics"]["port"], log)
            running.terminate()
            assert running.wait(30) == 0, log.read_text()
        finally:
            running.kill()


def _announced(running: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    assert running.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = running.stdout.readline()
        assert line, log.read_text()
        text += line
    return dict(json.loads(text))


def _logged_in(folder: Path, broker: Process) -> str:
    """A token of the broker's user, who may do everything."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    with httpx.Client(base_url=broker.url, verify=context, trust_env=False) as client:
        told = client.post("/kbs/v1/token", json={"username": USER, "password": PASSWORD})
    return told.raise_for_status().text


def _imported(folder: Path, secret: bytes) -> str:
    (folder / "policy.toml").write_text(_POLICY)
    return str(_amber(folder, secret, "key", "import", "--policy", str(folder / "policy.toml"))["id"])


def _amber(folder: Path, given: bytes, *arguments: str) -> dict[str, Any]:
    command = [*AMBER, "keybroker", *arguments, "--config", str(folder / "broker.toml"), "--json"]
    return dict(json.loads(subprocess.run(command, input=given, check=True, capture_output=True, cwd="/").stdout))
