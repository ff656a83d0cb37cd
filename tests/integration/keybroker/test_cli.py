"""`amber keybroker` as an operator uses it: keys in, a real server process, secrets out."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import subprocess
import sys
from base64 import b64decode
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.keybroker.forge import MR_ENCLAVE, Forge

from ambergate.cli.main import main
from ambergate.core.release.envelope import open_sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from ambergate.services.web.server import TlsFiles

KEY_ID = "ae6281b3-e4fe-3db5-82fd-000000000001"


@pytest.fixture
def folder(tmp_path: Path, tls: TlsFiles, forge: Forge) -> Path:
    """A broker's folder: configuration, the issuer's pinned keys, a policy."""
    (tmp_path / "keys.json").write_text(json.dumps(forge.key_set()))
    (tmp_path / "policy.toml").write_text(f'mr_enclave = "{MR_ENCLAVE}"\n')
    (tmp_path / "broker.toml").write_text(
        f'[listen]\nport = 0\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
        '[store]\ndatabase = "broker.sqlite"\nkey_encryption_key = "broker.kek"\n'
        '[[issuers]]\nissuer = "https://attest.example:8443"\njwks_file = "keys.json"\n'
    )
    return tmp_path


def amber(folder: Path, *args: str, stdin: bytes | None = None) -> Result:
    """`amber keybroker ARGS`, in this process."""
    filled = [arg.replace("POLICY", str(folder / "policy.toml")) for arg in args]
    if "key" in args:
        filled += ["--config", str(folder / "broker.toml")]
    return CliRunner().invoke(main, ["keybroker", *filled], input=stdin, catch_exceptions=False)


def imported(folder: Path, secret: bytes, *more: str) -> Result:
    return amber(folder, "key", "import", "--policy", "POLICY", *more, stdin=secret)


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, Any]]:
    """`amber keybroker serve` as a process of its own; yields what it announces, and sees it end well."""
    command = [sys.executable, "-c", "from ambergate.cli.main import main; main()", "keybroker", "serve", "--json"]
    command += ["--config", str(folder / "broker.toml")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("\n}\n"):
                line = process.stdout.readline()
                assert line, (folder / "log").read_text()
                text += line
            yield json.loads(text)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        assert process.returncode == 0


def test_from_import_to_release(folder: Path, forge: Forge, ca: Path) -> None:
    """The secret that went in comes out, for the approved enclave, from a process that was only given files."""
    secret = b"bytes \x00\xff as they are\n"
    assert imported(folder, secret, "--id", KEY_ID).output == f"{KEY_ID}\n"
    at = int(datetime.now(UTC).timestamp())
    token = forge.token(claims=forge.claims(iat=at - 5, nbf=at - 5, exp=at + 300))
    context = ssl.create_default_context(cafile=str(ca))
    with (
        serving(folder) as told,
        httpx.Client(
            base_url=f"https://127.0.0.1:{told['listening']['port']}", verify=context, trust_env=False
        ) as client,
    ):
        path = f"/kbs/v1/keys/{KEY_ID}/transfer"
        body = client.post(path, json={"attestation_token": token}).raise_for_status().json()
        refused = client.post(path, json={"attestation_token": forge.token()})
    wrapped = (b64decode(body[name]) for name in ("wrapped_key", "wrapped_swk"))
    assert open_sealed(forge.workload_key, *wrapped) == secret
    assert refused.status_code == 401
    log = (folder / "log").read_text()
    assert log.count('"event": "transfer"') == 2
    assert '"verdict": "released"' in log
    assert token.split(".")[2] not in log
    assert secret.hex() not in log


def audit(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["audit", *args, "--config", str(folder / "broker.toml")], catch_exceptions=False)


def test_changes_stand_in_the_audit_log(folder: Path, tmp_path: Path) -> None:
    """By the same commands as the attestation service's log; nothing secret in it."""
    imported(folder, b"secret-value", "--id", KEY_ID, "--label", "database")
    amber(folder, "key", "set-policy", "--id", KEY_ID, "--policy", "POLICY")
    amber(folder, "key", "delete", "--id", KEY_ID)
    assert amber(folder, "key", "delete", "--id", KEY_ID).exit_code == 1
    told = [(each["event"], each["verdict"]) for each in json.loads(audit(folder, "show", "--json").output)]
    assert told == [
        (event, verdict)
        for event, end in (("key.create", "done"), ("key.set-policy", "done"), ("key.delete", "done"))
        for verdict in ("begun", end)
    ] + [("key.delete", "begun"), ("key.delete", "failed")]
    assert "secret-value" not in audit(folder, "export").output
    assert "intact: 8 entries" in audit(folder, "verify").output
    assert "key.create" in audit(folder, "show").output
    (tmp_path / "proof").write_text(audit(folder, "prove", "--entry", "1").output)
    key = audit(folder, "show", "--key").output.strip()
    checked = CliRunner().invoke(main, ["audit", "verify", "--proof", str(tmp_path / "proof"), "--key", key, "--json"])
    assert json.loads(checked.output)["record"]["verdict"] == "done"


