"""`amber policy` as it is typed: what it prints, and how it exits."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.appraise.told import AT, MR_ENCLAVE, SGX, TDX
from tests.unit.quote.test_sigstruct import make
from tests.unit.token.judged import ENCLAVE, WHEN, Laboratory

from ambergate.cli.main import main
from ambergate.policies.first import Known, as_rego, as_toml

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

EXACT = f'[[sgx]]\nmr_enclave = ["{MR_ENCLAVE}"]\n'


def amber(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["policy", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def said(*arguments: object, code: int = 0) -> Any:  # noqa: ANN401  any JSON
    return json.loads(amber(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory.open()


@pytest.fixture(scope="module")
def sigstruct() -> bytes:
    return make(rsa.generate_private_key(public_exponent=3, key_size=3072))


@pytest.fixture
def folder(tmp_path: Path, laboratory: Laboratory, sigstruct: bytes) -> Path:
    (tmp_path / "app.sig").write_bytes(sigstruct)
    (tmp_path / "quote").write_bytes(laboratory.platform.quote(ENCLAVE, bytes(64)))
    (tmp_path / "collateral.json").write_text(laboratory.platform.collateral(at=WHEN).to_json())
    (tmp_path / "root.pem").write_text(laboratory.platform.root_pem)
    (tmp_path / "policy.toml").write_text(EXACT)
    (tmp_path / "claims.json").write_text(json.dumps(SGX))
    return tmp_path


def test_a_policy_from_a_sigstruct_welcomes_that_enclave(folder: Path, sigstruct: bytes) -> None:
    claims = SGX | {
        "sgx_mrenclave": bytes(range(32)).hex(),
        "sgx_mrsigner": hashlib.sha256(sigstruct[128:512]).hexdigest(),
    }
    for language, file in (("toml", "new.toml"), ("rego", "new.rego")):
        for by_signer in ([], ["--by-signer"]):
            text = amber("new", "--from-sigstruct", folder / "app.sig", "--language", language, *by_signer).stdout
            (folder / file).write_text(text)
            (folder / "told.json").write_text(json.dumps(claims))
            assert said("explain", folder / file, "--claims", folder / "told.json")["matched"]
            other = {"sgx_mrenclave": "00" * 32} if not by_signer else {"sgx_isvsvn": 2}
            (folder / "told.json").write_text(json.dumps(claims | other))
            told = said("explain", folder / file, "--claims", folder / "told.json", code=3)
            assert len(told["mismatches"]) == 1


def test_a_policy_from_a_quote_welcomes_what_the_quote_claims(folder: Path) -> None:
    text = amber("new", "--from-quote", folder / "quote").stdout
    assert "a quote that nobody verified" in text
    (folder / "new.toml").write_text(text)
    options = ("--collateral", folder / "collateral.json", "--anchor", folder / "root.pem", "--at", WHEN.isoformat())
    told = said("explain", folder / "new.toml", "--quote", folder / "quote", *options)
    assert (told["matched"], told["claims"]["sgx_mrenclave"]) == (True, ENCLAVE.mr_enclave.hex())


def test_a_quote_is_verified_before_it_is_judged(folder: Path) -> None:
    raw = bytearray((folder / "quote").read_bytes())
    raw[112] ^= 1  # the first byte of MRENCLAVE
    (folder / "quote").write_bytes(raw)
    options = ("--collateral", folder / "collateral.json", "--anchor", folder / "root.pem", "--at", WHEN.isoformat())
    told = said("explain", folder / "policy.toml", "--quote", folder / "quote", *options, code=4)
    assert told["error"]["code"] == "quote-signature-invalid" or "signature" in told["error"]["message"]


def test_a_policy_for_a_td(folder: Path) -> None:
    known = Known(
        origin="a test", tee="tdx", claims={k: v for k, v in TDX.items() if isinstance(v, str | int)}, debug=False
    )
    for file, text in (("td.toml", as_toml(known, by_signer=False)), ("td.rego", as_rego(known, by_signer=False))):
        (folder / file).write_text(text)
        (folder / "told.json").write_text(json.dumps(TDX))
        assert said("explain", folder / file, "--claims", folder / "told.json")["matched"]
        (folder / "told.json").write_text(json.dumps(TDX | {"tdx_mrtd": "00" * 48}))
        assert not said("explain", folder / file, "--claims", folder / "told.json", code=3)["matched"]


def test_debug_is_said_aloud(folder: Path, laboratory: Laboratory) -> None:
    (folder / "quote").write_bytes(laboratory.platform.quote(replace(ENCLAVE, debug=True), bytes(64)))
    result = amber("new", "--from-quote", folder / "quote")
    assert "runs under debug" in result.stderr
    assert "dangerously_allow_debug" in result.stdout
    (folder / "new.toml").write_text(result.stdout)
    assert said("check", folder / "new.toml")["loads"]
    assert "dangerously_allow_debug = true" not in result.stdout


@pytest.mark.parametrize("options", [(), ("--from-quote", "a", "--from-sigstruct", "b")])
def test_new_from_one_thing(options: tuple[str, ...]) -> None:
    amber("new", *options, code=2)


def test_what_is_no_sigstruct(folder: Path) -> None:
    told = said("new", "--from-sigstruct", folder / "root.pem", code=4)
    assert told["error"]["code"] == "malformed-evidence"


def test_check_tells_the_hash(folder: Path) -> None:
    told = said("check", folder / "policy.toml")
    assert told["hash"] == base64.b64encode(hashlib.sha384(EXACT.encode()).digest()).decode()
    (folder / "v2.rego").write_text("match := true # always\n")
    assert said("check", folder / "v2.rego")["notes"]
    assert "loads" in amber("check", folder / "v2.rego").stdout


def test_check_says_in_which_line(folder: Path) -> None:
    (folder / "wrong.rego").write_text("a := true\n\nb { opa.runtime() }\n")
    told = said("check", folder / "wrong.rego", code=4)
    assert told["error"]["message"] == "line 3: opa.runtime is not accepted"
    assert "line 3" in amber("check", folder / "wrong.rego", code=4).stderr
    (folder / "wrong").write_text("a := true")
    amber("check", folder / "wrong", code=2)
    assert said("check", folder / "wrong", "--language", "rego")["loads"]
    amber("check", folder / "absent.rego", code=2)


def test_kinds(folder: Path) -> None:
    (folder / "fields.rego").write_text('get_token_fields[x] { x := {"a": input.sgx_isvsvn} }')
    said("check", folder / "fields.rego", code=4)
    assert said("check", folder / "fields.rego", "--kind", "token")["kind"] == "Token customization policy"
    told = said("explain", folder / "fields.rego", "--kind", "token", "--claims", folder / "claims.json")
    assert told["exports"] == {"a": 3}
    assert "the token says a: 3" in amber(
        "explain", folder / "fields.rego", "--kind", "token", "--claims", folder / "claims.json"
    ).stdout  # fmt: skip


CASES = f"""
[claims]
attester_type = "SGX"
attester_tcb_status = "UpToDate"
attester_tcb_date = "2025-11-12T00:00:00Z"
sgx_mrenclave = "{MR_ENCLAVE}"
sgx_mrsigner = "{"0a" * 32}"
sgx_isvprodid = 7
sgx_isvsvn = 3
sgx_is_debuggable = false

