"""`amber audit`: read, prove, export and verify, with and without the service's own files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from click.testing import CliRunner

from ambergate.cli.main import main
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.config import load
from ambergate.stores.checkpoints import CheckpointKey

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
CONFIG = """\
base_url = "https://attest.example:8443/a+b"
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
"""
COUNT = 30


def jti(n: int) -> UUID:
    return UUID(int=n + 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service that has decided some things, and stopped."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "attestation.toml").write_text(CONFIG)
    with open_state(load(folder / "attestation.toml"), at=AT) as state:
        for n in range(COUNT):
            record = {"at": AT.isoformat(), "verdict": "issued", "key_id": None, "jti": str(jti(n)), "n": n}
            state.audit.append(record, jti=jti(n))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "site")


def amber(folder: Path, *args: str, config: bool = True) -> Result:
    named = ["--config", str(folder / "attestation.toml")] if config else []
    return CliRunner().invoke(main, ["audit", *args, *named], catch_exceptions=False)


def alter(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "attestation.sqlite")) as connection, connection:
        connection.execute(statement)


def test_a_whole_log_is_intact(folder: Path) -> None:
    done = amber(folder, "verify")
    assert (done.exit_code, done.stdout.splitlines()[1]) == (
        0,
        "continues 1 checkpoint kept outside of the database",
    )
    told = json.loads(amber(folder, "verify", "--json").stdout)
    assert (told["intact"], told["entries"], told["checkpoints"], told["faults"]) == (True, COUNT, 1, [])


def test_an_edit_is_named_and_has_its_exit_code(folder: Path) -> None:
    alter(folder, "UPDATE audit_entries SET record = replace(record, 'issued', 'refused') WHERE seq = 17")
    done = amber(folder, "verify")
    assert done.exit_code == 4
    assert "NOT INTACT: entry 17 was changed" in done.stderr
    assert json.loads(amber(folder, "verify", "--json").stdout)["intact"] is False


def test_a_checkpoint_kept_elsewhere_shows_what_the_operator_did(folder: Path, tmp_path: Path) -> None:
    """The database and the pin are both put back to an older state, all of it signed."""
    older = shutil.copytree(folder, tmp_path / "older")
    config = load(folder / "attestation.toml")
    with open_state(config, at=AT) as state:
        state.audit.append({"n": COUNT})
    (tmp_path / "kept").write_text(amber(folder, "show", "--checkpoint").stdout)
    assert amber(folder, "verify", "--checkpoint", str(tmp_path / "kept")).exit_code == 0
    shutil.rmtree(folder)
    shutil.copytree(older, folder)
    assert amber(folder, "verify").exit_code == 0
    done = amber(folder, "verify", "--checkpoint", str(tmp_path / "kept"))
    assert done.exit_code == 4
    assert f"{COUNT + 1} entries were signed" in done.stderr


def test_a_restored_database_is_behind_its_pin(folder: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.sqlite"
    shutil.copy(folder / "attestation.sqlite", older)
    with open_state(load(folder / "attestation.toml"), at=AT) as state:
        state.audit.append({"n": COUNT})
    shutil.copy(older, folder / "attestation.sqlite")
    assert amber(folder, "verify").exit_code == 4


def test_an_auditor_needs_the_database_and_the_key_alone(folder: Path, tmp_path: Path) -> None:
    key = amber(folder, "show", "--key").stdout.strip()
    assert CheckpointKey.from_text(key).origin == "attest.example:8443/a%2Bb/audit/v1"
    copy = shutil.copy(folder / "attestation.sqlite", tmp_path / "copy.sqlite")
    (tmp_path / "key").write_text(key)
    for named in (key, f"@{tmp_path / 'key'}"):
        assert amber(folder, "verify", "--database", str(copy), "--key", named, config=False).exit_code == 0
    other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert amber(folder, "verify", "--database", str(copy), "--key", other, config=False).exit_code == 4


def test_a_proof_is_checked_without_a_database(folder: Path, tmp_path: Path) -> None:
    key = amber(folder, "show", "--key").stdout.strip()
    proof = amber(folder, "prove", str(jti(5))).stdout
    (tmp_path / "proof").write_text(proof)
    done = amber(folder, "verify", "--proof", str(tmp_path / "proof"), "--key", key, config=False)
    assert (done.exit_code, done.stdout.partition(" in ")[0]) == (0, f"holds: entry 5 of {COUNT}")
    machine = amber(folder, "verify", "--proof", str(tmp_path / "proof"), "--key", key, "--json", config=False)
    assert json.loads(machine.stdout)["record"]["jti"] == str(jti(5))
    (tmp_path / "proof").write_text(proof.replace("issued", "isSued"))
    assert amber(folder, "verify", "--proof", str(tmp_path / "proof"), "--key", key, config=False).exit_code == 4


def test_records_are_shown(folder: Path) -> None:
    lines = amber(folder, "show", "--last", "3").stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [[str(n), "2026-11-27T14:00:00", "issued"] for n in (27, 28, 29)]
    machine = json.loads(amber(folder, "show", "--last", "2", "--json").stdout)
    assert [record["entry"] for record in machine] == [28, 29]
    for named in (("--jti", str(jti(7))), ("--entry", "7")):
        assert f"jti:         {jti(7)}" in amber(folder, "show", *named).stdout
        assert json.loads(amber(folder, "show", *named, "--json").stdout)["n"] == 7


def test_an_export_is_what_was_hashed(folder: Path, tmp_path: Path) -> None:
    lines = amber(folder, "export", "--from", "10", "--to", "12").stdout.splitlines()
    assert [json.loads(line)["n"] for line in lines] == [10, 11]
    assert amber(folder, "export", "-o", str(tmp_path / "all")).exit_code == 0
    with closing(sqlite3.connect(folder / "attestation.sqlite")) as connection:
        rows = connection.execute("SELECT record FROM audit_entries ORDER BY seq").fetchall()
    assert (tmp_path / "all").read_text() == "".join(f"{record}\n" for (record,) in rows)


def test_what_an_edited_record_says_cannot_steer_the_terminal(folder: Path) -> None:
    alter(folder, 'UPDATE audit_entries SET record = \'{"verdict":"\\u0007"}\' WHERE seq = 29')
    assert "\a" not in amber(folder, "show").stdout + amber(folder, "show", "--entry", "29").stdout
    alter(folder, "UPDATE audit_entries SET record = 'x' WHERE seq = 29")
    assert amber(folder, "show").exit_code == 4
    alter(folder, "UPDATE audit_entries SET record = '[1]' WHERE seq = 29")
    assert json.loads(amber(folder, "show", "--entry", "29", "--json").stdout) == {"entry": 29, "record": [1]}


@pytest.mark.parametrize(
    ("args", "config"),
    [
        (("verify",), False),
        (("verify", "--database", "{db}"), True),
        (("verify", "--database", "{db}"), False),
        (("verify", "--proof", "{db}"), False),
        (("verify", "--proof", "{db}", "--key", "x"), True),
        (("verify", "--database", "{db}", "--key", "@nowhere"), False),
        (("show", "--jti", str(jti(COUNT))), True),
        (("show", "--entry", str(COUNT)), True),
        (("show", "--entry", "1", "--jti", str(jti(1))), True),
        (("prove", str(jti(COUNT))), True),
    ],
)
def test_what_is_not_clear_is_not_guessed(folder: Path, args: tuple[str, ...], config: bool) -> None:  # noqa: FBT001
    database = str(folder / "attestation.sqlite")
    done = amber(folder, *(arg.format(db=database) for arg in args), config=config)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")


def test_a_service_that_was_never_started_has_none(tmp_path: Path) -> None:
    (tmp_path / "attestation.toml").write_text(CONFIG)
    done = amber(tmp_path, "verify")
    assert (done.exit_code, "no database yet" in done.stderr) == (1, True)
    CliRunner().invoke(main, ["apikey", "create", "--label", "x", "--config", str(tmp_path / "attestation.toml")])
    done = amber(tmp_path, "verify")
    assert (done.exit_code, "key-encryption key is not there" in done.stderr) == (1, True)
    assert not (tmp_path / "attestation.kek").exists()
    (tmp_path / "attestation.kek").touch(mode=0o600)
    (tmp_path / "attestation.kek").write_text("00" * 32)
    done = amber(tmp_path, "show")
    assert (done.exit_code, "no audit log in this database yet" in done.stderr) == (1, True)
