"""`amber keybroker change`: a key whose policy names owners goes under another only when enough of them signed it."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.integration.keybroker.forge import MR_ENCLAVE

from ambergate.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

KEY_ID = "ae6281b3-e4fe-3db5-82fd-000000000001"
OTHER = "11" * 32
OWNERS: dict[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
    "alice": ec.generate_private_key(ec.SECP256R1()),
    "bob": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "carol": ec.generate_private_key(ec.SECP256R1()),
    "mallory": ec.generate_private_key(ec.SECP256R1()),
}


def public(name: str) -> str:
    der = OWNERS[name].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def policy(enclave: str, *owners: str, needed: int = 2) -> str:
    named = "".join(f'  "{public(name)}",\n' for name in owners)
    return f'mr_enclave = "{enclave}"\n' + (f"[owners]\napprovals = {needed}\nkeys = [\n{named}]\n" if owners else "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker with one key under a policy of three owners, two of whom must approve."""
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    (tmp_path / "broker.toml").write_text(
        '[listen]\nport = 0\ncertificate = "cert.pem"\nkey = "key.pem"\n'
        '[store]\ndatabase = "broker.sqlite"\nkey_encryption_key = "broker.kek"\n'
        '[[issuers]]\nissuer = "https://a"\njwks_file = "keys.json"\n'
    )
    for name, key in OWNERS.items():
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.pem").write_bytes(pem)
    (tmp_path / "owned.toml").write_text(policy(MR_ENCLAVE, "alice", "bob", "carol"))
    (tmp_path / "other.toml").write_text(policy(OTHER, "alice", needed=1))
    made = amber(tmp_path, "key", "import", "--id", KEY_ID, "--policy", "owned.toml", stdin=b"a secret")
    assert made.exit_code == 0, made.output
    return tmp_path


def amber(folder: Path, *arguments: str, stdin: bytes | None = None) -> Result:
    filled = [str(folder / each) if (folder / each).is_file() else each for each in arguments]
    if arguments[:2] != ("change", "sign"):
        filled += ["--config", str(folder / "broker.toml")]
    return CliRunner().invoke(main, ["keybroker", *filled], input=stdin, catch_exceptions=False)


def proposed(folder: Path, file: str = "other.toml", *more: str) -> dict[str, Any]:
    result = amber(folder, "change", "propose", "--id", KEY_ID, "--policy", file, *more)
    assert result.exit_code == 0, result.output
    (folder / "change.json").write_text(result.stdout)
    return dict(json.loads(result.stdout))


def signed(folder: Path, name: str) -> str:
    result = amber(folder, "change", "sign", "change.json", "--key", f"{name}.pem", "--yes")
    assert result.exit_code == 0, result.output
    (folder / f"{name}.jws").write_text(result.stdout)
    return f"{name}.jws"


def handed_in(folder: Path, change: str, approval: str) -> Result:
    return amber(folder, "change", "approve", change, "--approval", approval, "--json")


def enclave_of(folder: Path) -> str:
    (key,) = json.loads(amber(folder, "key", "list", "--json").stdout)
    return str(key["policy"]["mr_enclave"][0])


def test_two_of_three_owners_put_a_key_under_another_policy(folder: Path) -> None:
    """Until the second approval the first policy holds; both kinds of keys sign."""
    change = proposed(folder)["id"]
    assert enclave_of(folder) == MR_ENCLAVE
    first = json.loads(handed_in(folder, change, signed(folder, "alice")).stdout)
    assert (len(first["approved_by"]), first["needed"], first["in_force"]) == (1, 2, False)
    assert enclave_of(folder) == MR_ENCLAVE
    (waiting,) = json.loads(amber(folder, "change", "list", "--json").stdout)
    assert (waiting["id"], waiting["approved_by"]) == (change, first["approved_by"])
    second = json.loads(handed_in(folder, change, signed(folder, "bob")).stdout)
    assert (len(second["approved_by"]), second["in_force"]) == (2, True)
    assert enclave_of(folder) == OTHER
    assert json.loads(amber(folder, "change", "list", "--json").stdout) == []


def test_nobody_sets_an_owned_policy_without_them(folder: Path) -> None:
    result = amber(folder, "key", "set-policy", "--id", KEY_ID, "--policy", "other.toml")
    assert result.exit_code == 3
    assert "owners must approve" in result.stderr
    assert enclave_of(folder) == MR_ENCLAVE


def test_one_owner_has_one_word(folder: Path) -> None:
    change = proposed(folder)["id"]
    for _ in range(3):
        told = json.loads(handed_in(folder, change, signed(folder, "alice")).stdout)
        assert len(told["approved_by"]) == 1
    assert enclave_of(folder) == MR_ENCLAVE


