"""`amber quote show` and `verify`: for people and for machines, with the exit codes of the interface."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from tests.unit.simulator.stream import stream

from ambergate.cli.main import main
from ambergate.core.verify.steps import STEPS
from ambergate.simulator.faults import FAULTS, SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("cli"))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "quote").write_bytes(PLATFORM.quote(SPECIMEN, bytes(64)))
    (tmp_path / "collateral.json").write_text(PLATFORM.collateral(at=AT).to_json())
    (tmp_path / "root.pem").write_text(PLATFORM.root_pem)
    return tmp_path


def amber(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def verify(files: Path, *more: str, at: datetime = AT, anchor: bool = True) -> Result:
    root = ("--anchor", files / "root.pem") if anchor else ()
    given = ("--collateral", files / "collateral.json", "--at", at.isoformat())
    return amber("quote", "verify", files / "quote", *given, *root, *more)


def test_a_genuine_quote_as_json(files: Path) -> None:
    result = verify(files, "--json")
    assert result.exit_code == 0
    verdict = json.loads(result.output)
    assert (verdict["genuine"], verdict["tee"], verdict["tcb_status"], verdict["error"]) == (
        True,
        "SGX",
        "UpToDate",
        None,
    )
    assert {check["id"] for check in verdict["checks"]} == {step.id for step in STEPS if not step.tdx_only}
    assert all(check["ok"] for check in verdict["checks"])
    assert verdict["report"]["mr_enclave"] == SPECIMEN.mr_enclave.hex()


def test_a_genuine_quote_for_people(files: Path) -> None:
    result = verify(files)
    assert result.exit_code == 0
    assert all(f"✓ {step.id} " in result.output for step in STEPS if not step.tdx_only)
    assert "TCB status  UpToDate" in result.output


def test_another_root_is_refused_with_the_step_and_the_next_move(files: Path) -> None:
    result = verify(files, anchor=False)
    assert result.exit_code == 4
    assert "✗ 2.2.pck_chain_anchor" in result.output
    assert "wanted: Intel SGX Root CA" in result.output
    assert "next:" in result.output


def test_a_fault_as_json(files: Path) -> None:
    fault = FAULTS["pck-revoked"]
    quote, collateral = fault.apply(PLATFORM, AT)
    (files / "quote").write_bytes(quote)
    (files / "collateral.json").write_text(collateral.to_json())
    result = verify(files, "--json")
    assert result.exit_code == 4
    verdict = json.loads(result.output)
    assert verdict["genuine"] is False
    assert verdict["error"]["step"] == fault.expected_step == verdict["checks"][-1]["id"]
    assert [check["ok"] for check in verdict["checks"]] == [True] * (len(verdict["checks"]) - 1) + [False]


def test_expired_collateral_is_refused(files: Path) -> None:
    assert verify(files, at=AT + timedelta(days=400)).exit_code == 4


def test_bytes_that_are_no_quote(files: Path) -> None:
    (files / "quote").write_bytes(b"no quote")
    result = verify(files, "--json")
    assert result.exit_code == 4
    assert json.loads(result.output)["error"]["code"] == "malformed-evidence"
    assert amber("quote", "show", files / "quote").exit_code == 4


def test_an_unreachable_pccs_is_told_apart(files: Path) -> None:
    for more in ((), ("--json",)):
        result = amber("quote", "verify", files / "quote", "--pccs", "https://127.0.0.1:1", *more)
        assert result.exit_code == 5


def test_usage_errors(files: Path) -> None:
    assert amber("quote", "verify", files / "absent").exit_code == 2
    assert verify(files, "--at", "yesterday").exit_code == 2


def test_show_says_what_is_claimed(files: Path) -> None:
    members = json.loads(amber("quote", "show", files / "quote", "--json").output)
    assert members["fmspc"] == PLATFORM.fmspc.hex()
    assert members["report"]["debug"] is False
    assert "not verified" in amber("quote", "show", files / "quote").output


def test_an_explanation_for_people(files: Path) -> None:
    plain, explained = verify(files).output, verify(files, "--explain").output
    assert explained.startswith(plain)
    for words in ("Who vouches for what", "How long it holds", "limited by nothing", "Not proven by any of this"):
        assert words in explained
        assert words not in plain


def test_an_explanation_for_machines_is_there_when_it_was_asked_for(files: Path) -> None:
    plain, explained = (json.loads(verify(files, "--json", *more).output) for more in ((), ("--explain",)))
    explanation = explained.pop("explanation")
    assert explained == plain
    assert explanation["tcb"]["status"] == "UpToDate"
    assert explanation["genuine_hardware"] is False


def test_a_refusal_is_explained_too(files: Path) -> None:
    result = verify(files, "--explain", anchor=False)
    assert result.exit_code == 4
    assert "would prove:" in result.output
    explanation = json.loads(verify(files, "--explain", "--json", anchor=False).output)["explanation"]
    assert explanation["step"] == "2.2.pck_chain_anchor"
    (files / "quote").write_bytes(b"no quote")
    assert json.loads(verify(files, "--explain", "--json").output)["explanation"]["step"] == "1.1.quote_format"


def test_collateral_that_does_not_parse_explains_nothing(files: Path) -> None:
    (files / "collateral.json").write_text("{}")
    result = verify(files, "--explain", "--json")
    assert result.exit_code == 4
    assert "explanation" not in json.loads(result.output)
