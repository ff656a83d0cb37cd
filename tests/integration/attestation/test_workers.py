"""Several workers on one socket, one state and one audit log, watched: as the operator runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from tests.integration.attestation.operated import AMBER, Operated, asking, operated
from tests.integration.attestation.scene import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = 40


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Operated]:
    with operated(tmp_path, "--workers", "2") as running:
        yield running


def attest(service: Operated) -> int:
    """The status of an attestation on a connection of its own; 0 if that ended."""
    try:
        with service.client() as client:
            return service.attested(client).status_code
    except httpx.TransportError:
        return 0


def verified(service: Operated) -> int:
    """How many records the audit log has, all of them in order and under the pin."""
    command = [*AMBER, "audit", "verify", "--config", str(service.folder / "attestation.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(json.loads(done.stdout)["entries"])


def test_both_write_one_audit_log_and_a_dead_one_is_replaced(service: Operated) -> None:
    before = service.workers()
    assert len(before) == 2
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: attest(service), range(ROUNDS))) == {200}
        os.kill(min(before), signal.SIGKILL)
        service.until(lambda: attest(service) == 200 and len(service.workers() - before) == 1)
        more = list(pool.map(lambda _: attest(service), range(ROUNDS)))
    assert set(more) == {200}
    assert "ended (-9)" in service.log()
    service.tell(signal.SIGTERM)
    assert service.process.wait(60) == 0
    assert verified(service) >= 2 * ROUNDS


def test_a_reload_reaches_both_and_loses_nothing(service: Operated) -> None:
    serial = x509.load_pem_x509_certificate(service.certificates[1].cert_pem.encode()).serial_number
    with asking(service) as answers:
        service.certify(service.certificates[1])
        service.tell(signal.SIGHUP)
        service.until(lambda: all(service.shown() == serial for _ in range(12)))
    assert set(answers) == {200}
    assert service.log().count("is in force") == 2
    workers = service.workers()
    service.put("attestation.toml", "prot = 1\n")
    service.tell(signal.SIGHUP)
    service.until(lambda: service.shown() == serial and service.log().count("is not taken") == 1)
    os.kill(min(workers), signal.SIGKILL)
    service.until(lambda: service.shown() == serial and "another starts" in service.log())
    service.until(lambda: service.shown() == serial and len(service.workers()) == 2)
    assert len(service.workers()) == 2, "it starts with the configuration that is in force"


def test_a_stop_lets_requests_in_flight_end(service: Operated) -> None:
    with service.client() as client:
        attested = Service(client, service.port, service.folder, service.api_key, service.folder, service.platform)
        body = json.dumps(attested.evidence(attested.nonce())).encode()
    head = (
        f"POST /appraisal/v1/attest HTTP/1.1\r\nhost: x\r\nx-api-key: {service.api_key}\r\naccept: application/json\r\n"
    )
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=30) as raw,
        service.context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        service.tell(signal.SIGTERM)
        service.until(lambda: refused(service.port))
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(60) == 0


def refused(port: int) -> bool:
    """Whether nobody takes new connections any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionError:  # refused; or reset, where the listener was just closed
        return True
    return False


def test_workers_end_with_their_watcher(service: Operated) -> None:
    workers = service.workers()
    service.process.kill()
    service.process.wait()
    service.until(lambda: not any(alive(pid) for pid in workers) or not refused(service.port))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_that_cannot_start_ends_the_service_and_says_why(tmp_path: Path) -> None:
    with operated(tmp_path) as service:
        service.tell(signal.SIGTERM)
        assert service.process.wait(60) == 0
    (tmp_path / "attestation.kek").chmod(0o644)
    command = [*AMBER, "attestation", "serve", "--config", str(tmp_path / "attestation.toml"), "--workers", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("the key file is open to others") == 1


def test_each_worker_tells_its_metrics_at_a_port_of_its_own(tmp_path: Path) -> None:
    """And its replacement at the same."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        base = held.getsockname()[1]
    with operated(tmp_path, "--workers", "2", more=f"[metrics]\nport = {base}\n") as service:
        os.kill(min(service.workers()), signal.SIGKILL)
        service.until(lambda: attest(service) == 200 and all(told(base + number) for number in range(2)))


def told(port: int) -> bool:
    try:
        return "ambergate_build" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return False
