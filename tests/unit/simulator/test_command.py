from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit.simulator.oracle import ask

from ambergate.cli.simulator import group
from ambergate.core.collateral.bundle import Collateral
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.td_report import TdReport
from ambergate.core.verify import TrustAnchor, Verifier
from ambergate.simulator.cpu import measure
from ambergate.simulator.faults import FAULTS, SPECIMEN, TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.td import measure_td

DATA = bytes(range(64)).hex()


def _amber(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = _amber("init", tmp_path / "sim")
    assert made.exit_code == 0, made.output
    return tmp_path / "sim"


def test_init_makes_a_platform_whose_evidence_verifies(directory: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"program")
    result = _amber("quote", directory, "--report-data", DATA, "-o", tmp_path / "q", "--program", program, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    raw = (tmp_path / "q").read_bytes()
    quote = parse_quote(raw)
    assert told["mr_enclave"] == quote.enclave.mr_enclave.hex() == measure([b"program"]).hex()
    assert told["report_data"] == quote.body.report_data.hex() == DATA
    platform = SimulatedPlatform.load(directory)
    collateral = Collateral.from_json((directory / platform.collateral_path).read_text())
    assert ask(raw, collateral, at=datetime.now(UTC), root_pem=platform.root_pem).status == "UpToDate"


@pytest.mark.parametrize("debug", [False, True])
def test_init_makes_a_platform_whose_tds_verify(directory: Path, tmp_path: Path, *, debug: bool) -> None:
    (tmp_path / "image").write_bytes(b"image")
    flags = ["--debug"] if debug else []
    arguments: list[str | Path] = [
        "--report-data",
        DATA,
        "-o",
        tmp_path / "q",
        "--image",
        tmp_path / "image",
        "--json",
        *flags,
    ]
    result = _amber("td-quote", directory, *arguments)
    assert result.exit_code == 0, result.output
    told, raw = json.loads(result.output), (tmp_path / "q").read_bytes()
    body = parse_quote(raw).body
    assert isinstance(body, TdReport)
    assert told["mr_td"] == body.mr_td.hex() == measure_td([b"image"]).hex()
    assert (told["debug"], told["td_attributes"]) == (debug, body.td_attributes.hex())
    platform = SimulatedPlatform.load(directory)
    collateral = Collateral.from_json((directory / platform.td_collateral_path).read_text())
    anchor = TrustAnchor.from_pem(platform.root_pem)
    verified = Verifier(anchor=anchor).verify(raw, collateral, at=datetime.now(UTC))
    assert (verified.tcb_status.value, verified.report.debug) == ("UpToDate", debug)


def test_init_does_not_overwrite(directory: Path) -> None:
    result = _amber("init", directory, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["error"]["code"] == "settings"


@pytest.mark.parametrize("ca", ["platform", "processor"])
def test_show_tells_the_platform_without_its_keys(tmp_path: Path, ca: str) -> None:
    _amber("init", tmp_path, "--ca", ca)
    told = json.loads(_amber("show", tmp_path, "--json").output)
    platform = SimulatedPlatform.load(tmp_path)
    assert told["ca"] == ca
    assert told["fmspc"] == platform.fmspc.hex()
    assert Path(told["root"]).read_text() == platform.root_pem
    assert Path(told["collateral"]).name == f"sgx-{platform.fmspc.hex()}-{ca}.json"
    assert Path(told["td_collateral"]).name == f"tdx-{platform.fmspc.hex()}-{ca}.json"
    assert "PRIVATE" not in json.dumps(told)
    words = _amber("show", tmp_path)
    assert platform.fmspc.hex() in words.output
    assert "PRIVATE" not in words.output


def test_refresh_signs_anew_and_sets_the_status(directory: Path) -> None:
    platform = SimulatedPlatform.load(directory)
    path = directory / platform.collateral_path
    before = path.read_text()
    assert _amber("refresh", directory, "--tcb-status", "OutOfDate").exit_code == 0
    after = Collateral.from_json(path.read_text())
    assert after.to_json() != before
    opinion = ask(platform.quote(SPECIMEN, bytes(64)), after, at=datetime.now(UTC), root_pem=platform.root_pem)
    assert opinion.status == "OutOfDate"
    of_tds = Collateral.from_json((directory / platform.td_collateral_path).read_text())
    raw = platform.td_quote(TD_SPECIMEN, bytes(64))
    assert ask(raw, of_tds, at=datetime.now(UTC), root_pem=platform.root_pem).status == "OutOfDate"


@pytest.mark.parametrize("data", ["", "00", "zz" * 64, "00" * 65])
def test_report_data_is_64_bytes_of_hex(directory: Path, tmp_path: Path, data: str) -> None:
    result = _amber("quote", directory, "--report-data", data, "-o", tmp_path / "q")
    assert result.exit_code == 2
    assert not (tmp_path / "q").exists()


def test_report_data_must_be_given(directory: Path, tmp_path: Path) -> None:
    assert _amber("quote", directory, "-o", tmp_path / "q").exit_code == 2


def test_a_missing_program_or_platform_is_our_error(directory: Path, tmp_path: Path) -> None:
    absent = _amber("quote", directory, "--report-data", DATA, "-o", tmp_path / "q", "--program", tmp_path / "absent")
    assert absent.exit_code == 1
    assert "absent" in absent.output
    assert _amber("show", tmp_path / "nowhere").exit_code == 1


def test_the_list_names_every_fault_and_what_becomes_of_it() -> None:
    told = json.loads(_amber("fault", "list", "--json").output)
    assert [(fault["name"], fault["tee"]) for fault in told] == [(f.name, f.tee.name) for f in FAULTS.values()]
    words = _amber("fault", "list").output
    for fault in FAULTS.values():
        assert fault.name in words
        assert fault.description in words


def test_emit_writes_quote_and_collateral(directory: Path) -> None:
    result = _amber("fault", "emit", "pck-revoked", directory, "--report-data", DATA, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["expected_step"] == FAULTS["pck-revoked"].expected_step
    raw = Path(told["quote"]).read_bytes()
    collateral = Collateral.from_json(Path(told["collateral"]).read_text())
    assert parse_quote(raw).body.report_data.hex() == DATA
    root = SimulatedPlatform.load(directory).root_pem
    assert "CertRevoked" in str(ask(raw, collateral, at=datetime.now(UTC), root_pem=root).refusal)


def test_an_unknown_fault_is_our_error(directory: Path) -> None:
    result = _amber("fault", "emit", "no-such", directory)
    assert result.exit_code == 1
    assert "amber simulator fault list" in result.output