[[case]]
name = "the program"
expect = "match"

[[case]]
name = "another"
expect = "refuse"
claims = {{ sgx_mrenclave = "{"00" * 32}" }}
rules = ["mr_enclave"]

[[case]]
expect = "refuse"
without = ["sgx_isvsvn"]
at = "2026-03-01T00:00:00Z"
rules = ["policy"]
exports = {{}}
"""


def test_cases_that_are_as_expected(folder: Path) -> None:
    (folder / "cases.toml").write_text(CASES)
    told = said("test", folder / "policy.toml", folder / "cases.toml")
    assert (told["cases"], told["failed"]) == (3, 0)
    assert "3 cases, 0 not as expected" in amber("test", folder / "policy.toml", folder / "cases.toml").stdout


def test_a_case_that_is_not_fails_the_command(folder: Path) -> None:
    changed = CASES.replace('rules = ["mr_enclave"]', 'rules = ["mr_signer"]').replace('"match"', '"refuse"')
    (folder / "cases.toml").write_text(changed)
    told = said("test", folder / "policy.toml", folder / "cases.toml", code=3)
    assert told["failed"] == 2
    words = amber("test", folder / "policy.toml", folder / "cases.toml", code=3).stdout
    assert "expected a refusal, got a match" in words
    assert "expected to be refused by mr_signer, was by mr_enclave" in words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[case]]\n",
        "case = 1",
        '[[case]]\nexpect = "pass"',
        '[[case]]\nexpect = "match"\nclaim = {}',
        '[[case]]\nexpect = "match"\nclaims = { sgx_mrenclav = "" }',
        '[[case]]\nexpect = "match"\nwithout = ["sgx_mrenclav"]',
        '[[case]]\nexpect = "match"\nwithout = "sgx_mrenclave"',
        '[[case]]\nexpect = "match"\nat = "soon"',
        '[[case]]\nexpect = "match"\nexports = 1',
        '[[case]]\nexpect = "match"\nrules = [1]',
        "claims = 1",
        "[" * 5000,
    ],
)
def test_cases_that_say_nothing(folder: Path, text: str) -> None:
    (folder / "cases.toml").write_text(text)
    assert said("test", folder / "policy.toml", folder / "cases.toml", code=4)["error"]["code"] == "malformed-policy"


def test_explain_names_rule_seen_and_wanted(folder: Path) -> None:
    (folder / "claims.yaml").write_text(
        "\n".join(f"{name}: {json.dumps(value)}" for name, value in (SGX | {"sgx_isvsvn": 1}).items())
    )
    (folder / "why.rego").write_text("ok {\n  input.sgx_isvsvn >= 2\n}\n")
    told = said("explain", folder / "why.rego", "--claims", folder / "claims.yaml", code=3)
    assert told["mismatches"] == [{"rule": "ok (line 2)", "seen": "sgx_isvsvn 1", "wanted": "input.sgx_isvsvn >= 2"}]
    words = amber("explain", folder / "why.rego", "--claims", folder / "claims.yaml", code=3).stdout
    assert "ok (line 2): seen sgx_isvsvn 1, wanted input.sgx_isvsvn >= 2" in words
    amber("explain", folder / "why.rego", code=2)


def record(verdict: str, key: str | None = "key-1", **change: object) -> dict[str, object]:
    return {"at": AT.isoformat(), "verdict": verdict, "key_id": key, "evidence": SGX | change}


def test_try_says_whom_a_draft_cuts_off(folder: Path) -> None:
    records = [
        record("issued"),
        record("issued", sgx_mrenclave="11" * 32),
        record("issued", sgx_mrenclave="11" * 32),
        record("issued", None, sgx_is_debuggable=True),
        record("refused"),
        record("refused", sgx_mrenclave="22" * 32),
        {"at": AT.isoformat(), "verdict": "refused", "evidence": None},
    ]
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n\n")
    told = said("try", folder / "policy.toml", "--records", folder / "records.jsonl")
    assert {name: told[name] for name in ("records", "without_evidence", "kept", "cut_off", "let_in")} == {
        "records": 7, "without_evidence": 1, "kept": 1, "cut_off": 3, "let_in": 1,
    }  # fmt: skip
    assert told["cut_off_by"][0] == {"key_id": "key-1", "measurement": "11" * 32, "attestations": 2}
    assert told["rules"] == {"mr_enclave": 2, "debug": 1}
    assert "cut off         3" in amber(
        "try", folder / "policy.toml", "--records", folder / "records.jsonl", "--strict", code=3
    ).stdout  # fmt: skip
    (folder / "one.json").write_text(json.dumps(records[0]))
    assert said("explain", folder / "policy.toml", "--claims", folder / "one.json")["matched"], "a record is claims too"


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", '{"evidence": 1, "at": "x", "verdict": "issued"}', '{"evidence": {}, "verdict": "issued"}',
     '{"evidence": {}, "at": "2026-03-01T00:00:00Z"}', "[" * 9000, '{"a": "' + "x" * 300_000 + '"}'],
)  # fmt: skip
def test_records_that_are_none(folder: Path, line: str) -> None:
    (folder / "records.jsonl").write_text(line + "\n")
    told = said("try", folder / "policy.toml", "--records", folder / "records.jsonl", code=4)
    assert told["error"]["code"] == "malformed"
    assert "line 1" in told["error"]["seen"]


def test_a_draft_of_20_kib_and_no_more(folder: Path) -> None:
    (folder / "long.toml").write_text(EXACT + "#" * 20_480)
    assert "too long" in said("check", folder / "long.toml", code=4)["error"]["message"]
    (folder / "binary.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in said("check", folder / "binary.toml", code=4)["error"]["message"]
