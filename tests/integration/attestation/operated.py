"""A service in a process of its own, as its operator runs it: certificate, configuration, signals, log."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
from cryptography import x509
from tests.integration.attestation.scene import BASE_URL, ENCLAVE, SIMULATED, Service
from tests.unit.simulator.stream import stream

from ambergate.services.attestation.app import open_api_keys
from ambergate.services.web.selfsigned import ServerCertificate, make_server_certificate
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

TURNS: Final = 3000  # looks at the service until a change must have been seen
AMBER: Final = [sys.executable, "-c", "from ambergate.cli.main import main; main()"]
_CONFIG: Final = """\
base_url = "{base_url}"
[listen]
port = {port}
certificate = "cert.pem"
key = "key.pem"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
[policy]
mr_enclave = ["{welcome}"]
{more}
"""


@dataclass
class Operated:
    """The service, its folder, and the two certificates that its operator has."""

    folder: Path
    platform: SimulatedPlatform
    certificates: tuple[ServerCertificate, ServerCertificate]
    api_key: str
    context: ssl.SSLContext
    port: int = 0
    process: subprocess.Popen[str] = field(init=False)

    def configure(self, *, welcome: str = ENCLAVE.mr_enclave.hex(), port: int = 0, more: str = "") -> None:
        text = _CONFIG.format(base_url=BASE_URL, port=port, welcome=welcome, more=SIMULATED + more)
        self.put("attestation.toml", text)

    def certify(self, certificate: ServerCertificate) -> None:
        self.put("key.pem", certificate.key_pem)
        self.put("cert.pem", certificate.cert_pem)

    def put(self, name: str, text: str) -> None:
        """As operators' tools do: a reader finds the old file or the new one."""
        (self.folder / f"{name}.new").write_text(text)
        (self.folder / f"{name}.new").rename(self.folder / name)

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def client(self) -> httpx.Client:
        headers = {"x-api-key": self.api_key}
        url = f"https://127.0.0.1:{self.port}"
        return httpx.Client(base_url=url, verify=self.context, trust_env=False, headers=headers, timeout=30)

    def shown(self) -> int:
        """The serial number of the certificate that a new connection is shown."""
        with self.client() as client, client.stream("GET", "/healthz") as answer:
            connection = answer.extensions["network_stream"].get_extra_info("ssl_object")
            return x509.load_der_x509_certificate(connection.getpeercert(True)).serial_number  # noqa: FBT003  it takes no name

    def attested(self, client: httpx.Client) -> httpx.Response:
        service = Service(client, self.port, self.folder, self.api_key, self.folder, self.platform)
        return service.attest(service.evidence(service.nonce()))

    def workers(self) -> set[int]:
        """The processes that serve, where several do."""
        pid = self.process.pid
        return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def until(self, holds: Callable[[], bool]) -> None:
        """Look until it is so: each look is a request or more, so this is no wait by the clock."""
        assert any(holds() for _ in range(TURNS)), self.log()


@contextmanager
def asking(service: Operated) -> Iterator[list[object]]:
    """Two clients that ask without a pause, one on a connection that it keeps, one on a new one each time.

    Gives what they got: status codes, and errors.
    """
    stop = threading.Event()
    answers: list[object] = []

    def ask(once: Callable[[], int]) -> None:
        try:
            answers.append(once())
        except Exception as exc:  # noqa: BLE001  whatever it is, it is a request that failed
            answers.append(exc)

    def kept() -> None:
        with service.client() as client:
            while not stop.is_set():
                ask(lambda: client.get("/appraisal/v1/nonce").status_code)

    def new() -> None:
        def once() -> int:
            with service.client() as client:
                return client.get("/appraisal/v1/nonce").status_code

        while not stop.is_set():
            ask(once)

    threads = [threading.Thread(target=target) for target in (kept, new)]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        yield answers


@contextmanager
def operated(folder: Path, *options: str, more: str = "", **environ: str) -> Iterator[Operated]:
    """The service, running until the end or until it is told to stop."""
    now = datetime.now(UTC)
    platform = SimulatedPlatform.create(at=now, random=stream("operated"))
    (folder / "root_ca.pem").write_text(platform.root_pem)
    platform.save_collateral(folder, at=now)
    first, second = (make_server_certificate(["127.0.0.1"], now) for _ in range(2))
    with open_api_keys(folder / "attestation.sqlite") as keys:
        _, api_key = keys.create("tests", at=now)
    context = ssl.create_default_context(cadata=first.ca_pem + second.ca_pem)
    here = Operated(folder, platform, (first, second), api_key, context)
    here.certify(first)
    here.configure(more=more)
    command = [*AMBER, "attestation", "serve", "--config", str(folder / "attestation.toml"), "--json", *options]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environ}
        ) as here.process,
    ):
        try:
            assert here.process.stdout is not None
            announced = ""
            while not announced.endswith("\n}\n"):
                line = here.process.stdout.readline()
                assert line, here.log()
                announced += line
            here.port = json.loads(announced)["listening"]["port"]
            yield here
        finally:
            if here.process.poll() is None:
                here.process.kill()
