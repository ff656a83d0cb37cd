"""`amber keybroker policy`: what it writes loads and names that enclave, what it says is what the broker would do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, MR_SIGNER, Forge
from tests.unit.quote.test_sigstruct import make
from tests.unit.release.told import TD

from ambergate.cli.main import main
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.stores.engine import open_database
from ambergate.stores.releases import ReleaseCounter

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

KEY_ID = "ae6281b3-e4fe-3db5-82fd-000000000001"


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


@pytest.fixture
def folder(tmp_path: Path, forge: Forge) -> Path:
    """Tokens, policies, and the configuration of a broker that pins the forge's keys."""
    (tmp_path / "keys.json").write_text(json.dumps(forge.key_set()))
    (tmp_path / "good.token").write_text(forge.token() + "\n")
    (tmp_path / "old.token").write_text(forge.token(claims=forge.claims(sgx_isvsvn=2, sgx_is_debuggable=True)))
    (tmp_path / "forged.token").write_text(forge.token(key=forge.other_key))
    (tmp_path / "policy.toml").write_text(
        f'mr_signer = "{MR_SIGNER}"\nisv_prod_id = 7\nminimum_isv_svn = 3\nmax_releases = 1\n'
    )
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    (tmp_path / "broker.toml").write_text(
        '[listen]\nport = 0\ncertificate = "cert.pem"\nkey = "key.pem"\n'
        '[store]\ndatabase = "broker.sqlite"\nkey_encryption_key = "broker.kek"\n'
        f'[[issuers]]\nissuer = "{ISSUER}"\njwks_file = "keys.json"\n'
    )
    return tmp_path


def amber(folder: Path, *arguments: str, stdin: bytes | None = None) -> Result:
    """`amber keybroker ARGUMENTS`; what names a file of the folder is that file."""
    filled = [str(folder / each) if (folder / each).is_file() else each for each in arguments]
    return CliRunner().invoke(main, ["keybroker", *filled], input=stdin, catch_exceptions=False)


def policy_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return ResourcePolicy.from_toml(result.stdout).to_mapping()


@pytest.mark.parametrize("by_signer", [False, True])
def test_a_policy_from_each_source_names_that_enclave(folder: Path, *, by_signer: bool) -> None:
    flags = ["--by-signer"] if by_signer else []
    (folder / "app.sig").write_bytes(make(rsa.generate_private_key(public_exponent=3, key_size=3072)))
    program = EnclaveIdentity.of_program([b"a program"], isv_svn=5)
    (folder / "app.quote").write_bytes(SimulatedPlatform.create(at=AT).quote(program, bytes(64)))
    of_sigstruct = policy_of(amber(folder, "policy", "new", "--from-sigstruct", "app.sig", *flags))
    of_quote = policy_of(amber(folder, "policy", "new", "--from-quote", "app.quote", *flags))
    of_token = policy_of(amber(folder, "policy", "new", "--from-token", "good.token", *flags))
    if by_signer:
        assert (of_sigstruct["isv_prod_id"], of_sigstruct["minimum_isv_svn"]) == ([7], 3)
        assert (of_quote["mr_signer"], of_quote["minimum_isv_svn"]) == ([program.mr_signer.hex()], 5)
        assert (of_token["mr_signer"], of_token["isv_prod_id"], of_token["minimum_isv_svn"]) == ([MR_SIGNER], [7], 3)
    else:
        assert of_sigstruct["mr_enclave"] == [bytes(range(32)).hex()]
        assert of_quote["mr_enclave"] == [program.mr_enclave.hex()]
        assert of_token["mr_enclave"] == [MR_ENCLAVE]
    for each in (of_sigstruct, of_quote, of_token):
        assert each["dangerously_allow_debug"] is False
        assert each["tcb_statuses"] == ["UpToDate"]