def test_a_broker_does_not_start_behind_its_checkpoint(folder: Path) -> None:
    """An older state of the database, put back, is noticed by the pin beside it."""
    imported(folder, b"x", "--id", KEY_ID)
    shutil.copy(folder / "broker.sqlite", folder / "older")
    amber(folder, "key", "delete", "--id", KEY_ID)
    for name in ("broker.sqlite-wal", "broker.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copy(folder / "older", folder / "broker.sqlite")
    refused = amber(folder, "key", "list")
    assert refused.exit_code == 4
    assert "shorter than it was" in refused.stderr


def test_a_broker_says_where_it_is_managed(folder: Path) -> None:
    (folder / "broker.toml").write_text((folder / "broker.toml").read_text() + "[admin]\nport = 0\n")
    with serving(folder) as told:
        assert told["admin"]["port"] not in {0, told["listening"]["port"]}


def test_a_key_is_listed_without_being_shown(folder: Path) -> None:
    imported(folder, b"secret-value", "--id", KEY_ID, "--label", "database")
    words = amber(folder, "key", "list").output
    assert KEY_ID in words
    assert "database" in words
    assert MR_ENCLAVE in words
    assert "secret-value" not in words
    (one,) = json.loads(amber(folder, "key", "list", "--json").output)
    assert (one["id"], one["bytes"], one["policy"]["tcb_statuses"]) == (KEY_ID, 12, ["UpToDate"])


def test_a_key_is_generated_under_a_fresh_id(folder: Path) -> None:
    made = json.loads(amber(folder, "key", "generate", "--policy", "POLICY", "--json").output)
    assert UUID(made["id"]).version == 4
    assert made["bytes"] == 32


def test_a_key_is_deleted_once(folder: Path) -> None:
    imported(folder, b"x", "--id", KEY_ID)
    assert amber(folder, "key", "delete", "--id", KEY_ID).exit_code == 0
    again = amber(folder, "key", "delete", "--id", KEY_ID)
    assert again.exit_code == 1
    assert "no key of this id" in again.stderr


def test_a_key_gets_another_policy(folder: Path) -> None:
    imported(folder, b"x", "--id", KEY_ID)
    (folder / "policy.toml").write_text(f'mr_enclave = "{"0f" * 32}"\n')
    assert amber(folder, "key", "set-policy", "--id", KEY_ID, "--policy", "POLICY").exit_code == 0
    assert "0f" * 32 in amber(folder, "key", "list").output


def test_a_secret_is_read_from_a_file(folder: Path) -> None:
    (folder / "secret").write_bytes(b"12345")
    made = amber(folder, "key", "import", "--policy", "POLICY", "--file", str(folder / "secret"), "--json")
    assert json.loads(made.output)["bytes"] == 5


@pytest.mark.parametrize("size", [0, 65537])
def test_a_secret_of_impossible_size_is_not_kept(folder: Path, size: int) -> None:
    assert imported(folder, b"x" * size).exit_code == 1
    assert "no keys" in amber(folder, "key", "list").output


def test_an_id_is_not_given_twice(folder: Path) -> None:
    imported(folder, b"x", "--id", KEY_ID)
    assert imported(folder, b"y", "--id", KEY_ID).exit_code == 1


def test_an_id_that_is_none(folder: Path) -> None:
    assert imported(folder, b"x", "--id", "42").exit_code == 1


def test_database_and_key_file_are_the_owners_alone(folder: Path) -> None:
    imported(folder, b"x")
    for name in ("broker.sqlite", "broker.kek"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_a_policy_is_checked_before_it_is_used(folder: Path) -> None:
    good = amber(folder, "policy", "check", "POLICY")
    assert good.exit_code == 0
    assert "dangerously_allow_debug = false" in good.output
    (folder / "policy.toml").write_text(f'mrenclave = "{MR_ENCLAVE}"\n')
    bad = amber(folder, "policy", "check", "POLICY")
    assert bad.exit_code == 4
    assert "did you mean mr_enclave?" in bad.stderr
    told = json.loads(amber(folder, "policy", "check", "POLICY", "--json").output)
    assert told["error"]["code"] == "malformed-policy"
    assert imported(folder, b"x").exit_code == 4


def test_a_configuration_that_cannot_be_used(folder: Path) -> None:
    (folder / "broker.toml").write_text("[listen]\n")
    assert amber(folder, "key", "list").exit_code == 1


def test_a_key_over_its_life(folder: Path) -> None:
    """Made of a kind, rotated, disabled, enabled, destroyed; every step in the audit log."""
    made = amber(folder, "key", "generate", "--policy", "POLICY", "--algorithm", "ec", "--curve", "P-256", "--json")
    key = json.loads(made.output)["id"]
    assert amber(folder, "key", "rotate", "--id", key).output == f"{key} is at version 2\n"
    assert amber(folder, "key", "disable", "--id", key, "--version", "1").exit_code == 0
    destroyed = amber(folder, "key", "destroy", "--id", key, "--version", "1", "--json")
    assert (destroyed.exit_code, destroyed.stderr) == (0, "")
    assert json.loads(destroyed.stdout) == {"id": key, "destroyed": [1], "opened_by_backups": False}
    versions = json.loads(amber(folder, "key", "versions", "--id", key, "--json").output)
    assert [(one["version"], one["state"], one["algorithm"], one["curve"]) for one in versions] == [
        (1, "destroyed", "EC", "secp256r1"),
        (2, "enabled", "EC", "secp256r1"),
    ]
    assert "version 2  enabled  EC secp256r1" in amber(folder, "key", "list").output
    enabled = amber(folder, "key", "enable", "--id", key, "--version", "1")
    assert (enabled.exit_code, "no such version" in enabled.stderr) == (1, True)
    for verb in ("rotate", "disable", "enable", "destroy", "versions", "delete"):
        assert amber(folder, "key", verb, "--id", KEY_ID).exit_code == 1, verb


@pytest.mark.parametrize("verb", ["destroy", "delete"])
def test_who_destroys_is_told_when_backups_bring_it_back(folder: Path, verb: str) -> None:
    """Where version keys are in the database itself, a copy of it has what opens the key."""
    text = (folder / "broker.toml").read_text()
    (folder / "broker.toml").write_text(text.replace("[store]\n", '[store]\nversion_keys = "broker.sqlite"\n'))
    key = json.loads(amber(folder, "key", "generate", "--policy", "POLICY", "--json").output)["id"]
    done = amber(folder, "key", verb, "--id", key, "--json")
    assert (done.exit_code, "backups from before" in done.stderr) == (0, True)
    assert json.loads(done.stdout)["opened_by_backups"] is True


def test_a_key_that_is_given_is_read_as_what_it_is_said_to_be(folder: Path) -> None:
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = json.loads(imported(folder, pem, "--algorithm", "EC", "--id", KEY_ID, "--json").output)
    assert (made["algorithm"], made["curve"]) == ("EC", "secp384r1")
    rotated = CliRunner().invoke(
        main,
        ["keybroker", "key", "rotate", "--config", str(folder / "broker.toml"), "--id", KEY_ID, "--file", "-"],
        input=b"not a key",
    )
    assert (rotated.exit_code, "no private key" in rotated.stderr) == (1, True)
    assert imported(folder, b"k" * 16, "--algorithm", "AES", "--json").exit_code == 0
    assert imported(folder, b"k" * 17, "--algorithm", "AES").exit_code == 1
    assert imported(folder, pem, "--algorithm", "RSA").exit_code == 1


def test_key_managers_are_asked_whether_they_answer(folder: Path) -> None:
    """A token that is real, and a server that is not there."""
    config = folder / "broker.toml"
    asked = CliRunner().invoke(main, ["keybroker", "managers", "--config", str(config), "--json"])
    assert (asked.exit_code, json.loads(asked.stdout)) == (
        0,
        [{"name": "built-in", "kind": "BuiltIn", "answers": True, "error": None}],
    )
    (folder / "token").write_text("hvs.x")
    (folder / "token").chmod(0o600)
    vault = 'name = "vault"\nurl = "https://127.0.0.1:1"\nmount = "secret"\ntoken_file = "token"\n'
    config.write_text(f"{config.read_text()}[[vault]]\n{vault}")
    asked = CliRunner().invoke(main, ["keybroker", "managers", "--config", str(config)])
    assert (asked.exit_code, "vault  VaultKv  does not answer" in asked.stdout) == (5, True)
    made = amber(folder, "key", "generate", "--policy", "POLICY", "--manager", "vault")
    assert (made.exit_code, "Vault does not answer" in made.stderr) == (5, True)
    other = amber(folder, "key", "generate", "--policy", "POLICY", "--manager", "none")
    assert (other.exit_code, "no key manager of this name" in other.stderr) == (1, True)
    adopted = amber(
        folder, "key", "adopt", "--policy", "POLICY", "--known-as", "x", "--algorithm", "AES", "--bits", "256"
    )
    assert (adopted.exit_code, "adopts nothing" in adopted.stderr) == (1, True)
