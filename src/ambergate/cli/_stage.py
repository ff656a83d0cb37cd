"""A whole system on loopback: software platform, TLS, both services as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ambergate.cli._common import now
from ambergate.core.errors import SettingsError, TimedOut, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

MAX_LOG: Final = 10_000  # lines of each service that are kept
START_SECONDS: Final = 90.0  # until a service must listen; making RSA keys takes about one, a busy machine longer
AMBER: Final = (sys.executable, "-m", "ambergate.cli")

_ATTESTATION = """\
base_url = "https://127.0.0.1:{port}"

[listen]
port = {port}
certificate = "tls.pem"
key = "tls.key"

[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"

[[anchors]]
pem = "simulator/root_ca.pem"
simulated = true
collateral = "simulator/collateral"
"""

_BROKER = """\
[listen]
port = {port}
certificate = "tls.pem"
key = "tls.key"

[store]
database = "broker.sqlite"
key_encryption_key = "broker.kek"

[[issuers]]
issuer = "{attestation}/simulated"
jwks_url = "{attestation}/certs"
cacerts = "ca.pem"
insecure_accept_simulated = true
"""


@dataclass
class Service:
    """A running service: its process, and what it has logged so far."""

    name: str
    process: subprocess.Popen[str]
    log: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LOG))
    _threads: list[threading.Thread] = field(default_factory=list)

    def follow(self, heard: Callable[[str, str], None]) -> None:
        """Read what the service logs, line by line, until it ends."""

        def read() -> None:
            assert self.process.stderr is not None
            for line in self.process.stderr:
                self.log.append(line)
                heard(self.name, line)

        thread = threading.Thread(target=read, name=f"{self.name} log", daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """End the service as its operator would."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@dataclass(frozen=True)
class Stage:
    """Where everything is."""

    folder: Path
    attestation_url: str
    broker_url: str

    @property
    def issuer(self) -> str:
        """Who signs the tokens of software platforms here."""
        return f"{self.attestation_url}/simulated"

    def amber(self, *arguments: str, give: str | None = None) -> str:
        """What an `amber` command prints.

        Raises:
            Unavailable: it failed; `seen` is what it said.
        """
        done = subprocess.run(  # noqa: S603  our own command, our own arguments
            [*AMBER, *arguments], cwd=self.folder, input=give, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Unavailable(
                f"amber {arguments[0]} {arguments[1]} failed", seen=done.stderr.strip() or done.stdout.strip()
            )
        return done.stdout

    def settings(self) -> dict[str, str]:
        """What a client needs to know, but for its API key and a secret's id."""
        return {
            "AMBER_URL": f"{self.attestation_url}/appraisal/v1/",
            "AMBER_CACERTS": str(self.folder / "ca.pem"),
            "AMBER_KBS_URL": f"{self.broker_url}/kbs/v1/keys/",
            "AMBER_SIMULATOR": str(self.folder / "simulator"),
        }

    def environment(self, api_key: str, key_id: str) -> dict[str, str]:
        """All that a client needs to know, as its environment."""
        return {**os.environ, **self.settings(), "AMBER_APIKEY": api_key, "AMBER_KBS_KEYID": key_id}


def prepare(folder: Path) -> Stage:
    """Make the software platform, the TLS certificate and both configurations in an empty folder."""
    from ambergate.services.web.selfsigned import make_server_certificate

    made = make_server_certificate(["127.0.0.1", "localhost"], now())
    for name, text in (("tls.pem", made.cert_pem), ("tls.key", made.key_pem), ("ca.pem", made.ca_pem)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    first, second = _free_ports()
    stage = Stage(folder, f"https://127.0.0.1:{first}", f"https://127.0.0.1:{second}")
    (folder / "attestation.toml").write_text(_ATTESTATION.format(port=first))
    (folder / "broker.toml").write_text(_BROKER.format(port=second, attestation=stage.attestation_url))
    stage.amber("simulator", "init", "simulator", "--json")
    return stage


def found(folder: Path) -> Stage:
    """What `prepare` made in a folder before.

    Raises:
        SettingsError: its configurations do not say where the services are.
    """
    try:
        attestation, broker = (
            tomllib.loads((folder / name).read_text()) for name in ("attestation.toml", "broker.toml")
        )
        return Stage(folder, str(attestation["base_url"]), f"https://127.0.0.1:{int(broker['listen']['port'])}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise SettingsError("the services in this directory cannot be found again", seen=exc) from exc


@contextlib.contextmanager
def services(stage: Stage, heard: Callable[[str, str], None]) -> Iterator[Mapping[str, Service]]:
    """Both services, listening; stopped at the end.

    Args:
        stage: made by `prepare`.
        heard: called with a service's name and each line that it logs, from threads of their own.
    """
    running: dict[str, Service] = {}
    try:
        for name in ("attestation", "keybroker"):  # in this order: the broker fetches the other's keys
            config = "attestation.toml" if name == "attestation" else "broker.toml"
            running[name] = _start(name, (name, "serve", "--config", config, "--json"), stage.folder, heard)
        yield running
    finally:
        for service in running.values():
            service.stop()


def _start(name: str, command: Sequence[str], folder: Path, heard: Callable[[str, str], None]) -> Service:
    process = subprocess.Popen(  # noqa: S603  our own command, our own arguments
        [*AMBER, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    service = Service(name, process)
    service.follow(heard)
    announced: list[str] = []
    reader = threading.Thread(target=lambda: announced.append(_document(process)), daemon=True)
    reader.start()
    reader.join(START_SECONDS)
    if not announced or not announced[0]:
        service.stop()
        if reader.is_alive():
            raise TimedOut(f"{name} did not start in time", seen="".join(service.log)[-2000:])
        raise Unavailable(f"{name} did not start", seen="".join(service.log)[-2000:])
    return service


def _document(process: subprocess.Popen[str]) -> str:
    """The JSON document that a service prints when it listens; empty when it ended instead."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        with contextlib.suppress(ValueError):
            json.loads(text)
            return text
    return ""


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on at this moment."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def seconds() -> float:
    """A clock for durations."""
    return time.monotonic()
