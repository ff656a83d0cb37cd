"""`amber attestation serve` as its operator runs it: a process that announces itself, answers, and ends when told."""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.unit.pcs.site import CA, PLATFORM, answers, site
from tests.unit.simulator.stream import stream

from ambergate.cli.attestation import open_roots
from ambergate.services.attestation.config import load
from ambergate.services.web.selfsigned import make_server_certificate
from ambergate.services.web.server import bound_socket
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.collateral import CollateralStore
from ambergate.stores.engine import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """\
base_url = "https://attest.example"
[listen]
port = {port}
certificate = "cert.pem"
key = "key.pem"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
[[anchors]]
pem = "root.pem"
simulated = true
collateral = "collateral"
"""
AMBER = [sys.executable, "-c", "from ambergate.cli.main import main; main()"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    now = datetime.now(UTC)
    made = make_server_certificate(["127.0.0.1"], now)
    root = SimulatedPlatform.create(at=now, random=stream("serve")).root_pem
    for name, text in (
        ("cert.pem", made.cert_pem),
        ("key.pem", made.key_pem),
        ("ca.pem", made.ca_pem),
        ("root.pem", root),
        ("attestation.toml", CONFIG.format(port=0)),
    ):
        (tmp_path / name).write_text(text)
    return tmp_path


@contextmanager
def process(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The service, stopped by the test or at the end; its log is in the file `log`."""
    command = [*AMBER, "attestation", "serve", "--config", str(folder / "attestation.toml"), *more]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/") as running,
    ):
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def told(running: subprocess.Popen[str], folder: Path, *, end: str) -> str:
    """What it prints up to the line that ends so."""
    assert running.stdout is not None
    text = ""
    while not text.endswith(end):
        line = running.stdout.readline()
        assert line, (folder / "log").read_text()
        text += line
    return text


def health(folder: Path, port: int) -> dict[str, str]:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    with httpx.Client(verify=context, trust_env=False) as client:
        return dict(client.get(f"https://127.0.0.1:{port}/healthz").raise_for_status().json())


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_answers_and_ends_well(folder: Path, sent: signal.Signals) -> None:
    with process(folder, "--json") as running:
        announced = json.loads(told(running, folder, end="\n}\n"))
        assert announced["issuer"] == "https://attest.example"
        assert [anchor["simulated"] for anchor in announced["anchors"]] == [True]
        assert announced["listening"]["host"] == "127.0.0.1"
        assert health(folder, announced["listening"]["port"]) == {"status": "ok"}
        running.send_signal(sent)
        assert running.wait(30) == 0, (folder / "log").read_text()
    log = (folder / "log").read_text()
    assert "GET /healthz 200" in log
    assert "Traceback" not in log


def test_it_tells_people_where_it_is_and_what_it_believes(folder: Path) -> None:
    with process(folder) as running:
        words = told(running, folder, end="nothing about hardware\n")
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    assert "listening on https://127.0.0.1:" in words
    assert "issuer https://attest.example" in words
    assert "WARNING" in words


def test_it_warns_of_an_open_door(folder: Path) -> None:
    with (folder / "attestation.toml").open("a") as file:
        file.write("[tokens]\ninsecure_allow_anonymous = true\n")
    with process(folder) as running:
        assert "without an API key" in told(running, folder, end="API key\n")
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


def test_it_says_whose_name_its_tokens_carry(folder: Path) -> None:
    with (folder / "attestation.toml").open("a") as file:
        file.write('[tokens]\nissuer = "Intel Trust Authority"\ninsecure_simulated_issuer = "Somebody Else"\n')
    with process(folder) as running:
        words = told(running, folder, end="Somebody Else too\n")
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    assert "issuer Intel Trust Authority" in words
    assert "WARNING: tokens about software platforms name Somebody Else too" in words


def attest(folder: Path, port: int, quote: bytes) -> httpx.Response:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    with httpx.Client(verify=context, trust_env=False) as client:
        body = {"quote": base64.b64encode(quote).decode()}
        return client.post(f"https://127.0.0.1:{port}/appraisal/v1/attest", json=body)


def test_collateral_of_ours_that_has_failed_is_our_fault_and_a_refreshed_file_is_seen_at_once(folder: Path) -> None:
    now = datetime.now(UTC)
    platform = SimulatedPlatform.create(at=now - timedelta(days=60), random=stream("serve"))
    (folder / "root.pem").write_text(platform.root_pem)
    with (folder / "attestation.toml").open("a") as file:
        file.write("[tokens]\ninsecure_allow_anonymous = true\n")
    quote = platform.quote(EnclaveIdentity.of_program([b"an application"]), bytes(64))
    with process(folder, "--json") as running:
        port = json.loads(told(running, folder, end="\n}\n"))["listening"]["port"]
        nothing = attest(folder, port, quote)
        assert (nothing.status_code, nothing.json()["code"]) == (503, "unavailable")
        platform.save_collateral(folder, at=now - timedelta(days=31))
        stale = attest(folder, port, quote)
        assert (stale.status_code, stale.json()["code"]) == (503, "collateral-not-valid-now")
        assert set(stale.json()) == {"error", "code", "trace_id"}, "where it is stays in the log"
        platform.save_collateral(folder, at=now)
        fresh = attest(folder, port, quote)
        assert fresh.status_code == 200, fresh.text
    assert str(folder / "collateral") in (folder / "log").read_text()


def test_sources_are_asked_in_order_over_tls_with_roots_of_their_own(tmp_path: Path) -> None:
    published = PLATFORM.collateral(at=datetime.now(UTC))
    (tmp_path / "root.pem").write_text(PLATFORM.root_pem)
    CA.cert_pem.write_to_path(str(tmp_path / "pccs.pem"))
    places = 'collateral = ["collateral", "{url}"]\ncollateral_cacerts = "pccs.pem"\nupdate = "early"\n'
    with site(answers(published)) as running:
        text = CONFIG.format(port=0).replace('collateral = "collateral"\n', places.format(url=running.url))
        (tmp_path / "attestation.toml").write_text(text)
        config = load(tmp_path / "attestation.toml")
        engine = open_database(tmp_path / "a.sqlite")
        for _ in range(2):  # a restart asks nobody
            with open_roots(config, CollateralStore(engine)) as (root,):
                got = root.collateral.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
                assert (got, root.simulated) == (published, True)
        engine.dispose()
        assert len(running.asked) == 4
        assert running.asked[0].endswith("update=early")


def test_keys_are_made_once_and_kept_private(folder: Path) -> None:
    for _ in range(2):
        with process(folder, "--json") as running:
            told(running, folder, end="\n}\n")
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        made = (folder / "attestation.kek").read_text()
        assert len(bytes.fromhex(made)) == 32
    assert all((folder / name).stat().st_mode & 0o077 == 0 for name in ("attestation.kek", "attestation.sqlite"))


def fails(folder: Path) -> tuple[int, str]:
    command = [*AMBER, "attestation", "serve", "--config", str(folder / "attestation.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ})
    assert "Traceback" not in done.stderr
    return done.returncode, str(json.loads(done.stdout)["error"]["message"])


def test_an_address_that_is_taken(folder: Path) -> None:
    with bound_socket("127.0.0.1", 0) as taken:
        taken.listen()
        (folder / "attestation.toml").write_text(CONFIG.format(port=taken.getsockname()[1]))
        assert fails(folder) == (5, "the address cannot be listened on")


def test_what_it_cannot_start_with(folder: Path) -> None:
    (folder / "key.pem").write_text("no key")
    assert fails(folder) == (1, "the TLS certificate and key cannot be used")
    (folder / "root.pem").unlink()
    assert fails(folder) == (1, "a root cannot be read")
    (folder / "attestation.toml").write_text("")
    assert fails(folder)[0] == 1
