"""`amber backup` and `amber restore`: what comes back is what was there, or it does not come back."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from click.testing import CliRunner

from ambergate.cli.main import main
from ambergate.core.errors import NotFound, Unavailable
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.config import load
from ambergate.services.keybroker.app import open_state as open_broker
from ambergate.services.keybroker.config import load as load_broker
from ambergate.stores import backup
from ambergate.stores.backup import copy_database

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
LISTEN = '[listen]\nport = 0\ncertificate = "cert.pem"\nkey = "key.pem"\n'
STORE = '[store]\ndatabase = "state.sqlite"\nkey_encryption_key = "state.kek"\n'
ATTESTATION = f'base_url = "https://attest.example"\n{LISTEN}{STORE}'
BROKER = f'{LISTEN}{STORE}[[issuers]]\nissuer = "https://attest.example"\njwks_file = "keys.json"\n'
COUNT = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An attestation service that has decided some things, and stopped."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "service.toml").write_text(ATTESTATION)
    with open_state(load(folder / "service.toml"), at=AT) as state:
        state.api_keys.create("kept", at=AT)
        for n in range(COUNT):
            state.audit.append({"n": n})
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "site")


def amber(folder: Path, *args: str) -> Result:
    named = ["--config", str(folder / "service.toml")]
    return CliRunner().invoke(main, [*args, *named], catch_exceptions=False)


def backed_up(folder: Path) -> str:
    out = str(folder.parent / "backup.sqlite")
    done = amber(folder, "backup", "-o", out)
    assert done.exit_code == 0, done.stderr
    return out


def remove(folder: Path) -> None:
    for file in folder.glob("state.sqlite*"):
        file.unlink()


def alter(file: Path | str, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


def append(folder: Path, count: int) -> None:
    with open_state(load(folder / "service.toml"), at=AT) as state:
        for n in range(count):
            state.audit.append({"more": n})


def test_what_comes_back_is_what_was_there(folder: Path) -> None:
    with open_state(load(folder / "service.toml"), at=AT) as state:
        keys, kept = state.token_keys.store.all(), state.api_keys.all()
    out = backed_up(folder)
    remove(folder)
    done = amber(folder, "restore", out)
    assert (done.exit_code, f"{COUNT} records in its audit log, which verifies" in done.stdout) == (0, True)
    with open_state(load(folder / "service.toml"), at=AT) as state:
        assert (state.token_keys.store.all(), state.api_keys.all()) == (keys, kept)
        assert state.audit.append({"n": COUNT}) == COUNT


def test_a_backup_is_one_private_file(folder: Path) -> None:
    out = backed_up(folder)
    files = list(folder.parent.glob("*backup.sqlite*"))
    assert [str(file) for file in files] == [out]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_machines_are_told(folder: Path) -> None:
    out = str(folder.parent / "backup.sqlite")
    told = json.loads(amber(folder, "backup", "-o", out, "--json").stdout)
    assert (told["file"], told["audit_entries"]) == (out, COUNT)
    remove(folder)
    told = json.loads(amber(folder, "restore", out, "--json").stdout)
    assert (told["audit_entries"], told["lost_records"]) == (COUNT, 0)


def test_a_backup_is_taken_while_the_service_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one moment: the log in it verifies, wherever its end is; and nobody was stopped."""
    monkeypatch.setattr(backup, "_PAGES", 2)
    with open_state(load(folder / "service.toml"), at=AT) as state:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                state.audit.append({"under": "way"})

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            done = amber(folder, "backup", "-o", str(folder.parent / "a.sqlite"), "--json")
            before = state.audit.append({"behind": "it"})
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert done.exit_code == 0, done.output
    assert COUNT <= json.loads(done.stdout)["audit_entries"] <= before


def test_a_key_broker_is_backed_up_too(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(BROKER)
    key = uuid4()
    with open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT) as state:
        state.secrets.add(key, b"a secret", ResourcePolicy.from_mapping({"mr_enclave": "0a" * 32}), at=AT)
    done = amber(tmp_path, "backup", "-o", str(tmp_path / "out"))
    assert (done.exit_code, "0 records in its audit log" in done.stdout) == (0, True)
    assert "state.sqlite-keys" in done.stdout, "what else it takes to read the copy"
    assert amber(tmp_path, "backup", "--version-keys", "-o", str(tmp_path / "out-keys")).exit_code == 0
    remove(tmp_path)
    without = amber(tmp_path, "restore", str(tmp_path / "out"))
    assert (without.exit_code, "version keys are not there" in without.stderr) == (1, True)
    (tmp_path / "out-keys").rename(tmp_path / "state.sqlite-keys")
    assert amber(tmp_path, "restore", str(tmp_path / "out")).exit_code == 0
    with open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT) as state:
        found = state.secrets.find(key)
        assert found is not None
        assert state.secrets.reveal(found) == b"a secret"