def test_a_policy_from_the_token_of_a_td(folder: Path, forge: Forge) -> None:
    (folder / "td.token").write_text(forge.token(claims=forge.claims(attester_type="TDX", **TD)))
    members = policy_of(amber(folder, "policy", "new", "--from-token", "td.token"))
    assert (members["mr_td"], members["mr_seam"], members["minimum_seam_svn"]) == (["01" * 48], ["02" * 48], 257)


def test_a_debug_enclave_is_said_and_not_welcome(folder: Path) -> None:
    result = amber(folder, "policy", "new", "--from-token", "old.token")
    assert policy_of(result)["dangerously_allow_debug"] is False
    assert "keeps no secret" in result.stderr
    told = json.loads(amber(folder, "policy", "new", "--from-token", "old.token", "--json").stdout)
    assert (told["debug"], told["policy"]["mr_enclave"]) == (True, [MR_ENCLAVE])


@pytest.mark.parametrize("arguments", [[], ["--from-token", "good.token", "--from-quote", "good.token"]])
def test_one_source_is_wanted(folder: Path, arguments: list[str]) -> None:
    assert amber(folder, "policy", "new", *arguments).exit_code == 2


def test_a_token_that_names_nobody_makes_no_policy(folder: Path, forge: Forge) -> None:
    (folder / "nobody.token").write_text(forge.token(claims=forge.claims(sgx_mrenclave=None)))
    for name in ("nobody.token", "policy.toml"):
        assert amber(folder, "policy", "new", "--from-token", name).exit_code == 4


BROKEN = f"""\
# a policy with mistakes
mr_enclav = "{MR_ENCLAVE}"
tcb_statuses = [
  "UpToDate",
  "OK",
]

[[any]]
mr_signer = "short"
[[any]]
[[any.weekly]]
from = "25:00"
"""


def test_check_tells_every_problem_and_its_line(folder: Path) -> None:
    (folder / "broken.toml").write_text(BROKEN)
    result = amber(folder, "policy", "check", "broken.toml")
    assert result.exit_code == 4
    for line, word in ((2, "mr_enclav"), (3, "OK"), (9, "any[0].mr_signer"), (11, "any[1].weekly[0]")):
        assert f"broken.toml:{line}:" in result.stderr
        assert word in result.stderr
    assert "did you mean mr_enclave?" in result.stderr
    assert "4 problems" in result.stderr
    told = json.loads(amber(folder, "policy", "check", "broken.toml", "--json").stdout)
    assert [each["line"] for each in told["problems"]] == [2, 3, 9, 11]
    assert told["problems"][0]["where"] == "mr_enclav"


@pytest.mark.parametrize("text", ["=", "", '{"mr_enclave": 5}', '{"attestation_type": "SGX"}', "[" * 3000, "\xff"])
def test_check_of_what_is_no_policy(folder: Path, text: str) -> None:
    (folder / "none.toml").write_bytes(text.encode("latin-1"))
    assert amber(folder, "policy", "check", "none.toml").exit_code == 4


def test_check_reads_every_form(folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps({"mr_enclave": MR_ENCLAVE}))
    attributes = {"mrsigner": [MR_SIGNER], "isvprodid": [7]}
    (folder / "b.json").write_text(json.dumps({"attestation_type": "SGX", "sgx": {"attributes": attributes}}))
    for name in ("policy.toml", "a.json", "b.json"):
        assert amber(folder, "policy", "check", name).exit_code == 0
    told = json.loads(amber(folder, "policy", "check", "b.json", "--json").stdout)
    assert told["policy"]["minimum_isv_svn"] == 0