def test_a_strangers_word_is_none(folder: Path) -> None:
    change = proposed(folder)["id"]
    assert handed_in(folder, change, signed(folder, "mallory")).exit_code == 3
    (folder / "junk.jws").write_text("a.b.c")
    assert handed_in(folder, change, "junk.jws").exit_code == 4
    assert handed_in(folder, change, signed(folder, "carol")).exit_code == 0
    assert enclave_of(folder) == MR_ENCLAVE


def test_an_approval_is_of_one_change(folder: Path) -> None:
    """Not of another policy, another instant, nor of the same change proposed again."""
    proposed(folder)
    approval = signed(folder, "alice")
    again = proposed(folder)["id"]
    refused = handed_in(folder, again, approval)
    assert refused.exit_code == 3
    assert json.loads(refused.stdout)["error"]["code"] == "other-change"


def test_what_is_signed_is_what_is_shown(folder: Path) -> None:
    """A file whose policies were edited gives an approval of something else."""
    change = proposed(folder)["id"]
    document = json.loads((folder / "change.json").read_text())
    document["after"]["mr_enclave"] = ["22" * 32]
    (folder / "change.json").write_text(json.dumps(document))
    shown = amber(folder, "change", "sign", "change.json", "--key", "alice.pem", stdin=b"n\n")
    assert shown.exit_code == 1
    assert "22" * 32 in shown.stderr
    assert handed_in(folder, change, signed(folder, "alice")).exit_code == 3


def test_a_change_that_the_key_has_moved_away_from(folder: Path) -> None:
    """Two changes wait; when one is in force the other counts for nothing."""
    (folder / "third.toml").write_text(policy("33" * 32, "alice", "bob", needed=2))
    one = proposed(folder)["id"]
    handed_in(folder, one, signed(folder, "alice"))
    (folder / "last.jws").write_text((folder / signed(folder, "bob")).read_text())
    two = proposed(folder, "third.toml")["id"]
    results = [handed_in(folder, two, signed(folder, name)) for name in ("alice", "bob")]
    assert json.loads(results[-1].stdout)["in_force"] is True
    assert handed_in(folder, one, "last.jws").exit_code == 1
    assert enclave_of(folder) == "33" * 32
    assert amber(folder, "change", "withdraw", one).exit_code == 0


def test_a_change_in_the_database_is_approved_by_nobody(folder: Path) -> None:
    """Who writes to the database can neither exchange the policy, nor the end, nor carry approvals over."""
    change = proposed(folder)["id"]
    handed_in(folder, change, signed(folder, "alice"))
    evil = json.dumps({"dangerously_allow_debug": True, "mr_enclave": [MR_ENCLAVE]})
    with closing(sqlite3.connect(folder / "broker.sqlite")) as database, database:
        database.execute("UPDATE broker_policy_changes SET after = ?", (evil,))
    assert handed_in(folder, change, signed(folder, "bob")).exit_code == 3
    (waiting,) = json.loads(amber(folder, "change", "list", "--json").stdout)
    assert waiting["approved_by"] == []
    assert enclave_of(folder) == MR_ENCLAVE


def test_withdrawn_and_unknown_changes(folder: Path) -> None:
    change = proposed(folder)["id"]
    approval = signed(folder, "alice")
    assert amber(folder, "change", "withdraw", change).exit_code == 0
    for result in (handed_in(folder, change, approval), amber(folder, "change", "withdraw", change)):
        assert result.exit_code == 1


def test_a_key_without_owners_asks_nobody(folder: Path) -> None:
    (folder / "free.toml").write_text(policy(MR_ENCLAVE))
    other = KEY_ID[:-1] + "2"
    amber(folder, "key", "import", "--id", other, "--policy", "free.toml", stdin=b"a secret")
    refused = amber(folder, "change", "propose", "--id", other, "--policy", "other.toml")
    assert refused.exit_code == 1
    assert "nobody has to approve" in refused.stderr
    assert amber(folder, "key", "set-policy", "--id", other, "--policy", "other.toml").exit_code == 0


def test_a_key_under_a_password(folder: Path) -> None:
    pem = OWNERS["alice"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    (folder / "locked.pem").write_bytes(pem)
    change = proposed(folder)["id"]
    result = amber(folder, "change", "sign", "change.json", "--key", "locked.pem", "--yes", stdin=b"hunter2\n")
    (folder / "locked.jws").write_text(result.stdout)
    assert handed_in(folder, change, "locked.jws").exit_code == 0
    wrong = amber(folder, "change", "sign", "change.json", "--key", "locked.pem", "--yes", stdin=b"wrong\n")
    assert wrong.exit_code == 1


def test_what_is_no_change(folder: Path) -> None:
    for text in ("", "[]", "{}", '{"id": "x"}', '{"before": 5, "after": 6}'):
        (folder / "change.json").write_text(text)
        assert amber(folder, "change", "sign", "change.json", "--key", "alice.pem", "--yes").exit_code == 4