def test_an_older_backup_comes_back_only_by_name(folder: Path) -> None:
    """The pin says that records are missing. Who goes on without them says so, and the pin is kept."""
    out = backed_up(folder)
    append(folder, 5)
    remove(folder)
    done = amber(folder, "restore", out)
    assert (done.exit_code, "lacks records" in done.stderr) == (4, True)
    assert not (folder / "state.sqlite").exists()
    done = amber(folder, "restore", out, "--dangerously-accept-lost-records")
    assert (done.exit_code, "WARNING: 5 records" in done.stdout) == (0, True)
    assert (folder / f"state.checkpoint.lost-{COUNT}-{COUNT + 5}").exists()
    append(folder, 1)


@pytest.mark.parametrize(
    ("statement", "code", "told"),
    [
        ("UPDATE audit_entries SET record = '{}' WHERE seq = 3", 4, "entry 3 was changed"),
        ("UPDATE signing_material SET sealed = x'00' WHERE name = 'nonce.key'", 1, "not one that was sealed here"),
        ("UPDATE alembic_version SET version_num = '9999'", 1, "newer release"),
    ],
)
def test_what_no_service_could_start_with_is_no_backup(folder: Path, statement: str, code: int, told: str) -> None:
    good = backed_up(folder)
    alter(folder / "state.sqlite", statement)
    bad = folder.parent / "bad.sqlite"
    done = amber(folder, "backup", "-o", str(bad))
    assert (done.exit_code, told in done.stderr) == (code, True), done.stderr
    assert not bad.exists()
    remove(folder)
    alter(good, statement)
    done = amber(folder, "restore", good)
    assert (done.exit_code, told in done.stderr) == (code, True), done.stderr
    assert not (folder / "state.sqlite").exists()


def test_another_key_encryption_key_is_told(folder: Path) -> None:
    out = backed_up(folder)
    remove(folder)
    (folder / "state.kek").write_text("00" * 32)
    assert "another key-encryption key" in amber(folder, "restore", out).stderr
    (folder / "state.kek").unlink()
    assert "is not there" in amber(folder, "restore", out).stderr
    assert not (folder / "state.kek").exists()
    assert not (folder / "state.sqlite").exists()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_nothing_is_written_over(folder: Path, suffix: str) -> None:
    out = backed_up(folder)
    assert "a file already" in amber(folder, "backup", "-o", out).stderr
    remove(folder)
    (folder / f"state.sqlite{suffix}").write_bytes(b"kept")
    done = amber(folder, "restore", out)
    assert (done.exit_code, "a database already" in done.stderr) == (1, True)
    assert (folder / f"state.sqlite{suffix}").read_bytes() == b"kept"


def test_what_is_no_database_is_no_backup(folder: Path) -> None:
    remove(folder)
    (folder / "junk").write_bytes(b"x" * 4096)
    assert amber(folder, "restore", str(folder / "junk")).exit_code == 5
    assert "no such database" in amber(folder, "backup", "-o", str(folder / "out")).stderr
    with pytest.raises(Unavailable, match="cannot be written"):
        copy_database(folder / "junk", folder / "none" / "out")
    assert sorted(file.name for file in folder.iterdir() if "out" in file.name or "state.sqlite" in file.name) == []


def test_postgresql_has_its_own_tools(folder: Path) -> None:
    text = (folder / "service.toml").read_text()
    (folder / "service.toml").write_text(text.replace("state.sqlite", "postgresql://amber@/amber?host=/run"))
    done = amber(folder, "backup", "-o", str(folder / "out"))
    assert (done.exit_code, "pg_dump" in done.stderr) == (1, True)


def test_a_configuration_that_is_none_is_told(folder: Path) -> None:
    (folder / "service.toml").write_bytes(b"\xff")
    assert amber(folder, "backup", "-o", str(folder / "out")).exit_code == 1


def test_what_was_destroyed_since_the_backup_does_not_come_back(tmp_path: Path) -> None:
    """The data keys are today's: a restored database is good, and says how much of it is gone for ever."""
    (tmp_path / "service.toml").write_text(BROKER)
    gone, kept = uuid4(), uuid4()
    with open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT) as state:
        for key in (gone, kept):
            state.secrets.add(key, b"a secret", ResourcePolicy.from_mapping({"mr_enclave": "0a" * 32}), at=AT)
    assert amber(tmp_path, "backup", "-o", str(tmp_path / "out")).exit_code == 0
    with open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT) as state:
        state.secrets.destroy(gone, at=AT)
    (tmp_path / "state.sqlite").unlink()
    done = amber(tmp_path, "restore", str(tmp_path / "out"), "--json")
    assert json.loads(done.stdout)["destroyed_since"] == 1
    with open_broker(load_broker(tmp_path / "service.toml"), now=lambda: AT) as state:
        copies = [state.secrets.find(key) for key in (gone, kept)]
        assert copies[0] is not None
        assert copies[1] is not None
        with pytest.raises(NotFound, match="destroyed"):
            state.secrets.reveal(copies[0])
        assert state.secrets.reveal(copies[1]) == b"a secret"
