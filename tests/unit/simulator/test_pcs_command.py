"""`amber simulator pcs` by its words; that it serves is in tests/integration/pcs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from tests.unit.simulator.pcs_client import serving

from ambergate.cli.simulator import group
from ambergate.simulator.pcs import FAULTS

if TYPE_CHECKING:
    from pathlib import Path


def _amber(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    assert _amber("init", tmp_path).exit_code == 0
    return tmp_path


def test_the_list_names_every_fault_and_what_a_sound_client_makes_of_it() -> None:
    told = json.loads(_amber("pcs", "faults", "--json").output)
    assert [(fault["name"], fault["outcome"]) for fault in told] == [
        (fault.name, fault.outcome.value) for fault in FAULTS.values()
    ]
    assert all(fault["documents"] == sorted(FAULTS[fault["name"]].documents) for fault in told)
    words = _amber("pcs", "faults").output
    for fault in FAULTS.values():
        assert fault.name in words
        assert fault.description in words


@pytest.mark.parametrize("listen", ["", "127.0.0.1", ":80", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_an_address_is_a_host_and_a_port(directory: Path, listen: str) -> None:
    result = _amber("pcs", "serve", directory, "--listen", listen)
    assert result.exit_code == 2
    assert "HOST:PORT" in result.output


@pytest.mark.parametrize("fault", ["no-such", "http-503:0", "hex-crl@tcb"])
def test_a_fault_that_cannot_be_is_our_error(directory: Path, fault: str) -> None:
    result = _amber("pcs", "serve", directory, "--fault", fault, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["error"]["code"] == "settings"


def test_a_port_that_is_taken_is_our_error(directory: Path) -> None:
    with serving() as server:
        result = _amber("pcs", "serve", directory, "--listen", server.url.removeprefix("https://"))
    assert result.exit_code == 1
    assert "cannot listen" in result.output


def test_a_directory_without_a_platform_is_our_error(tmp_path: Path) -> None:
    result = _amber("pcs", "serve", tmp_path)
    assert result.exit_code == 1
    assert "amber simulator init" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("init",),
        ("pcs", "serve"),
        ("pcs", "serve", "--early-tcb-status", "UpToDate"),
    ],
)
def test_no_status_is_offered_that_a_tcb_info_cannot_say(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = _amber(*arguments, tmp_path / "new", "--tcb-status", "TDRelaunchAdvised")
    assert result.exit_code == 2
    assert "SWHardeningNeeded" in result.output
