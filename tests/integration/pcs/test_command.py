"""`amber simulator pcs serve` as a process of its own, with the client that is told where it is and whom to trust."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner

from ambergate.cli.main import main
from ambergate.cli.simulator import group
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, verify_quote
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.retry import RetryPolicy
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 60.0  # seconds; a safeguard


class Running(NamedTuple):
    process: subprocess.Popen[str]
    told: dict[str, Any]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    assert CliRunner().invoke(group, ["init", str(tmp_path / "sim")]).exit_code == 0
    return tmp_path / "sim"


def _document(stream: IO[str]) -> dict[str, Any]:
    """The JSON document that is printed once the service listens."""
    text = ""
    for line in stream:
        text += line
        with contextlib.suppress(ValueError):
            told = json.loads(text)
            assert isinstance(told, dict)
            return told
    raise AssertionError(text)


@contextlib.contextmanager
def running(directory: Path, *arguments: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "ambergate.cli", "simulator", "pcs", "serve", str(directory), "--json", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield Running(process, _document(process.stdout))
        finally:
            process.kill()


def fetched(directory: Path, told: dict[str, Any], *, update: str = "standard") -> TcbStatus:
    """The status that the platform's quote has by what the service serves now."""
    platform = SimulatedPlatform.load(directory)
    trust = ssl.create_default_context(cafile=told["ca"])
    policy = RetryPolicy(base=0.001)
    with OnlineCollateral(told["url"], update=update, verify=trust, retry=policy) as source:
        collateral = source.collateral(fmspc=platform.fmspc, ca=told["pck_ca"], tee="SGX")
    anchor = TrustAnchor.from_pem(Path(told["root"]).read_text())
    quote = parse_quote(platform.quote(SPECIMEN, bytes(64)))
    return verify_quote(quote, collateral, at=datetime.now(UTC), anchor=anchor).tcb.status


@pytest.mark.parametrize("dialect", ["pcs", "pccs"])
def test_it_serves_what_init_made(directory: Path, dialect: str) -> None:
    arguments = ["--tcb-status", "ConfigurationNeeded", "--early-tcb-status", "SWHardeningNeeded"]
    with running(directory, "--dialect", dialect, *arguments) as (_, told):
        assert (told["dialect"], told["fmspc"]) == (dialect, SimulatedPlatform.load(directory).fmspc.hex())
        assert fetched(directory, told) is TcbStatus.CONFIGURATION_NEEDED
        assert fetched(directory, told, update="early") is TcbStatus.SW_HARDENING_NEEDED


def test_a_quote_is_verified_with_what_a_pccs_has_under_its_own_roots_alone(directory: Path) -> None:
    platform, quote = SimulatedPlatform.load(directory), directory / "quote"
    quote.write_bytes(platform.quote(SPECIMEN, bytes(64)))
    nothing = directory / "nothing.pem"
    nothing.write_text("no root")
    with running(directory, "--dialect", "pccs") as (_, told):
        command = ["quote", "verify", str(quote), "--anchor", told["root"], "--pccs", told["url"]]
        good, no_roots = (
            CliRunner().invoke(main, [*command, "--pccs-cacerts", str(roots)]) for roots in (told["ca"], nothing)
        )
        assert (good.exit_code, "GENUINE under" in good.output) == (0, True), good.output
        assert (no_roots.exit_code, "nothing.pem" in no_roots.output) == (1, True), no_roots.output
        assert CliRunner().invoke(main, command).exit_code == 5, "the system's roots do not know it"


def test_faults_are_met_in_order_and_told_on_standard_error(directory: Path) -> None:
    faults = ["--fault", "http-503:1@tcb", "--fault", "http-500:1@tcb", "--fault", "wrong-content-type:1@rootcacrl"]
    with running(directory, *faults) as (process, told):
        assert fetched(directory, told) is TcbStatus.UP_TO_DATE
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE)
    lines = [line.split() for line in errors.splitlines()]
    met = [(line[0], line[-1]) for line in lines if len(line) > 2]
    assert met == [("503", "(http-503)"), ("500", "(http-500)"), ("200", "(wrong-content-type)")]
    assert len(lines) == 6


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_though_connections_are_open(directory: Path, end: signal.Signals) -> None:
    with running(directory, "--fault", "slow") as (process, told):
        host, _, port = told["url"].removeprefix("https://").rpartition(":")
        trust = ssl.create_default_context(cafile=told["ca"])
        with contextlib.closing(_dripping(host, int(port), trust)):
            process.send_signal(end)
            output, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (0, "")
    assert "Traceback" not in errors


def _dripping(host: str, port: int, trust: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection on which an answer has begun."""
    secured = trust.wrap_socket(socket.create_connection((host, port), timeout=DEADLINE), server_hostname=host)
    secured.sendall(b"GET /sgx/certification/v4/rootcacrl HTTP/1.1\r\nHost: pcs\r\n\r\n")
    assert secured.recv(1)
    return secured