def explained(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = amber(folder, "policy", "explain", *arguments, "--at", AT.isoformat(), "--json")
    return result.exit_code, json.loads(result.stdout)


def test_explain_says_what_the_broker_would_do(folder: Path) -> None:
    config = ("--config", "broker.toml")
    imported = amber(folder, "key", "import", "--policy", "policy.toml", "--id", KEY_ID, *config, stdin=b"a secret")
    assert imported.exit_code == 0, imported.output
    code, told = explained(folder, "good.token", KEY_ID, *config)
    assert (code, told["released"], told["mismatches"], told["spent"]) == (0, True, [], None)
    assert told["token"] == {"issuer": ISSUER, "signature_checked": True}
    (alternative,) = told["alternatives"]
    assert alternative["met"]
    assert {"mr_signer", "isv_svn", "tcb_status", "debug", "simulated"} <= {
        each["rule"] for each in alternative["rules"]
    }
    code, told = explained(folder, "old.token", KEY_ID, *config)
    assert (code, [each["rule"] for each in told["mismatches"]]) == (3, ["isv_svn", "debug"])
    words = amber(folder, "policy", "explain", "old.token", KEY_ID, *config, "--at", AT.isoformat())
    assert words.exit_code == 3
    assert "FAIL isv_svn: 2, wanted >= 3" in words.stdout
    assert "it would not be released" in words.stdout


def test_explain_counts_nothing_and_says_when_all_is_spent(folder: Path) -> None:
    config = ("--config", "broker.toml")
    amber(folder, "key", "import", "--policy", "policy.toml", "--id", KEY_ID, *config, stdin=b"a secret")
    for _ in range(3):
        assert explained(folder, "good.token", KEY_ID, *config)[0] == 0
    engine = open_database(folder / "broker.sqlite")
    assert ReleaseCounter(engine).take(UUID(KEY_ID), 1) == 1
    engine.dispose()
    code, told = explained(folder, "good.token", KEY_ID, *config)
    assert (code, told["released"], told["mismatches"]) == (3, False, [])
    assert "released 1 times" in told["spent"]


def test_explain_offline_checks_no_signature_and_says_so(folder: Path) -> None:
    code, told = explained(folder, "forged.token", "--policy", "policy.toml")
    assert (code, told["released"], told["token"]["signature_checked"]) == (0, True, False)
    words = amber(folder, "policy", "explain", "good.token", "--policy", "policy.toml", "--at", AT.isoformat())
    assert "was not checked" in words.stdout


def test_explain_with_issuers_refuses_what_they_did_not_sign(folder: Path) -> None:
    given = ("forged.token", "--policy", "policy.toml", "--config", "broker.toml", "--at", AT.isoformat())
    result = amber(folder, "policy", "explain", *given)
    assert result.exit_code == 3
    assert "it would" not in result.stdout


def test_explain_tells_alternatives_apart(folder: Path) -> None:
    (folder / "two.toml").write_text(f'[[any]]\nmr_enclave = "{MR_ENCLAVE}"\n[[any]]\nmr_enclave = "{"00" * 32}"\n')
    code, told = explained(folder, "good.token", "--policy", "two.toml")
    assert code == 0
    assert [(each["table"], each["met"]) for each in told["alternatives"]] == [("any[0]", True), ("any[1]", False)]
    words = amber(folder, "policy", "explain", "good.token", "--policy", "two.toml", "--at", AT.isoformat()).stdout
    assert "ok   alternative any[0]" in words
    assert "FAIL alternative any[1]" in words


@pytest.mark.parametrize(
    "arguments",
    [
        ["good.token"],
        ["good.token", KEY_ID],
        ["good.token", KEY_ID, "--policy", "policy.toml", "--config", "broker.toml"],
        ["missing.token", "--policy", "policy.toml"],
    ],
)
def test_explain_wants_one_policy(folder: Path, arguments: list[str]) -> None:
    assert amber(folder, "policy", "explain", *arguments).exit_code == 2


def test_explain_of_a_key_that_is_not_there(folder: Path) -> None:
    result = amber(folder, "policy", "explain", "good.token", KEY_ID, "--config", "broker.toml", "--at", AT.isoformat())
    assert result.exit_code == 1
    assert "no key of this id" in result.stderr
